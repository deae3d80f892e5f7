/*
 * jansson's opinion of a text, behind names of its own: its header cannot be
 * included beside ltp-worker's json.h.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t;

enum oracle_verdict {
	ORACLE_GOOD = 1,
	ORACLE_BAD,
	/* Good so far, but jansson cannot hold the value. */
	ORACLE_BIG_NUMBER,
	ORACLE_NUL_IN_NAME,
};

/* What is kept of the types: whole numbers are no type of JSON's. */
enum oracle_type {
	ORACLE_NULL = 1,
	ORACLE_TRUE,
	ORACLE_FALSE,
	ORACLE_NUMBER,
	ORACLE_STRING,
	ORACLE_ARRAY,
	ORACLE_OBJECT,
};

/*
 * Any JSON value without duplicate members.  *out, NULL unless it is good,
 * is to be given to oracle_free().  With reals, whole numbers are read as
 * doubles, too.
 */
enum oracle_verdict
oracle_read(const void *, size_t len, bool reals, struct json_t **out);
void oracle_free(struct json_t *); /* NULL is allowed */

/*
 * We took the text, or did not, and jansson's verdict is another: why that is
 * as it should be, NULL when it is not.
 */
const char *
oracle_excuse(const uint8_t *, size_t len, bool taken, enum oracle_verdict);
/*
 * The text without what jansson overlooks, so that it is judged again; the
 * new length.  out has room for len bytes.
 */
size_t oracle_mend(const uint8_t *, size_t len, uint8_t *out);
/*
 * Also a value may differ: what is a whole number for jansson, and none that
 * number_get_int64() takes.
 */
const char *oracle_excuse_integer(const char *text, size_t len);

enum oracle_type oracle_type(const struct json_t *);
bool oracle_is_object(const struct json_t *); /* NULL is none */
/* How many members an object has. */
size_t oracle_size(const struct json_t *);
/* A member of the object, NULL when there is none. */
const struct json_t *oracle_member(const struct json_t *, const char *name);
/* NULL when it is no string. */
const char *oracle_string(const struct json_t *, size_t *len);
/* Is the number kept as an integer? */
bool oracle_is_integer(const struct json_t *);
int64_t oracle_integer(const struct json_t *);
double oracle_real(const struct json_t *);

/*
 * Every array and object in the value, as the text of an object that has its
 * scalars for members (those of an array are named by their index): so deep
 * values come to the top, where the scanner tells of them.  So does a value
 * that is a scalar itself.  Once with UTF-8 and once with escapes.
 */
typedef void oracle_visit(const char *text, size_t len);
void oracle_flatten(const struct json_t *, oracle_visit *);

#endif /* ORACLE_H */
