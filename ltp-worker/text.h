/*
 * Text as HTTP header fields have it.
 */
#ifndef TEXT_H
#define TEXT_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A value that grows; its owner frees it, wiped. */
struct text {
	char *p; /* NULL: absent; else NUL-terminated */
	size_t len;
	size_t size; /* allocated */
};

/* 0, or -1 with errno.  What it outgrows is wiped. */
int text_append(struct text *, const char *, size_t len);

/* A piece of text that is not NUL-terminated. */
struct slice {
	const char *p;
	size_t len;
};

/* Compared without case. */
bool text_slice_is(const struct slice *, const char *text);
bool text_slice_same(const struct slice *, const struct slice *);

bool text_is_digit(uint8_t);
/* RFC 9110, section 5.6.2. */
bool text_is_token(uint8_t);

/*
 * Take the next element of a comma-separated list; NULL is an empty one.
 * Empty elements are passed over.
 */
bool text_list_next(const char **list, struct slice *);
bool text_list_has(const char *list, const char *token);

#define TEXT_PORT_NONE (-1)

/*
 * host [":" [port]] of RFC 3986, section 3.2.2; *port is TEXT_PORT_NONE when
 * there is none.
 */
bool text_host(const char *, size_t len, struct slice *host, int *port);

/*
 * Strict base64: whole groups, padding where it belongs, no stray bits.
 * Returns the number of bytes in out, or -1.
 */
ssize_t text_base64(const struct text *, uint8_t *out, size_t size);
/* What it takes to print n bytes, with a NUL. */
#define TEXT_BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1)
/* len bytes as base64 with padding, NUL-terminated. */
void text_base64_print(char *out, const uint8_t *, size_t len);

#endif /* TEXT_H */
