/*
 * The agents of the remote listener: which connection is the session of
 * which id, in the whole node.  Ids are chosen by strangers and connections
 * named by workers, so both are looked up under a random key, and there are
 * never more than the bound.  A connection is what its owner calls so: what
 * another says of the same number is of another connection.
 */
#ifndef AGENTS_H
#define AGENTS_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct agents;
LIST_HEAD(agent_list, agent);

/* Whose sessions they are: a worker. */
struct agent_owner {
	struct agent_list seats;
};

struct agent_id {
	const void *p; /* at most LTP_ID_MAX bytes */
	size_t len;
	bool proven; /* apart from one that is only claimed */
};

/* Who had to go. */
struct agent_seat {
	struct agent_owner *owner; /* NULL: nobody */
	uint64_t conn;
};

enum agents_result {
	AGENTS_ENTERED = 1,
	AGENTS_FULL, /* or no memory */
	AGENTS_TWICE, /* the owner's connection is there already */
};

/* Nobody may enter before agents_bound().  NULL with errno. */
struct agents *agents_new(void);
/* NULL is allowed. */
void agents_free(struct agents *);
/*
 * So many may be there.  Who is stays, even when that is fewer.  0, or -1
 * when there is no memory: then it is as before.
 */
int agents_bound(struct agents *, uint32_t max);
size_t agents_count(const struct agents *);

void agent_owner_init(struct agent_owner *);
/*
 * This connection is the session of this id, and whoever was is told of in
 * *replaced.
 */
enum agents_result agents_enter(struct agents *, struct agent_owner *,
    uint64_t conn, const struct agent_id *, struct agent_seat *replaced);
/*
 * The same of one that entered elsewhere before: when a later connection is
 * there, that one stays, and *replaced is the one that came.
 */
enum agents_result agents_enter_again(struct agents *, struct agent_owner *,
    uint64_t conn, const struct agent_id *, struct agent_seat *replaced);
/* It has gone, if it was there. */
void agents_left(struct agents *, struct agent_owner *, uint64_t conn);
/* All of the owner's have. */
void agents_left_all(struct agents *, struct agent_owner *);

#endif /* AGENTS_H */
