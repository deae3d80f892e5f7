/*
 * What the tests of upgrade.c share.  A request is fed in pieces that lie in
 * memory of just their size, so that a sanitizer sees any step beyond them.
 */
#ifndef UPGRADE_FEED_H
#define UPGRADE_FEED_H

#include <stdlib.h>
#include <string.h>

#include "unit.h"
#include "upgrade.h"

#define KEY      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define WANT     "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define THIRTEEN "Sec-WebSocket-Version: 13\r\n"
#define GET      "GET / HTTP/1.1\r\n"
#define HOST     "Host: localhost:7070\r\n"
/* All that a request must have but its end. */
#define HEAD GET HOST WANT KEY THIRTEEN
#define END  "\r\n"

/* Feed a piece from memory of its own; says how many bytes were used. */
static inline enum upgrade_state
feed(struct upgrade *u, const char *p, size_t len, size_t *used)
{
	enum upgrade_state state;
	uint8_t *copy;

	assert_non_null(copy = malloc(len + 1));
	memcpy(copy + 1, p, len);
	state = upgrade_input(u, copy + 1, len, used);
	assert_true(*used <= len);
	free(copy);
	return state;
}

/* A request as a whole. */
static inline struct upgrade *
read_bytes(const char *p, size_t len, enum upgrade_state expected)
{
	struct upgrade *u;
	size_t used;

	assert_non_null(u = upgrade_new());
	assert_int_equal(feed(u, p, len, &used), expected);
	if (expected != UPGRADE_BAD)
		assert_int_equal(used, len);
	return u;
}

static inline struct upgrade *
read_good(const char *text)
{
	return read_bytes(text, strlen(text), UPGRADE_DONE);
}

#endif /* UPGRADE_FEED_H */
