/*
 * Numbers as JSON text; doubles in the shortest form that reads back the same, always
 * with a fraction or an exponent (LTP node protocol, section 2).
 */
#ifndef NUMBER_H
#define NUMBER_H

#include <stdint.h>

#define NUMBER_TEXT_MAX 32

/*
 * Plain from 1e-5 up to (not including) 1e16 and for 0 ("1.0", "-0.0"), else
 * "1e16", "1e-6", "1.5e20".  The value must be finite.  Returns the end of
 * the text, which is not NUL-terminated.
 */
char *number_put_double(char out[NUMBER_TEXT_MAX], double);

/* An integer in decimal.  Returns the end, not NUL-terminated. */
char *number_put_int64(char out[NUMBER_TEXT_MAX], int64_t);

#endif /* NUMBER_H */
