/*
 * The children: which there are, their state, how they are started, chosen,
 * replaced and ended.
 */
#ifndef POOL_H
#define POOL_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "monotime.h"
#include "msg.h"
#include "procinfo.h"

struct chan;
struct event;
struct parent;

struct child {
	struct parent *parent;
	enum role role;
	const char *program; /* its name */
	unsigned slot; /* of a worker; 0 otherwise */
	enum child_state state;
	pid_t pid; /* 0: none */
	struct chan *ch; /* NULL: none */
	uint32_t generation; /* of the configuration it was sent last */
	bool acked; /* it has that one */
	unsigned unanswered; /* seconds since it was asked, 0: it was not */
	bool trapped; /* it made a forbidden call: */
	int32_t call;
	struct msg_ready hello;
	int proc[PROCINFO_FDS];
	size_t nproc;
	struct monotime started;
	uint32_t restarts;
	int64_t dead_cpu_us; /* that its predecessors used */
	unsigned quick_deaths; /* since it last lived for a minute */
	struct event *respawn;
	uint64_t expired_last_sweep;
};

struct pool {
	struct child *child; /* workers first, by slot */
	size_t count;
	size_t nworkers;
	uint32_t room; /* connections that one worker can hold */
	struct child *auth; /* NULL: not configured */
	struct child *audit; /* the same */
	struct child *sign; /* the same */
	bool sign_usable; /* it has a key: workers may ask it */
	struct child *metrics;
};

/* The children that the configuration asks for, none running. */
struct pool *pool_new(struct parent *);
void pool_free(struct pool *);
/*
 * Start them all; -1 when one cannot even be forked.  If there is an ltp-sign,
 * the others wait for what it says of its key: pool_start_others().
 */
int pool_start(struct pool *);
int pool_start_others(struct pool *);
#define POOL_NAME_MAX 32

/* "worker[1]", for log lines; valid until the next call. */
const char *pool_child_name(const struct child *);

/* SIGCHLD: collect the dead, plan their successors. */
void pool_reap(struct pool *);
/* Kill a child for a reason that is logged; a successor follows. */
void pool_kill(struct child *, const char *why);

/* All children that should run are ready. */
bool pool_is_ready(const struct pool *);
size_t pool_workers_ready(const struct pool *);
/*
 * The ready worker with the fewest connections that has room; one that does not
 * answer only when there is no other.  NULL: none.
 */
struct child *pool_choose(const struct pool *);
/* The child of this role and slot; NULL when there is none. */
struct child *pool_find(const struct pool *, enum role, unsigned slot);
/* ltp-sign has a key: from now on workers are introduced to it. */
void pool_sign_usable(struct pool *);
/* Both are ready: give each an end of a new channel. */
void pool_introduce(struct child *worker, struct child *sibling);

/* Stopping: tell the workers to drain. */
void pool_drain(struct pool *, uint32_t timeout_ms);
/* Stopping: kill the workers that are still there. */
void pool_kill_workers(struct pool *);
/* Stopping: close the channels of the others, which makes them leave. */
void pool_dismiss(struct pool *);
/* Stopping: kill the others that are still there. */
void pool_kill_rest(struct pool *);
/* How many processes of these roles there are. */
size_t pool_running(const struct pool *, unsigned roles);

/* What is known of a child (NULL: of ourselves), for ltpctl and metrics. */
void pool_describe(
    const struct parent *, const struct child *, struct msg_process *);

#endif /* POOL_H */
