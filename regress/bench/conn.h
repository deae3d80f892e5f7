#ifndef CONN_H
#define CONN_H

#include <openssl/types.h>

#include "load.h"

enum conn_state {
	CONN_CONNECTING,
	CONN_SECURING, /* TLS */
	CONN_UPGRADING,
	CONN_GREETING,
	CONN_READY
};

struct conn {
	int fd;
	SSL *ssl; /* NULL: plaintext */
	struct target_client who;
	enum conn_state state;
	uint64_t opened; /* when */
	uint64_t sent; /* messages; also the number of the next */
	uint64_t received; /* replies */
	uint64_t *times; /* closed loop: when the last ones were sent */
	bool waits; /* for room to write */
	uint8_t *out; /* not written yet */
	size_t out_len, out_size;
	uint8_t *in; /* the beginning of a reply */
	size_t in_len;
};

/* Connect, and greet as soon as that is done.  Exits when it cannot. */
struct conn *conn_open(struct load *, unsigned client);

/* Close and free; NULL is ignored. */
void conn_close(struct conn *);

/* Send the next n messages, as one write where the system lets us. */
void conn_send(struct load *, struct conn *, unsigned n);

/*
 * Wait for something to happen, at most so many milliseconds (-1: for ever, 0:
 * not at all), and see to it.
 */
void conn_wait(struct load *, int timeout);

#endif
