/*
 * Numbers as JSON text, read and written; doubles in the shortest form that
 * reads back the same, always with a fraction or an exponent (LTP node
 * protocol, section 2).
 */
#ifndef NUMBER_H
#define NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NUMBER_TEXT_MAX 32

/* The end of the number that begins at p, NULL when none does. */
const char *number_end(const char *p, const char *end);

/*
 * A number's whole text as an integer: no fraction, no exponent, no "-0", in
 * the range of int64_t; or as a finite double.
 */
bool number_get_int64(const char *, size_t len, int64_t *);
bool number_get_double(const char *, size_t len, double *);

/*
 * Plain from 1e-5 up to (not including) 1e16 and for 0 ("1.0", "-0.0"), else
 * "1e16", "1e-6", "1.5e20".  The value must be finite.  Returns the end of
 * the text, which is not NUL-terminated.
 */
char *number_put_double(char out[NUMBER_TEXT_MAX], double);

/* An integer in decimal.  Returns the end, not NUL-terminated. */
char *number_put_int64(char out[NUMBER_TEXT_MAX], int64_t);
char *number_put_uint64(char out[NUMBER_TEXT_MAX], uint64_t);

#endif /* NUMBER_H */
