/*
 * The supervisor.  It holds the configuration, the digests of keys, the
 * listening sockets and the control socket; it hears its children and
 * ltpctl.  It never reads a byte that a client sent, and it never dies of
 * what a child says: a child that breaks a rule is killed and replaced.
 */
#include "parent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auditlog.h"
#include "caller.h"
#include "chan.h"
#include "control.h"
#include "counters.h"
#include "hooks.h"
#include "keys.h"
#include "listener.h"
#include "log.h"
#include "logfile.h"
#include "notify.h"
#include "paths.h"
#include "pool.h"
#include "reload.h"
#include "remotewatch.h"
#include "shared.h"
#include "signing.h"
#include "tokens.h"
#include "watchdog.h"
#include "wire.h"

#define PARENT_DRAIN_MS 5000

_Static_assert(PARENT_ERROR_MAX >= AUDITLOG_ERROR_MAX, "one buffer for both");

/* The others go when the workers have gone, in that time after those. */
#define PARENT_LEAVE_MS 2000

/* What workers are told: they should be done before they are killed. */
#define PARENT_WORKER_DRAIN_MS 4500

/* ---- messages of children ---- */

static void
parent_ack(struct chan *ch, struct child *c, struct msg *m)
{
	struct msg_conf_ack ack;

	memcpy(&ack, m->data, sizeof(ack));
	if (ack.generation > c->generation)
		chan_reject(ch, "acknowledges what was not sent");
	else if (ack.generation == c->generation && !c->acked)
		reload_acked(c->parent, c);
}

static void
parent_child_hello(struct chan *ch, struct child *c, struct msg *m)
{
	size_t i;

	if (c->state != CHILD_STARTING || !c->acked ||
	    (m->nfds != 0 && m->nfds != PROCINFO_FDS)) {
		chan_reject(ch, "unexpected ready");
		return;
	}
	memcpy(&c->hello, m->data, sizeof(c->hello));
	for (i = 0; i < m->nfds; i++) {
		c->proc[i] = m->fds[i];
		m->fds[i] = -1;
	}
	c->nproc = m->nfds;
	c->state = CHILD_READY;
	c->unanswered = 0;
	log_debug("%s: ready pid=%ld", pool_child_name(c), (long)c->pid);
	parent_child_ready(c->parent, c);
}

static void
parent_child_log(struct child *c, struct msg *m)
{
	struct msg_log head;
	char text[LOG_LINE_MAX];
	enum log_level level;
	struct wire w;

	wire_init(&w, m->data, m->len);
	wire_copy(&w, &head, sizeof(head));
	snprintf(text, sizeof(text), "%.*s", (int)w.left, (const char *)w.p);
	level = head.level >= LEVEL_ERROR && head.level <= LEVEL_TRACE
		    ? head.level
		    : LEVEL_WARN;
	if (head.dropped > 0) {
		c->parent->counters.n[COUNT_LOG_DROPPED] += head.dropped;
		log_warnx("%s: %u log lines dropped", pool_child_name(c),
		    head.dropped);
	}
	logfile_write(level, pool_child_name(c), text);
}

/* It is dead, or is hindered from it, which the watchdog sees to. */
static void
parent_child_trapped(struct child *c, struct msg *m)
{
	struct msg_trapped trapped;

	memcpy(&trapped, m->data, sizeof(trapped));
	c->trapped = true;
	c->call = trapped.call;
	c->state = CHILD_DYING;
}

static void
parent_child_pong(struct chan *ch, struct child *c)
{
	if (!watchdog_pong(c))
		chan_reject(ch, "answers what nobody asked");
}

/*
 * A sibling has lied, says c, and is believed: the worst that a false word can
 * do is to have honest children replaced, no faster than the pool allows.
 */
static void
parent_child_accuses(struct chan *ch, struct child *c, struct msg *m)
{
	char accuser[POOL_NAME_MAX];
	struct msg_peer peer;
	struct child *liar;

	memcpy(&peer, m->data, sizeof(peer));
	liar = pool_find(c->parent->pool, peer.role, peer.slot);
	if (liar == NULL || liar->role == ROLE_METRICS ||
	    (c->role == ROLE_WORKER) == (liar->role == ROLE_WORKER)) {
		chan_reject(ch, "accuses whom it does not know");
		return;
	}
	/* It may have been replaced meanwhile. */
	if (liar->pid == 0 || (uint32_t)liar->pid != peer.pid)
		return;
	strlcpy(accuser, pool_child_name(c), sizeof(accuser));
	log_warnx(
	    "%s: says that %s broke a rule", accuser, pool_child_name(liar));
	pool_kill(liar, "broke a rule of its channel to a sibling");
}

static void
parent_child_count(struct chan *ch, struct child *c, struct msg *m)
{
	struct msg_count count;

	memcpy(&count, m->data, sizeof(count));
	if (!counters_report(c->parent, c, &count))
		chan_reject(ch, "counts what cannot be");
}

static void
parent_child_page(struct chan *ch, struct child *c, struct msg *m)
{
	if (!callers_sessions_page(control_callers(c->parent->control), c, m))
		chan_reject(ch, "answers what nobody asked");
}

static void
parent_child_killed(struct chan *ch, struct child *c, struct msg *m)
{
	if (!callers_session_killed(control_callers(c->parent->control), c, m))
		chan_reject(ch, "answers what nobody asked");
}

static void
parent_child_keys(struct chan *ch, struct child *c, struct msg *m)
{
	if (!callers_keys_page(control_callers(c->parent->control), c, m))
		chan_reject(ch, "answers what nobody asked");
}

static void
parent_child_audit(struct chan *ch, struct child *c, struct msg *m)
{
	if (!auditlog_state(c->parent, m))
		chan_reject(ch, "says what cannot be of the audit log");
}

static void
parent_child_loaded(struct chan *ch, struct child *c, struct msg *m)
{
	if (!signing_loaded(c->parent, m))
		chan_reject(ch, "answers what nobody asked");
}

void
parent_dispatch_child(struct chan *ch, struct msg *m, void *arg)
{
	struct child *c = arg;

	switch (m->type) {
	case MSG_CONF_ACK:
		parent_ack(ch, c, m);
		break;
	case MSG_READY:
		parent_child_hello(ch, c, m);
		break;
	case MSG_LOG:
		parent_child_log(c, m);
		break;
	case MSG_PEER_LIED:
		parent_child_accuses(ch, c, m);
		break;
	case MSG_PONG:
		parent_child_pong(ch, c);
		break;
	case MSG_TRAPPED:
		parent_child_trapped(c, m);
		break;
	case MSG_COUNT:
		parent_child_count(ch, c, m);
		break;
	case MSG_AUDIT_STATE:
		parent_child_audit(ch, c, m);
		break;
	case MSG_SIGN_LOADED:
		parent_child_loaded(ch, c, m);
		break;
	case MSG_SESSIONS_PAGE:
		parent_child_page(ch, c, m);
		break;
	case MSG_SESSION_KILLED:
		parent_child_killed(ch, c, m);
		break;
	case MSG_KEYS_PAGE:
		parent_child_keys(ch, c, m);
		break;
	default:
		chan_reject(ch, "not a message of a child");
	}
}

/* ---- the node comes up ---- */

/*
 * Whoever started the node in the background may go on; from here on the
 * log is the only place where it is heard.
 */
static void
parent_detach(struct parent *p)
{
	int null;

	logfile_echo(false);
	if (p->ready_fd == -1)
		return;
	(void)!write(p->ready_fd, "", 1);
	close(p->ready_fd);
	p->ready_fd = -1;
	if ((null = open("/dev/null", O_RDWR)) != -1) {
		dup2(null, STDERR_FILENO);
		close(null);
	}
}

static void
parent_up(struct parent *p)
{
	const char *text;
	size_t i;

	p->ready = true;
	if (listener_start(p->listener, p) == -1) {
		parent_fail(p, "listeners: %s", strerror(errno));
		return;
	}
	for (i = 0; (text = listener_text(p->listener, i)) != NULL; i++)
		log_info("ltpd: listening on %s", text);
	log_info("ltpd: ready node_id=%s workers=%zu pid=%ld", p->conf->id,
	    p->pool->nworkers, (long)getpid());
	counters_publish(p);
	notify_send("READY=1\nMAINPID=%ld\nSTATUS=serving, workers=%zu",
	    (long)getpid(), p->pool->nworkers);
	parent_detach(p);
}

/*
 * c has become ready: if it is a worker or the sibling that all workers talk
 * to, there are channels to be made.
 */
static void
parent_introduce(struct parent *p, struct child *c, struct child *sibling)
{
	struct child *worker;
	size_t i;

	if (sibling == NULL || sibling->state != CHILD_READY)
		return;
	for (i = 0; i < p->pool->nworkers; i++) {
		worker = &p->pool->child[i];
		if ((c != worker && c != sibling) ||
		    worker->state != CHILD_READY)
			continue;
		pool_introduce(worker, sibling);
		if (sibling->role == ROLE_AUDIT)
			auditlog_allow(p, worker);
	}
}

void
parent_child_ready(struct parent *p, struct child *c)
{
	struct pool *pool = p->pool;

	parent_introduce(p, c, pool->auth);
	parent_introduce(p, c, pool->audit);
	if (pool->sign_usable)
		parent_introduce(p, c, pool->sign);
	if (c == pool->audit)
		auditlog_ready(p);
	if (!p->ready && pool_is_ready(pool))
		parent_up(p);
	else if (p->ready && c == pool->metrics)
		counters_publish(p);
	else if (p->ready && c->role == ROLE_WORKER)
		listener_resume(p->listener);
}

/* ---- the node goes down ---- */

void
parent_child_left(struct parent *p)
{
	if (pool_running(p->pool, ROLE_CHILD) == 0)
		event_base_loopbreak(p->base);
	else if (pool_running(p->pool, ROLE_WORKER) == 0)
		pool_dismiss(p->pool);
}

static void
parent_stop_timeout(int fd, short what, void *arg)
{
	struct timeval tv = { .tv_sec = PARENT_LEAVE_MS / 1000 };
	struct parent *p = arg;

	(void)fd;
	(void)what;
	if (pool_running(p->pool, ROLE_WORKER) == 0) {
		pool_kill_rest(p->pool);
		return;
	}
	pool_kill_workers(p->pool);
	evtimer_add(p->stop_timer, &tv);
}

void
parent_stop(struct parent *p)
{
	struct timeval tv = { .tv_sec = PARENT_DRAIN_MS / 1000 };

	if (p->stopping)
		return;
	p->stopping = true;
	log_info("ltpd: stopping connections=%u",
	    shared_total(p->shared, SHARED_CONNS));
	notify_send("STOPPING=1\nSTATUS=waiting for clients to leave");
	listener_stop(p->listener);
	p->stop_timer = evtimer_new(p->base, parent_stop_timeout, p);
	if (p->stop_timer == NULL || evtimer_add(p->stop_timer, &tv) == -1)
		pool_kill_workers(p->pool);
	else
		pool_drain(p->pool, PARENT_WORKER_DRAIN_MS);
	counters_publish(p);
	parent_child_left(p);
}

void
parent_fail(struct parent *p, const char *fmt, ...)
{
	char why[LOG_LINE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	log_at(LEVEL_ERROR, "ltpd: %s", why);
	p->status = 1;
	parent_stop(p);
}

/* ---- signals and the clock ---- */

static void
parent_sigchld(int sig, short what, void *arg)
{
	struct parent *p = arg;

	(void)sig;
	(void)what;
	pool_reap(p->pool);
}

static void
parent_sighup(int sig, short what, void *arg)
{
	char error[RELOAD_ERROR_MAX];

	(void)sig;
	(void)what;
	reload_start(arg, NULL, NULL, error);
}

static void
parent_sigterm(int sig, short what, void *arg)
{
	(void)what;
	log_info("ltpd: signal %d (%s)", sig, strsignal(sig));
	parent_stop(arg);
}

int
parent_rotate(struct parent *p, void (*done)(const char *, void *), void *arg,
    char error[PARENT_ERROR_MAX])
{
	if (logfile_reopen() == -1) {
		snprintf(error, PARENT_ERROR_MAX, "log_file: not reopened: %s",
		    strerror(errno));
		return -1;
	}
	log_info("ltpd: log reopened");
	return auditlog_reopen(p, done, arg, error);
}

static void
parent_sigusr1(int sig, short what, void *arg)
{
	char error[PARENT_ERROR_MAX];

	(void)sig;
	(void)what;
	if (parent_rotate(arg, NULL, NULL, error) == -1)
		log_warnx("%s", error);
}

static const struct {
	int signal;
	event_callback_fn handler;
} parent_signals[] = {
	{ SIGCHLD, parent_sigchld },
	{ SIGHUP, parent_sighup },
	{ SIGINT, parent_sigterm },
	{ SIGTERM, parent_sigterm },
	{ SIGUSR1, parent_sigusr1 },
};

#define PARENT_SIGNALS (sizeof(parent_signals) / sizeof(parent_signals[0]))

static int
parent_catch_signals(struct parent *p)
{
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < PARENT_SIGNALS; i++) {
		p->signals[i] = evsignal_new(p->base, parent_signals[i].signal,
		    parent_signals[i].handler, p);
		if (p->signals[i] == NULL ||
		    evsignal_add(p->signals[i], NULL) == -1)
			return -1;
	}
	return 0;
}

static void
parent_tick(int fd, short what, void *arg)
{
	struct parent *p = arg;

	(void)fd;
	(void)what;
	watchdog_tick(p->pool);
	counters_publish(p);
	notify_watchdog();
}

static int
parent_start_tick(struct parent *p)
{
	struct timeval second = { .tv_sec = 1 };

	p->tick = event_new(p->base, -1, EV_PERSIST, parent_tick, p);
	if (p->tick == NULL)
		return -1;
	return event_add(p->tick, &second);
}

void
parent_log_level(struct parent *p, enum log_level level)
{
	struct msg_log_level m = { .level = level };
	size_t i;

	log_set_level(level);
	for (i = 0; i < p->pool->count; i++) {
		if (p->pool->child[i].ch != NULL)
			chan_send(p->pool->child[i].ch, MSG_LOG_LEVEL, &m,
			    sizeof(m), NULL, 0);
	}
}

/* ---- the whole life ---- */

static int
parent_begin(struct parent *p)
{
	p->started = monotime_now();
	p->next_conn = 1;
	p->generation = p->last_generation = 1;
	if ((p->base = event_base_new()) == NULL ||
	    parent_catch_signals(p) == -1 || parent_start_tick(p) == -1) {
		log_warn("ltpd: event base");
		return -1;
	}
	hooks_arm(p->base);
	if ((p->shared = shared_new(p->conf->workers, &p->shared_fd)) == NULL) {
		log_warn("ltpd: shared table");
		return -1;
	}
	if ((p->keywatch = keywatch_new(p)) == NULL) {
		log_warn("ltpd: key file watch");
		return -1;
	}
	if ((p->remotewatch = remotewatch_new(p)) == NULL) {
		log_warn("ltpd: watch of the remote listener's files");
		return -1;
	}
	if (control_start(p->control, p) == -1 ||
	    (p->pool = pool_new(p)) == NULL || pool_start(p->pool) == -1) {
		log_warn("ltpd: children cannot be started");
		return -1;
	}
	return 0;
}

static void
parent_end(struct parent *p)
{
	size_t i;

	reload_abandon(p);
	keywatch_free(p->keywatch);
	remotewatch_free(p->remotewatch);
	control_free(p->control);
	listener_free(p->listener);
	pool_free(p->pool);
	shared_free(p->shared);
	if (p->shared_fd != -1)
		close(p->shared_fd);
	for (i = 0; i < PARENT_SIGNALS; i++) {
		if (p->signals[i] != NULL)
			event_free(p->signals[i]);
	}
	if (p->tick != NULL)
		event_free(p->tick);
	if (p->stop_timer != NULL)
		event_free(p->stop_timer);
	if (p->base != NULL)
		event_base_free(p->base);
	auditlog_free(p->auditlog);
	signing_free(p);
	tokens_free(p->tokens);
	paths_free(p->paths);
	keyset_free(p->keys);
	keyset_free(p->base_keys);
	conf_free(p->conf);
	conf_env_free(p->env);
}

int
parent_run(struct parent *p)
{
	p->shared_fd = -1;
	if (parent_begin(p) == -1)
		p->status = 1;
	else
		event_base_dispatch(p->base);
	if (p->status == 0)
		log_info("ltpd: stopped");
	parent_end(p);
	return p->status;
}
