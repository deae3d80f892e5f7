/*
 * The workers that ltp-auth, ltp-audit and ltp-sign hear.  The supervisor
 * introduces them by MSG_PEER; one that breaks a rule of its channel is accused
 * to the supervisor, and nothing more is heard of it.
 */
#ifndef PEERS_H
#define PEERS_H

#include <sys/queue.h>

#include <stddef.h>

#include "chan.h"
#include "msg.h"

struct peers;

/* The first member of what a process knows of a worker. */
struct peer {
	TAILQ_ENTRY(peer) entry;
	struct peers *all;
	struct chan *ch;
	struct msg_peer who;
};

struct peer_ops {
	size_t size; /* of what begins with a struct peer */
	void (*message)(struct peer *, struct msg *);
	/* Frees what it points to, nothing of itself; may be NULL. */
	void (*gone)(struct peer *);
};

struct peers {
	TAILQ_HEAD(, peer) list;
	enum role me;
	struct chan *parent;
	const struct peer_ops *ops;
};

/* For the process of this role, with the channel to its supervisor. */
void peers_init(
    struct peers *, enum role, struct chan *parent, const struct peer_ops *);

/*
 * MSG_PEER: takes its descriptor.  The new peer is zero behind its struct peer;
 * its first message comes when control is back at the event loop.  A process
 * without the memory for that ends here.
 */
struct peer *peers_take(struct peers *, struct msg *);

/* It has gone, or must go: its channel is closed and the peer is freed. */
void peer_end(struct peer *);

#endif /* PEERS_H */
