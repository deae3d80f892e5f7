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
	/* Good JSON that jansson cannot hold: numbers, a NUL in a name. */
	ORACLE_CANNOT,
};

/*
 * Any JSON value without duplicate members.  *out, NULL unless it is good,
 * is to be given to oracle_free().
 */
enum oracle_verdict oracle_read(const void *, size_t len, struct json_t **out);
void oracle_free(struct json_t *); /* NULL is allowed */

bool oracle_is_object(const struct json_t *); /* NULL is none */
/* A member of the object, NULL when there is none. */
const struct json_t *oracle_member(const struct json_t *, const char *name);
/* NULL when it is no string. */
const char *oracle_string(const struct json_t *, size_t *len);
int64_t oracle_integer(const struct json_t *);

#endif /* ORACLE_H */
