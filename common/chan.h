/*
 * A channel carries messages between two processes of the node over a
 * SOCK_SEQPACKET socketpair (or, for ltpctl, over the control socket).  A
 * datagram is one message: struct msg_hdr, payload, descriptors.  The rule
 * table of msg.c is checked before any handler runs: type, sender, receiver,
 * payload size, number of descriptors.
 *
 * Nobody blocks on a channel.  What the peer does not take yet is queued up
 * to a high-water mark; beyond it chan_send() fails with ENOBUFS.  Who sends
 * in bulk stops at the low-water mark and goes on when the writable callback
 * tells that the queue is empty again.
 */
#ifndef CHAN_H
#define CHAN_H

#include <event2/event.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msg.h"

#define CHAN_HIGH_WATER (8 * 1024 * 1024) /* bytes; more keys than fit a file */
#define CHAN_LOW_WATER  (256 * 1024)

/* A received message.  data and fds are valid during the callback only. */
struct msg {
	enum msg_type type;
	const uint8_t *data;
	size_t len;
	size_t nfds;
	int fds[MSG_MAX_FDS]; /* the handler sets those it keeps to -1; the
				 others are closed after it */
};

enum chan_end {
	CHAN_EOF = 1, /* the peer closed it */
	CHAN_ERROR, /* errno is set */
	CHAN_VIOLATION, /* the peer broke a rule, see chan_violation() */
};

struct chan;

struct chan_ops {
	void (*message)(struct chan *, struct msg *, void *arg);
	/*
	 * The channel is over; the callback must chan_free() it, or do so
	 * soon: nothing more is read.
	 */
	void (*gone)(struct chan *, enum chan_end, void *arg);
	/* All that had to wait in the queue is sent; may be NULL. */
	void (*writable)(struct chan *, void *arg);
};

/*
 * Takes fd, which must be non-blocking.  me and peer are what the rule table
 * is asked about.  The channel may be freed inside any of its callbacks.
 * Returns NULL with errno; fd is then still the caller's.
 */
struct chan *chan_new(struct event_base *, int fd, enum role me, enum role peer,
    const struct chan_ops *, void *arg);
/* Closes the descriptor and drops what was queued; NULL is allowed. */
void chan_free(struct chan *);

/*
 * Queue or send one message: two parts of payload, either may be empty.  The
 * queued copy is wiped once it is sent.  Returns 0, or -1 with errno
 * (ENOBUFS: over the high-water mark; EMSGSIZE: too long).
 */
int chan_send(struct chan *, enum msg_type, const void *head, size_t headlen,
    const void *tail, size_t taillen);
/*
 * As chan_send(), for what is small and frequent: such messages of one turn of
 * the event loop leave at its end, in one datagram.  Order is kept.
 */
int chan_post(struct chan *, enum msg_type, const void *head, size_t headlen,
    const void *tail, size_t taillen);
/* As chan_send(), with descriptors, which are always taken, even on failure. */
int chan_send_fds(struct chan *, enum msg_type, const int *fds, size_t nfds,
    const void *payload, size_t len);

/* Try to send all that is queued, for at most timeout_ms.  0 or -1. */
int chan_flush(struct chan *, int timeout_ms);
/* Dispatch what has arrived already; the channel may be freed by that. */
void chan_drain(struct chan *);
/* Whose loop it is in. */
struct event_base *chan_base(const struct chan *);
/* Bytes queued. */
size_t chan_queued(const struct chan *);
/* What was wrong, after CHAN_VIOLATION: a short static text. */
const char *chan_violation(const struct chan *);
/* Handlers that find a lie in a payload report it here; ends the channel. */
void chan_reject(struct chan *, const char *why);
/* Stop or resume reading (the kernel's buffer then holds the peer back). */
void chan_pause(struct chan *, bool);

#endif /* CHAN_H */
