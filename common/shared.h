/*
 * The node-wide table in shared memory: how many connections and sessions
 * there are, and when each address may send again.  Made by the supervisor,
 * mapped by the workers.  It is lock-free; a compromised worker can spoil
 * limits with it and nothing else, so no reader trusts a number in it with
 * more than a decision to accept or refuse.
 *
 * A slot is a worker's place.  What a slot holds is given back by the
 * supervisor when the worker of that slot dies.
 */
#ifndef SHARED_H
#define SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "monotime.h"

#define SHARED_SLOTS 64

enum shared_kind {
	SHARED_CONNS = 0, /* from accept() */
	SHARED_SESSIONS,
	SHARED_REFUSALS, /* sockets that only wait to be refused */
	SHARED_REMOTE, /* of the connections, those of the remote listener */
	SHARED__KINDS
};

struct msg_shared;
struct shared;

/*
 * Make the table for so many slots.  *fd gets a descriptor to pass on, sealed against growing
 * and shrinking; the caller owns it.  NULL with errno.
 */
struct shared *shared_new(unsigned slots, int *fd);
/* What is passed with the descriptor. */
void shared_describe(const struct shared *, struct msg_shared *);
/* Map a table that was passed; does not take fd.  NULL with errno. */
struct shared *shared_map(int fd, const struct msg_shared *);
void shared_free(struct shared *);

/* Reserve one of a kind for a slot, unless the node has cap of them. */
bool
shared_take(struct shared *, enum shared_kind, unsigned slot, uint32_t cap);
void shared_give(struct shared *, enum shared_kind, unsigned slot);
/*
 * A connection that was handed over has ended: it held a refusal, or a place
 * among the connections, and among the remote ones if it was one.
 */
void
shared_give_conn(struct shared *, unsigned slot, bool refused, bool remote);
/* Give back all that a dead worker held. */
void shared_reclaim(struct shared *, unsigned slot);
uint32_t shared_total(const struct shared *, enum shared_kind);
uint32_t shared_held(const struct shared *, enum shared_kind, unsigned slot);

/* What is counted of an address (see addr_limit_key()). */
enum shared_rate_kind {
	SHARED_RATE_MESSAGES = 0,
	SHARED_RATE_FAILURES, /* sign-ins */
};

struct shared_rate {
	uint32_t kind; /* enum shared_rate_kind */
	uint32_t count; /* in a period; 0: no limit */
	uint32_t period_ms; /* 0: a second */
	uint32_t burst; /* at least 1 */
};

/*
 * One more of an address: may it pass?  GCRA with one theoretical arrival
 * time per address and kind in a set-associative table.
 */
bool shared_ip_allow(struct shared *, const uint8_t key[16],
    const struct shared_rate *, struct monotime now);
/* Would it pass?  Nothing is spent. */
bool shared_ip_would_allow(struct shared *, const uint8_t key[16],
    const struct shared_rate *, struct monotime now);

/* What an address may hold at a time. */
enum shared_hold {
	SHARED_HOLD_CONNS = 0,
	SHARED_HOLD_HALF_OPEN, /* no valid message yet */
};

#define SHARED_HOLD_MAX 4095 /* that can be counted */

enum shared_held_result {
	SHARED_HELD = 1,
	SHARED_REFUSED, /* the address holds cap of them */
	SHARED_UNCOUNTED, /* no place to count it: pass, do not give back */
};

/*
 * Hold one more for an address, unless it holds cap of them in the whole
 * node.  Each slot counts for itself in a table of its own, so what a dead
 * worker held goes with shared_reclaim().
 */
enum shared_held_result shared_ip_take(struct shared *, enum shared_hold,
    unsigned slot, const uint8_t key[16], uint32_t cap);
void shared_ip_give(
    struct shared *, enum shared_hold, unsigned slot, const uint8_t key[16]);

#endif /* SHARED_H */
