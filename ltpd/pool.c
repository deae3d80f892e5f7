/*
 * The pool of children.
 */
#include "pool.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auditlog.h"
#include "caller.h"
#include "chan.h"
#include "child.h"
#include "control.h"
#include "listener.h"
#include "log.h"
#include "parent.h"
#include "reload.h"
#include "sandbox.h"
#include "shared.h"
#include "signing.h"
#include "watchdog.h"

/* Back-off: so many deaths in a row cost nothing, then one start a second. */
#define POOL_QUICK_DEATHS 5
#define POOL_BACKOFF_MS   1000
/* A child that lived this long has a clean record. */
#define POOL_FORGIVEN_MS 60000

/* Descriptors of a worker that are no clients, and some to spare. */
#define POOL_RESERVE 32

static int pool_spawn(struct child *);
static void pool_respawn_later(struct child *);

static void
pool_child_init(struct child *c, struct parent *p, enum role role,
    const char *program, unsigned slot)
{
	size_t i;

	c->parent = p;
	c->role = role;
	c->program = program;
	c->slot = slot;
	c->state = CHILD_DOWN;
	for (i = 0; i < PROCINFO_FDS; i++)
		c->proc[i] = -1;
}

/* Connections that a worker's descriptor limit, which is ours, allows. */
static uint32_t
pool_room(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1 || rl.rlim_cur > UINT32_MAX)
		return UINT32_MAX;
	return rl.rlim_cur > POOL_RESERVE ? rl.rlim_cur - POOL_RESERVE : 1;
}

struct pool *
pool_new(struct parent *p)
{
	bool remote = p->conf->distributed.enabled;
	bool auth = remote || p->conf->auth_mode != AUTH_MODE_NONE;
	bool sign = remote && p->conf->distributed.tls.enabled;
	bool audit = p->conf->audit_log_file != NULL;
	struct pool *pool;
	size_t i;

	if ((pool = calloc(1, sizeof(*pool))) == NULL)
		return NULL;
	pool->nworkers = p->conf->workers;
	pool->room = pool_room();
	pool->count = pool->nworkers + 1 + (auth ? 1 : 0) + (audit ? 1 : 0) +
		      (sign ? 1 : 0);
	pool->child = calloc(pool->count, sizeof(*pool->child));
	if (pool->child == NULL) {
		free(pool);
		return NULL;
	}
	for (i = 0; i < pool->nworkers; i++)
		pool_child_init(&pool->child[i], p, ROLE_WORKER,
		    sign ? "ltp-worker-tls" : "ltp-worker", i);
	pool->metrics = &pool->child[i++];
	pool_child_init(pool->metrics, p, ROLE_METRICS, "ltp-metrics", 0);
	if (auth) {
		pool->auth = &pool->child[i++];
		pool_child_init(pool->auth, p, ROLE_AUTH, "ltp-auth", 0);
	}
	if (audit) {
		pool->audit = &pool->child[i++];
		pool_child_init(pool->audit, p, ROLE_AUDIT, "ltp-audit", 0);
	}
	if (sign) {
		pool->sign = &pool->child[i];
		pool_child_init(pool->sign, p, ROLE_SIGN, "ltp-sign", 0);
	}
	return pool;
}

static void
pool_close(struct child *c)
{
	size_t i;

	chan_free(c->ch);
	c->ch = NULL;
	for (i = 0; i < c->nproc; i++)
		close(c->proc[i]);
	c->nproc = 0;
}

void
pool_free(struct pool *pool)
{
	size_t i;

	if (pool == NULL)
		return;
	for (i = 0; i < pool->count; i++) {
		pool_close(&pool->child[i]);
		if (pool->child[i].respawn != NULL)
			event_free(pool->child[i].respawn);
	}
	free(pool->child);
	free(pool);
}

const char *
pool_child_name(const struct child *c)
{
	static char name[POOL_NAME_MAX];

	if (c->role == ROLE_WORKER)
		snprintf(name, sizeof(name), "worker[%u]", c->slot);
	else
		strlcpy(name, role_name(c->role), sizeof(name));
	return name;
}

/* ---- starting ---- */

static void
pool_child_gone(struct chan *ch, enum chan_end end, void *arg)
{
	struct child *c = arg;

	if (end == CHAN_VIOLATION) {
		c->parent->counters.n[COUNT_CHANNEL_VIOLATIONS]++;
		pool_kill(c, chan_violation(ch));
		return;
	}
	/*
	 * It has left or is about to; its exit status will tell why.  One
	 * that only closed its channel is of no more use.
	 */
	if (c->pid != 0 && !c->parent->stopping)
		kill(c->pid, SIGKILL);
	if (c->state != CHILD_DOWN)
		c->state = CHILD_DYING;
	pool_close(c);
}

static const struct chan_ops pool_chan_ops = {
	.message = parent_dispatch_child,
	.gone = pool_child_gone,
};

/* The descriptors that a child needs before its sandbox closes. */
static int
pool_equip(struct child *c)
{
	struct msg_shared shared;
	int fd;

	switch (c->role) {
	case ROLE_WORKER:
		if ((fd = dup(c->parent->shared_fd)) == -1)
			return -1;
		shared_describe(c->parent->shared, &shared);
		return chan_send_fds(
		    c->ch, MSG_SHARED, &fd, 1, &shared, sizeof(shared));
	case ROLE_METRICS:
		fd = dup(listener_metrics_fd(c->parent->listener));
		if (fd == -1)
			return -1;
		return chan_send_fds(c->ch, MSG_LISTENER, &fd, 1, NULL, 0);
	case ROLE_SIGN:
		return signing_equip(c->parent);
	case ROLE_AUDIT:
		return auditlog_equip(c->parent->auditlog, c, c->parent->conf);
	default:
		return 0;
	}
}

static int
pool_spawn(struct child *c)
{
	int fd;

	c->started = monotime_now();
	if ((c->pid = child_spawn(c->program, c->slot, &fd)) == -1) {
		c->pid = 0;
		return -1;
	}
	c->state = CHILD_STARTING;
	c->unanswered = 0;
	c->trapped = false;
	c->ch = chan_new(
	    c->parent->base, fd, ROLE_PARENT, c->role, &pool_chan_ops, c);
	if (c->ch == NULL) {
		close(fd);
		pool_kill(c, "no memory for its channel");
		return 0;
	}
	if (pool_equip(c) == -1) {
		pool_kill(c, "cannot be given its descriptors");
		return 0;
	}
	reload_send(c->parent, c);
	log_debug("%s: started pid=%ld", pool_child_name(c), (long)c->pid);
	return 0;
}

int
pool_start(struct pool *pool)
{
	if (pool->sign != NULL)
		return pool_spawn(pool->sign);
	return pool_start_others(pool);
}

int
pool_start_others(struct pool *pool)
{
	size_t i;

	for (i = 0; i < pool->count; i++) {
		if (&pool->child[i] != pool->sign &&
		    pool_spawn(&pool->child[i]) == -1)
			return -1;
	}
	return 0;
}

static void
pool_respawn(int fd, short what, void *arg)
{
	struct child *c = arg;

	(void)fd;
	(void)what;
	if (c->parent->stopping || c->state != CHILD_DOWN)
		return;
	if (pool_spawn(c) == -1) {
		log_warn("%s: cannot be started", pool_child_name(c));
		c->quick_deaths = POOL_QUICK_DEATHS;
		pool_respawn_later(c);
	}
}

static void
pool_respawn_later(struct child *c)
{
	int64_t lived, wait = 0;
	struct timeval tv;

	lived = monotime_diff_ms(monotime_now(), c->started);
	if (lived >= POOL_FORGIVEN_MS)
		c->quick_deaths = 0;
	else if (++c->quick_deaths > POOL_QUICK_DEATHS &&
		 lived < POOL_BACKOFF_MS)
		wait = POOL_BACKOFF_MS - lived;
	if (c->respawn == NULL)
		c->respawn = evtimer_new(c->parent->base, pool_respawn, c);
	tv.tv_sec = wait / 1000;
	tv.tv_usec = wait % 1000 * 1000;
	if (c->respawn == NULL || evtimer_add(c->respawn, &tv) == -1)
		parent_fail(c->parent, "%s: no memory to start it again",
		    pool_child_name(c));
}

/* ---- ending ---- */

static void
pool_count_restart(struct child *c)
{
	struct counters *n = &c->parent->counters;

	c->restarts++;
	switch (c->role) {
	case ROLE_WORKER:
		n->n[COUNT_RESTARTS_WORKER]++;
		break;
	case ROLE_AUTH:
		n->n[COUNT_RESTARTS_AUTH]++;
		break;
	case ROLE_AUDIT:
		n->n[COUNT_RESTARTS_AUDIT]++;
		break;
	case ROLE_SIGN:
		n->n[COUNT_RESTARTS_SIGN]++;
		break;
	default:
		n->n[COUNT_RESTARTS_METRICS]++;
		break;
	}
}

static void
pool_log_death(const struct child *c, pid_t pid, int status)
{
	const char *name = pool_child_name(c);
	char call[SANDBOX_CALL_MAX];

	if (WIFSIGNALED(status) && c->trapped)
		log_warnx("%s: died of signal %d (%s: %s) pid=%ld", name,
		    WTERMSIG(status), strsignal(WTERMSIG(status)),
		    sandbox_call_name(call, c->call), (long)pid);
	else if (WIFSIGNALED(status))
		log_warnx("%s: died of signal %d (%s) pid=%ld", name,
		    WTERMSIG(status), strsignal(WTERMSIG(status)), (long)pid);
	else if (!c->parent->stopping || WEXITSTATUS(status) != 0)
		log_warnx("%s: exited with status %d pid=%ld", name,
		    WEXITSTATUS(status), (long)pid);
}

static void
pool_buried(struct child *c, int status)
{
	struct parent *p = c->parent;
	pid_t pid = c->pid;

	c->pid = 0;
	/* What it said last counts. */
	if (c->ch != NULL)
		chan_drain(c->ch);
	pool_close(c);
	pool_log_death(c, pid, status);
	c->state = CHILD_DOWN;
	c->acked = false;
	if (c->role == ROLE_WORKER)
		shared_reclaim(p->shared, c->slot);
	if (c->role == ROLE_AUDIT)
		auditlog_child_gone(p->auditlog);
	if (c->role == ROLE_SIGN) {
		p->pool->sign_usable = false;
		signing_child_gone(p);
	}
	callers_child_gone(control_callers(p->control), c);
	if (p->stopping) {
		parent_child_left(p);
		return;
	}
	if (!p->ready) {
		parent_fail(p, "%s did not start", pool_child_name(c));
		return;
	}
	pool_count_restart(c);
	reload_child_gone(p);
	pool_respawn_later(c);
}

static int64_t
pool_timeval_us(const struct timeval *tv)
{
	return (int64_t)tv->tv_sec * 1000000 + tv->tv_usec;
}

void
pool_reap(struct pool *pool)
{
	struct rusage ru;
	int status;
	size_t i;

	for (i = 0; i < pool->count; i++) {
		struct child *c = &pool->child[i];

		if (c->pid == 0 ||
		    wait4(c->pid, &status, WNOHANG, &ru) != c->pid)
			continue;
		c->dead_cpu_us += pool_timeval_us(&ru.ru_utime) +
				  pool_timeval_us(&ru.ru_stime);
		pool_buried(c, status);
	}
}

void
pool_kill(struct child *c, const char *why)
{
	if (c->pid == 0 || c->state == CHILD_DYING)
		return;
	log_warnx(
	    "%s: killed: %s pid=%ld", pool_child_name(c), why, (long)c->pid);
	kill(c->pid, SIGKILL);
	c->state = CHILD_DYING;
	pool_close(c);
}

/* ---- the living ---- */

bool
pool_is_ready(const struct pool *pool)
{
	size_t i;

	for (i = 0; i < pool->count; i++) {
		if (pool->child[i].state != CHILD_READY)
			return false;
	}
	return true;
}

size_t
pool_workers_ready(const struct pool *pool)
{
	size_t i, n = 0;

	for (i = 0; i < pool->nworkers; i++)
		n += pool->child[i].state == CHILD_READY;
	return n;
}

/*
 * What a worker holds, each of it a descriptor; more than its limit allows
 * would arrive without one.
 */
static uint32_t
pool_load(const struct child *c)
{
	const struct shared *shared = c->parent->shared;

	return shared_held(shared, SHARED_CONNS, c->slot) +
	       shared_held(shared, SHARED_REFUSALS, c->slot);
}

/* Of those that answer, or of those that do not. */
static struct child *
pool_least_loaded(const struct pool *pool, bool doubted)
{
	struct child *c, *best = NULL;
	uint32_t load, least = pool->room;
	size_t i;

	for (i = 0; i < pool->nworkers; i++) {
		c = &pool->child[i];
		if (c->state != CHILD_READY ||
		    chan_queued(c->ch) > CHAN_LOW_WATER ||
		    watchdog_doubts(c) != doubted)
			continue;
		load = pool_load(c);
		if (load < least) {
			best = c;
			least = load;
		}
	}
	return best;
}

struct child *
pool_choose(const struct pool *pool)
{
	struct child *c = pool_least_loaded(pool, false);

	return c != NULL ? c : pool_least_loaded(pool, true);
}

struct child *
pool_find(const struct pool *pool, enum role role, unsigned slot)
{
	size_t i;

	for (i = 0; i < pool->count; i++) {
		if (pool->child[i].role == role && pool->child[i].slot == slot)
			return &pool->child[i];
	}
	return NULL;
}

void
pool_introduce(struct child *worker, struct child *sibling)
{
	struct msg_peer to_worker = {
		.role = sibling->role,
		.pid = (uint32_t)sibling->pid,
	};
	struct msg_peer to_sibling = {
		.role = ROLE_WORKER,
		.slot = worker->slot,
		.pid = (uint32_t)worker->pid,
	};
	const char *name = role_name(sibling->role);
	bool sent;
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		0, sv) == -1) {
		log_warn("%s: no channel to %s", pool_child_name(worker), name);
		return;
	}
	/* Both are sent, so that both are closed here, come what may. */
	sent = chan_send_fds(worker->ch, MSG_PEER, &sv[0], 1, &to_worker,
		   sizeof(to_worker)) == 0;
	if (chan_send_fds(sibling->ch, MSG_PEER, &sv[1], 1, &to_sibling,
		sizeof(to_sibling)) == -1 ||
	    !sent)
		log_warn(
		    "%s: not introduced to %s", pool_child_name(worker), name);
}

void
pool_sign_usable(struct pool *pool)
{
	size_t i;

	if (pool->sign_usable)
		return;
	pool->sign_usable = true;
	if (pool->sign->state != CHILD_READY)
		return;
	for (i = 0; i < pool->nworkers; i++) {
		if (pool->child[i].state == CHILD_READY)
			pool_introduce(&pool->child[i], pool->sign);
	}
}

/* ---- stopping ---- */

void
pool_drain(struct pool *pool, uint32_t timeout_ms)
{
	struct msg_drain m = { .timeout_ms = timeout_ms };
	size_t i;

	for (i = 0; i < pool->nworkers; i++) {
		struct child *c = &pool->child[i];

		if (c->state == CHILD_READY &&
		    chan_send(c->ch, MSG_DRAIN, &m, sizeof(m), NULL, 0) == 0)
			c->state = CHILD_DRAINING;
		else if (c->pid != 0)
			kill(c->pid, SIGKILL); /* it has no clients yet */
	}
}

void
pool_kill_workers(struct pool *pool)
{
	size_t i;

	for (i = 0; i < pool->nworkers; i++)
		pool_kill(&pool->child[i], "did not drain in time");
}

void
pool_dismiss(struct pool *pool)
{
	size_t i;

	for (i = pool->nworkers; i < pool->count; i++) {
		struct child *c = &pool->child[i];

		pool_close(c);
		if (c->state == CHILD_READY)
			c->state = CHILD_DRAINING;
	}
}

void
pool_kill_rest(struct pool *pool)
{
	size_t i;

	for (i = pool->nworkers; i < pool->count; i++)
		pool_kill(&pool->child[i], "did not leave in time");
}

size_t
pool_running(const struct pool *pool, unsigned roles)
{
	size_t i, n = 0;

	for (i = 0; i < pool->count; i++) {
		if (pool->child[i].pid != 0 &&
		    (pool->child[i].role & roles) != 0)
			n++;
	}
	return n;
}

static void
pool_describe_parent(const struct parent *p, struct msg_process *out)
{
	struct sandbox_state state;

	sandbox_report(&state);
	out->mechanism = state.mechanism;
	out->landlock_abi = state.landlock_abi;
	out->dumpable = state.dumpable;
	out->landlock_fs = state.landlock_fs;
	out->landlock_net = state.landlock_net;
	out->landlock_scope = state.landlock_scope;
	out->role = ROLE_PARENT;
	out->pid = getpid();
	out->uid = getuid();
	out->state = CHILD_READY;
	out->uptime_ms = monotime_diff_ms(monotime_now(), p->started);
	procinfo_read(getpid(), NULL, 0, out);
}

static void
pool_describe_child(
    const struct parent *p, const struct child *c, struct msg_process *out)
{
	out->role = c->role;
	out->slot = c->slot;
	out->pid = c->pid;
	out->uid = c->hello.uid;
	out->restarts = c->restarts;
	out->state = c->state;
	out->mechanism = c->hello.mechanism;
	out->landlock_abi = c->hello.landlock_abi;
	out->dumpable = c->hello.dumpable;
	out->no_new_privs = c->hello.no_new_privs;
	out->landlock_fs = c->hello.landlock_fs;
	out->landlock_net = c->hello.landlock_net;
	out->landlock_scope = c->hello.landlock_scope;
	out->cpu_us = out->resident_bytes = out->descriptors = -1;
	if (c->pid != 0) {
		out->uptime_ms = monotime_diff_ms(monotime_now(), c->started);
		procinfo_read(c->pid, c->proc, c->nproc, out);
	}
	if (c->role == ROLE_WORKER) {
		out->connections =
		    shared_held(p->shared, SHARED_CONNS, c->slot);
		out->sessions =
		    shared_held(p->shared, SHARED_SESSIONS, c->slot);
	}
}

void
pool_describe(
    const struct parent *p, const struct child *c, struct msg_process *out)
{
	memset(out, 0, sizeof(*out));
	if (c == NULL)
		pool_describe_parent(p, out);
	else
		pool_describe_child(p, c, out);
}
