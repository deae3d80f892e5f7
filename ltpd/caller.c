/*
 * ltpctl's requests and their answers.
 */
#include "config.h"

#include "caller.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auditlog.h"
#include "chan.h"
#include "counters.h"
#include "listener.h"
#include "log.h"
#include "parent.h"
#include "pool.h"
#include "reload.h"
#include "tokens.h"
#include "wire.h"

#define CALLERS_MAX 16

enum caller_list {
	LIST_NONE = 0,
	LIST_SESSIONS,
	LIST_KEYS,
};

/* One ltpctl. */
struct caller {
	TAILQ_ENTRY(caller) entry;
	struct callers *callers;
	struct chan *ch;
	uid_t uid;
	bool greeted;
	/* what it waits for */
	uint32_t request; /* of a worker's answer, 0: none */
	bool waiting; /* for a reload, or a new file of the audit log */
	enum caller_list list; /* what is being listed */
	size_t key; /* the next one, by number */
	size_t worker; /* whose sessions, by slot */
	uint64_t after; /* the last connection it was told of */
	uint64_t asked; /* workers, a bit per slot, that look for a
				  session to disconnect */
	bool found;
};

static void caller_next_sessions(struct caller *);
static void caller_next_keys(struct caller *);

/* ---- callers ---- */

static void
caller_free(struct caller *c)
{
	struct callers *cs = c->callers;

	reload_forget(cs->parent, c);
	auditlog_forget(cs->parent->auditlog, c);
	TAILQ_REMOVE(&cs->list, c, entry);
	cs->count--;
	chan_free(c->ch);
	free(c);
}

/* Ends the answer to a request; the operator may ask again. */
static void
caller_end(struct caller *c, const char *error)
{
	struct msg_ctl_end m = { .failed = error != NULL };
	const char *text = error == NULL ? "" : error;

	c->request = 0;
	c->list = LIST_NONE;
	c->waiting = false;
	chan_send(c->ch, MSG_CTL_END, &m, sizeof(m), text, strnlen(text, 1024));
}

static uint32_t
caller_new_request(struct caller *c)
{
	if (++c->callers->last_request == 0)
		c->callers->last_request = 1;
	return c->request = c->callers->last_request;
}

static void
caller_hello(struct caller *c, struct msg *m)
{
	struct msg_ctl_hello theirs, ours = { .version = CTL_VERSION };

	memcpy(&theirs, m->data, sizeof(theirs));
	chan_send(c->ch, MSG_CTL_HELLO, &ours, sizeof(ours), NULL, 0);
	if (theirs.version != CTL_VERSION)
		chan_reject(c->ch, "speaks another version");
	c->greeted = true;
}

/* ---- show ---- */

static void
show_summary(struct caller *c)
{
	struct parent *p = c->callers->parent;
	struct msg_ctl_summary m;
	const char *text;
	char tail[64 + LTP_ID_MAX];
	struct wire_out out;
	size_t i;

	memset(&m, 0, sizeof(m));
	counters_snapshot(p, &m.stat);
	m.pid = getpid();
	m.max_connections = p->conf->max_connections;
	m.max_sessions = p->conf->max_sessions;
	m.auth_mode = p->conf->auth_mode;
	m.log_level = log_get_level();
	m.version_len = strlen(LTPD_VERSION);
	m.node_id_len = strlen(p->conf->id);
	wire_out_init(&out, tail, sizeof(tail));
	wire_put(&out, LTPD_VERSION, m.version_len);
	wire_put(&out, p->conf->id, m.node_id_len);
	chan_send(c->ch, MSG_CTL_SUMMARY, &m, sizeof(m), tail, out.len);
	for (i = 0; (text = listener_text(p->listener, i)) != NULL; i++)
		chan_send(c->ch, MSG_CTL_LISTENER, text, strlen(text), NULL, 0);
	caller_end(c, NULL);
}

static void
show_processes(struct caller *c)
{
	struct pool *pool = c->callers->parent->pool;
	struct msg_process m;
	size_t i;

	pool_describe(c->callers->parent, NULL, &m);
	chan_send(c->ch, MSG_CTL_PROCESS, &m, sizeof(m), NULL, 0);
	for (i = 0; i < pool->count; i++) {
		pool_describe(c->callers->parent, &pool->child[i], &m);
		m.last = i + 1 == pool->count;
		chan_send(c->ch, MSG_CTL_PROCESS, &m, sizeof(m), NULL, 0);
	}
	caller_end(c, NULL);
}

static void
show_sessions(struct caller *c)
{
	c->list = LIST_SESSIONS;
	c->worker = 0;
	c->after = 0;
	caller_next_sessions(c);
}

static void
show_keys(struct caller *c)
{
	c->list = LIST_KEYS;
	c->key = 0;
	caller_next_keys(c);
}

static void
show_setting(const char *name, const char *value, const char *origin, void *arg)
{
	struct caller *c = arg;
	struct msg_ctl_config m;
	char buf[MSG_MAX_PAYLOAD];
	struct wire_out out;

	m.name_len = strlen(name);
	m.origin_len = strlen(origin);
	m.value_len = strlen(value);
	wire_out_init(&out, buf, sizeof(buf) - sizeof(m));
	wire_put(&out, name, m.name_len);
	wire_put(&out, value, m.value_len);
	wire_put(&out, origin, m.origin_len);
	if (out.overflow)
		log_warnx("control: %s is too long to be shown", name);
	else
		chan_send(c->ch, MSG_CTL_CONFIG, &m, sizeof(m), buf, out.len);
}

static void
show_config(struct caller *c)
{
	conf_each(c->callers->parent->conf, show_setting, c);
	caller_end(c, NULL);
}

static void
caller_show(struct caller *c, struct msg *m)
{
	static void (*const show[SHOW__MAX])(struct caller *) = {
		[SHOW_SUMMARY] = show_summary,
		[SHOW_PROCESSES] = show_processes,
		[SHOW_SESSIONS] = show_sessions,
		[SHOW_KEYS] = show_keys,
		[SHOW_CONFIG] = show_config,
	};
	struct msg_ctl_show what;

	memcpy(&what, m->data, sizeof(what));
	if (what.what == SHOW_NONE || what.what >= SHOW__MAX)
		caller_end(c, "there is nothing of that kind to show");
	else
		show[what.what](c);
}

/* ---- what takes time ---- */

/* Ask the next worker that is there for a page of sessions, or end. */
static void
caller_next_sessions(struct caller *c)
{
	struct pool *pool = c->callers->parent->pool;
	struct msg_sessions_get m;

	for (; c->worker < pool->nworkers; c->worker++, c->after = 0) {
		const struct child *worker = &pool->child[c->worker];

		if (worker->state != CHILD_READY &&
		    worker->state != CHILD_DRAINING)
			continue;
		memset(&m, 0, sizeof(m));
		m.request = caller_new_request(c);
		m.after = c->after;
		if (chan_send(worker->ch, MSG_SESSIONS_GET, &m, sizeof(m), NULL,
			0) == 0)
			return;
	}
	caller_end(c, NULL);
}

static struct caller *
callers_find(struct callers *cs, uint32_t request)
{
	struct caller *c;

	TAILQ_FOREACH(c, &cs->list, entry) {
		if (request != 0 && c->request == request)
			return c;
	}
	return NULL;
}

/* A record of a page, or false when it cannot be one of that worker's. */
static bool
page_record(struct wire *w, const struct child *worker, uint64_t *last)
{
	struct msg_session s;

	wire_copy(w, &s, sizeof(s));
	if (s.conn <= *last || s.conn >= worker->parent->next_conn ||
	    s.slot != worker->slot || s.client_id_len > LTP_ID_MAX ||
	    s.session_id_len > LTP_ID_MAX || s.tag_len > LTP_ID_MAX)
		return false;
	*last = s.conn;
	wire_bytes(w, s.client_id_len);
	wire_bytes(w, s.session_id_len);
	wire_bytes(w, s.tag_len);
	return !w->bad;
}

/*
 * Is it a page of sessions with connection ids above *last, which gets the
 * greatest?  They rise, so a list has an end.
 */
static bool
page_check(const struct msg *m, const struct child *worker, uint64_t *last)
{
	struct msg_sessions_page page;
	struct wire w;
	unsigned i;

	wire_init(&w, m->data, m->len);
	wire_copy(&w, &page, sizeof(page));
	for (i = 0; i < page.count; i++) {
		if (!page_record(&w, worker, last))
			return false;
	}
	return wire_done(&w);
}

bool
callers_sessions_page(struct callers *cs, struct child *child, struct msg *m)
{
	struct msg_sessions_page page;
	struct caller *c;
	uint64_t last = 0;

	memcpy(&page, m->data, sizeof(page));
	if (page.request == 0 || page.request > cs->last_request)
		return false;
	/* The operator may have gone meanwhile; that is no lie. */
	if ((c = callers_find(cs, page.request)) == NULL)
		return page_check(m, child, &last);
	if (c->list != LIST_SESSIONS || c->worker != child->slot ||
	    !page_check(m, child, &c->after))
		return false;
	if (page.count > 0)
		chan_send(c->ch, MSG_CTL_SESSIONS, m->data, m->len, NULL, 0);
	c->request = 0;
	if (page.last || page.count == 0) {
		c->worker++;
		c->after = 0;
	}
	if (chan_queued(c->ch) == 0)
		caller_next_sessions(c);
	return true;
}

/*
 * Send keys from number c->key on, with what auth says of their use, and ask
 * for the next page.  Without auth (use NULL) all are sent at once.
 */
static void
caller_send_keys(struct caller *c, const struct msg_key_use *use, size_t count)
{
	const struct keyset *keys = c->callers->parent->keys;
	const struct key *k;
	struct msg_ctl_key m;
	size_t i = 0, n = 0;

	TAILQ_FOREACH(k, &keys->keys, entry) {
		if (i++ < c->key)
			continue;
		if (use != NULL && n == count)
			break;
		memset(&m, 0, sizeof(m));
		memcpy(m.digest_prefix, k->digest, sizeof(m.digest_prefix));
		m.source = k->source;
		m.loaded = k->loaded;
		m.last_used = use == NULL ? -1 : use[n].last_used;
		m.sessions = use == NULL ? -1 : use[n].sessions;
		m.id_len = strlen(k->id);
		if (chan_send(c->ch, MSG_CTL_KEY, &m, sizeof(m), k->id,
			m.id_len) == -1)
			break;
		n++;
	}
	c->key += n;
}

/* Tokens are never many, and nobody counts how they are used. */
static void
caller_end_keys(struct caller *c)
{
	const struct tokens *t = c->callers->parent->tokens;
	struct msg_ctl_key m;
	size_t i;

	for (i = 0; t != NULL && !t->shut && i < t->count; i++) {
		memset(&m, 0, sizeof(m));
		memcpy(m.digest_prefix, t->token[i].digest,
		    sizeof(m.digest_prefix));
		m.source = t->token[i].source;
		m.realm = REALM_TOKENS;
		m.loaded = t->token[i].loaded;
		m.last_used = m.sessions = -1;
		m.id_len = t->token[i].id_len;
		if (chan_send(c->ch, MSG_CTL_KEY, &m, sizeof(m), t->token[i].id,
			m.id_len) == -1)
			break;
	}
	caller_end(c, NULL);
}

static void
caller_next_keys(struct caller *c)
{
	const struct parent *p = c->callers->parent;
	const struct child *auth = p->pool->auth;
	struct msg_keys_get m;

	if (p->keys == NULL || c->key >= p->keys->count) {
		caller_end_keys(c);
		return;
	}
	if (auth != NULL && auth->state == CHILD_READY && auth->ch != NULL) {
		m.request = caller_new_request(c);
		m.first = c->key;
		if (chan_send(auth->ch, MSG_KEYS_GET, &m, sizeof(m), NULL, 0) ==
		    0)
			return;
	}
	caller_send_keys(c, NULL, 0);
	caller_end_keys(c);
}

bool
callers_keys_page(struct callers *cs, struct child *child, struct msg *m)
{
	struct msg_key_use use[KEYS_PAGE_MAX];
	struct msg_keys_page page;
	struct caller *c;

	(void)child;
	memcpy(&page, m->data, sizeof(page));
	if (page.request == 0 || page.request > cs->last_request ||
	    page.count > KEYS_PAGE_MAX ||
	    m->len != sizeof(page) + page.count * sizeof(use[0]))
		return false;
	if ((c = callers_find(cs, page.request)) == NULL)
		return true;
	if (c->list != LIST_KEYS || page.first != c->key)
		return false;
	c->request = 0;
	memcpy(use, m->data + sizeof(page), page.count * sizeof(use[0]));
	/* In the middle of a reload the numbers may not fit: do without. */
	if (page.generation != cs->parent->generation || page.count == 0 ||
	    cs->parent->keys == NULL) {
		if (cs->parent->keys != NULL)
			caller_send_keys(c, NULL, 0);
		caller_end_keys(c);
		return true;
	}
	caller_send_keys(c, use, page.count);
	if (chan_queued(c->ch) == 0)
		caller_next_keys(c);
	return true;
}

static void
caller_disconnect(struct caller *c, struct msg *m)
{
	struct pool *pool = c->callers->parent->pool;
	struct msg_session_kill kill;
	size_t i;

	kill.request = caller_new_request(c);
	c->asked = 0;
	c->found = false;
	for (i = 0; i < pool->nworkers; i++) {
		if (pool->child[i].state == CHILD_READY &&
		    chan_send(pool->child[i].ch, MSG_SESSION_KILL, &kill,
			sizeof(kill), m->data, m->len) == 0)
			c->asked |= UINT64_C(1) << i;
	}
	if (c->asked == 0)
		caller_end(c, "no worker is ready");
}

static void
caller_kill_answered(struct caller *c, unsigned slot, bool found)
{
	c->asked &= ~(UINT64_C(1) << slot);
	c->found |= found;
	if (c->asked == 0)
		caller_end(c, c->found ? NULL : "no such session");
}

bool
callers_session_killed(struct callers *cs, struct child *child, struct msg *m)
{
	struct msg_session_killed answer;
	struct caller *c;

	memcpy(&answer, m->data, sizeof(answer));
	if (answer.request == 0 || answer.request > cs->last_request)
		return false;
	/* The operator may have gone meanwhile; that is no lie. */
	if ((c = callers_find(cs, answer.request)) == NULL)
		return true;
	if ((c->asked & (UINT64_C(1) << child->slot)) == 0)
		return false;
	caller_kill_answered(c, child->slot, answer.found != 0);
	return true;
}

/* A caller waits for a worker that has gone. */
static void
caller_worker_gone(struct caller *c, const struct child *worker)
{
	if (c->list == LIST_SESSIONS && c->request != 0 &&
	    c->worker == worker->slot) {
		c->worker++;
		c->after = 0;
		caller_next_sessions(c);
	} else if ((c->asked & UINT64_C(1) << worker->slot) != 0) {
		caller_kill_answered(c, worker->slot, false);
	}
}

void
callers_child_gone(struct callers *cs, struct child *child)
{
	struct caller *c, *next;

	/* Only workers have slots of their own: others are all number 0. */
	TAILQ_FOREACH_SAFE(c, &cs->list, entry, next) {
		if (child->role == ROLE_WORKER)
			caller_worker_gone(c, child);
		else if (child->role == ROLE_AUTH && c->list == LIST_KEYS &&
			 c->request != 0)
			caller_next_keys(c);
	}
}

static void
caller_done(const char *error, void *arg)
{
	caller_end(arg, error);
}

static void
caller_reload(struct caller *c)
{
	char error[RELOAD_ERROR_MAX];

	c->waiting = true;
	if (reload_start(c->callers->parent, caller_done, c, error) == -1)
		caller_end(c, error);
}

static void
caller_log(struct caller *c, struct msg *m)
{
	struct parent *p = c->callers->parent;
	struct msg_ctl_log what;

	memcpy(&what, m->data, sizeof(what));
	parent_log_level(p, what.verbose ? LEVEL_DEBUG : p->conf->log_level);
	caller_end(c, NULL);
}

static void
caller_rotate(struct caller *c)
{
	char error[PARENT_ERROR_MAX];

	switch (parent_rotate(c->callers->parent, caller_done, c, error)) {
	case 0:
		caller_end(c, NULL);
		break;
	case 1:
		c->waiting = true;
		break;
	default:
		caller_end(c, error);
	}
}

static void
caller_stop(struct caller *c)
{
	log_info("control: stop asked for by uid %u", (unsigned)c->uid);
	caller_end(c, NULL);
	parent_stop(c->callers->parent);
}

/* ---- dispatch ---- */

static void
caller_dispatch(struct chan *ch, struct msg *m, void *arg)
{
	struct caller *c = arg;

	if (m->type != MSG_CTL_HELLO && !c->greeted) {
		chan_reject(ch, "no hello first");
		return;
	}
	if (c->request != 0 || c->list != LIST_NONE || c->waiting) {
		chan_reject(ch, "asks before it was answered");
		return;
	}
	switch (m->type) {
	case MSG_CTL_HELLO:
		caller_hello(c, m);
		break;
	case MSG_CTL_SHOW:
		caller_show(c, m);
		break;
	case MSG_CTL_RELOAD:
		caller_reload(c);
		break;
	case MSG_CTL_LOG:
		caller_log(c, m);
		break;
	case MSG_CTL_ROTATE:
		caller_rotate(c);
		break;
	case MSG_CTL_DISCONNECT:
		caller_disconnect(c, m);
		break;
	case MSG_CTL_STOP:
		caller_stop(c);
		break;
	default:
		chan_reject(ch, "not a message of ltpctl");
	}
}

static void
caller_gone(struct chan *ch, enum chan_end end, void *arg)
{
	struct caller *c = arg;

	if (end == CHAN_VIOLATION)
		log_warnx("control: uid %u: %s", (unsigned)c->uid,
		    chan_violation(ch));
	caller_free(c);
}

static void
caller_writable(struct chan *ch, void *arg)
{
	struct caller *c = arg;

	(void)ch;
	if (c->request != 0)
		return;
	if (c->list == LIST_SESSIONS)
		caller_next_sessions(c);
	else if (c->list == LIST_KEYS)
		caller_next_keys(c);
}

static const struct chan_ops caller_chan_ops = {
	.message = caller_dispatch,
	.gone = caller_gone,
	.writable = caller_writable,
};

void
callers_init(struct callers *cs)
{
	TAILQ_INIT(&cs->list);
}

/*
 * Make room for one more: who has not even said hello goes first, then who
 * asks for nothing, the longest connected of them.
 */
static bool
callers_shed(struct callers *cs)
{
	struct caller *c, *idle = NULL;

	TAILQ_FOREACH(c, &cs->list, entry) {
		if (!c->greeted) {
			idle = c;
			break;
		}
		if (idle == NULL && c->request == 0 && c->list == LIST_NONE &&
		    !c->waiting)
			idle = c;
	}
	if (idle == NULL)
		return false;
	caller_free(idle);
	return true;
}

int
caller_new(struct callers *cs, int fd, uid_t uid)
{
	struct caller *c;

	if ((cs->count == CALLERS_MAX && !callers_shed(cs)) ||
	    (c = calloc(1, sizeof(*c))) == NULL) {
		log_warnx("control: too many clients");
		close(fd);
		return -1;
	}
	c->callers = cs;
	c->uid = uid;
	c->ch = chan_new(
	    cs->parent->base, fd, ROLE_PARENT, ROLE_CTL, &caller_chan_ops, c);
	if (c->ch == NULL) {
		close(fd);
		free(c);
		return -1;
	}
	TAILQ_INSERT_TAIL(&cs->list, c, entry);
	cs->count++;
	return 0;
}

void
callers_free(struct callers *cs)
{
	struct caller *c;

	while ((c = TAILQ_FIRST(&cs->list)) != NULL) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): TAILQ_REMOVE */
		chan_flush(c->ch, 0);
		caller_free(c);
	}
}
