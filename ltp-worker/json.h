/*
 * A strict JSON scanner (RFC 8259), single pass, in place: it checks the
 * whole text and hands the members of the top-level object to a visitor.
 * What it accepts is what section 2 of the LTP node protocol says: no
 * duplicate members at any level (escapes decoded), no trailing bytes, no
 * invalid UTF-8 or lone surrogates, nesting at most 32, \u0000 allowed,
 * numbers of any size.  Where jansson says otherwise is listed, each case
 * with its reason, in CONTRIBUTING.md; regress/fuzz/json_fuzz.c looks for
 * others.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 32

enum json_type {
	JSON_NONE = 0,
	JSON_NULL,
	JSON_TRUE,
	JSON_FALSE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

/* Bytes with a length; not NUL-terminated, may hold NULs. */
struct str {
	const char *p;
	size_t len;
};

/* Without memcmp(3), which costs more than names of few bytes are worth. */
bool bytes_same(const char *, const char *, size_t len);

/* The same bytes. */
static inline bool
str_same(const struct str *a, const struct str *b)
{
	return a->len == b->len && bytes_same(a->p, b->p, a->len);
}

/* The same bytes as a NUL-terminated text. */
bool str_is(const struct str *, const char *text);

/*
 * A scanner owns the scratch memory in which the member names of open
 * objects are remembered, so that one per process serves all messages
 * without an allocation in the steady state.
 */
struct json;
struct json *json_new(void); /* NULL with errno */
void json_free(struct json *);

/*
 * One member: depth 1 for the top-level object's own, 2 for those of an
 * object in it, and no deeper.  For a string, value is the decoded text; for
 * a number, its text; for the others it is empty.  The bytes of name and
 * value stay as long as the text.  A member whose value is an object is
 * visited before its own members are, so that is who holds them.
 */
typedef void json_visit(unsigned depth, const struct str *name, enum json_type,
    const struct str *value, void *arg);

/*
 * Scan len bytes of text; strings are decoded in place, so the text is
 * spoiled.  Returns the type of the top-level value, JSON_NONE when the text
 * is not acceptable (the visitor may have been called before that was seen)
 * or memory ran out.
 */
enum json_type
json_scan(struct json *, char *text, size_t len, json_visit *, void *arg);

/*
 * Append a string with its quotes, escaping only quote, backslash, \b \f \n
 * \r \t and other controls as \u00xx.  out must have room for
 * JSON_STRING_MAX(len) bytes.  Returns the end.
 */
#define JSON_STRING_MAX(len) (6 * (len) + 2)
char *json_put_string(char *out, const char *p, size_t len);

#endif /* JSON_H */
