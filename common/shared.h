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
	SHARED__KINDS
};

struct shared;

/*
 * Make the table.  *fd gets a descriptor to pass on, sealed against growing
 * and shrinking; the caller owns it.  NULL with errno.
 */
struct shared *shared_new(int *fd);
/* Map a table that was passed; does not take fd.  NULL with errno. */
struct shared *shared_map(int fd);
void shared_free(struct shared *);

/* Reserve one of a kind for a slot, unless the node has cap of them. */
bool
shared_take(struct shared *, enum shared_kind, unsigned slot, uint32_t cap);
void shared_give(struct shared *, enum shared_kind, unsigned slot);
/* Give back all that a dead worker held. */
void shared_reclaim(struct shared *, unsigned slot);
uint32_t shared_total(const struct shared *, enum shared_kind);
uint32_t shared_held(const struct shared *, enum shared_kind, unsigned slot);

struct shared_rate {
	uint32_t rps; /* 0: no limit */
	uint32_t burst; /* at least 1 */
	uint32_t ttl_secs;
};

/*
 * One message from an address (see addr_limit_key()): may it pass?  GCRA
 * with one theoretical arrival time per address in a set-associative table.
 */
bool shared_ip_allow(struct shared *, const uint8_t key[16],
    const struct shared_rate *, struct monotime now);

#endif /* SHARED_H */
