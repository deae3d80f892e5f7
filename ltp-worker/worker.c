/*
 * Worker.  Reads bytes from strangers, so it owns nothing worth stealing: no
 * key, no path, only descriptors that the supervisor passed.  It hears the
 * supervisor, ltp-auth and ltp-sign and nobody else, and tells ltp-audit.  After
 * its first configuration it enters its sandbox and opens nothing any more.
 */
#include "worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chan.h"
#include "child.h"
#include "childlog.h"
#include "client.h"
#include "json.h"
#include "log.h"
#include "sandbox.h"
#include "session.h"
#include "shared.h"
#include "tls.h"
#include "wire.h"

/* Sessions in a page, so that the supervisor is never kept long. */
#define WORKER_PAGE_MAX 64

void
worker_wake(struct worker *w)
{
	w->now = monotime_now();
}

/* ---- deadlines ---- */

static void
worker_sooner(struct monotime *first, struct monotime other)
{
	if (other.us != 0 && (first->us == 0 || other.us < first->us))
		*first = other;
}

void
worker_set_deadline(struct worker *w)
{
	const struct client *c;
	struct monotime first;
	struct timeval tv;
	int64_t us;

	first = login_deadline(&w->logins);
	worker_sooner(&first, remote_deadline(&w->remotes));
	if ((c = TAILQ_FIRST(&w->greeting)) != NULL)
		worker_sooner(&first, c->passage->deadline);
	if ((c = TAILQ_FIRST(&w->entering)) != NULL)
		worker_sooner(&first, c->passage->deadline);
	if ((c = TAILQ_FIRST(&w->lingering)) != NULL)
		worker_sooner(&first, c->passage->deadline);
	if (first.us == 0)
		return;
	us = monotime_diff_us(first, w->now);
	if (us < 0)
		us = 0;
	tv.tv_sec = us / 1000000;
	tv.tv_usec = us % 1000000;
	evtimer_add(w->deadline, &tv);
}

static void
worker_expire(struct worker *w, struct client_list *list)
{
	struct client *c;

	while ((c = TAILQ_FIRST(list)) != NULL &&
	       monotime_reached(w->now, c->passage->deadline))
		client_expired(c);
}

static void
worker_deadline(int fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	worker_wake(w);
	login_expire(w);
	remote_expire(w);
	worker_expire(w, &w->greeting);
	worker_expire(w, &w->entering);
	worker_expire(w, &w->lingering);
	worker_set_deadline(w);
}

/* ---- the janitor ---- */

static void
worker_plan_janitor(struct worker *w)
{
	uint32_t ms = w->settings->node.gc_interval_ms;
	struct timeval tv;

	/* A little early at random, so that workers do not sweep at once. */
	ms -= arc4random_uniform(ms / 10 + 1);
	tv.tv_sec = ms / 1000;
	tv.tv_usec = ms % 1000 * 1000;
	evtimer_add(w->janitor, &tv);
}

static void
worker_sweep(int fd, short what, void *arg)
{
	struct worker *w = arg;
	struct client *c, *next;
	uint64_t before = w->count.now.n[COUNT_EXPIRED_TTL];
	uint32_t ttl, idle;

	(void)fd;
	(void)what;
	worker_wake(w);
	ttl = w->settings->node.idle_ttl_ms;
	TAILQ_FOREACH_SAFE(c, &w->clients, all, next) {
		idle = c->remote == NULL ? ttl : remote_idle_ms(c);
		if (c->state == CLIENT_OPEN && !c->parked &&
		    !passage_is_timed(c) && client_idle_ms(c) >= idle)
			client_idle(c);
	}
	w->count.expired_last_sweep =
	    w->count.now.n[COUNT_EXPIRED_TTL] - before;
	hist_observe(&w->count.now.hist[HIST_JANITOR_SWEEP],
	    monotime_diff_us(monotime_now(), w->now));
	worker_plan_janitor(w);
}

/* ---- configuration ---- */

static void
worker_conf_begin(struct worker *w, struct msg *m)
{
	struct msg_conf_begin begin;

	memcpy(&begin, m->data, sizeof(begin));
	tls_desk_begin(w->tls);
	settings_free(w->next);
	if ((w->next = settings_new(begin.generation)) == NULL)
		fatal("configuration");
	log_set_level(begin.log_level);
}

static void
worker_conf_record(struct worker *w, struct msg *m)
{
	int rv;

	if (w->next == NULL)
		fatalx("%s before conf_begin", msg_name(m->type));
	if (m->type == MSG_CONF_WORKER)
		rv = settings_node(w->next, m->data, m->len);
	else if (m->type == MSG_CONF_ORIGIN)
		rv = settings_origin(w->next, m->data, m->len);
	else if (m->type == MSG_CONF_PROXY)
		rv = settings_proxy(w->next, m->data, m->len);
	else if (m->type == MSG_CONF_REMOTE)
		rv = settings_remote(w->next, m->data, m->len);
	else
		rv = settings_agent(w->next, m->data, m->len);
	if (rv == -1)
		fatalx("%s makes no sense", msg_name(m->type));
}

/* A node without TLS has nothing of it in memory. */
static void
worker_start_tls(struct worker *w)
{
	if (w->tls == NULL &&
	    (w->tls = tls_desk_new(w->base, w->parent)) == NULL)
		fatal("tls: cannot start");
}

static void
worker_conf_tls(struct worker *w, struct msg *m)
{
	struct msg_conf_tls conf;
	const char *why;

	if (w->next == NULL || !w->next->has_remote || !w->next->remote.tls)
		fatalx("tls without a remote listener");
	memcpy(&conf, m->data, sizeof(conf));
	worker_start_tls(w);
	if (tls_desk_conf(
		w->tls, m->fds[0], &conf, w->next->remote.mtls, &why) == -1)
		fatalx("tls: %s", why);
	w->next->records++;
}

static void
worker_conf_end(struct worker *w, struct msg *m)
{
	struct msg_conf_end end;
	struct msg_conf_ack ack;

	memcpy(&end, m->data, sizeof(end));
	if (w->next == NULL || !w->next->complete ||
	    end.generation != w->next->generation ||
	    end.records != w->next->records)
		fatalx("configuration is incomplete");
	ack.generation = end.generation;
	chan_send(w->parent, MSG_CONF_ACK, &ack, sizeof(ack), NULL, 0);
}

static void
worker_start(struct worker *w)
{
	if (w->shared == NULL)
		fatalx("no shared table");
	if (count_start(&w->count, w->base, w->parent) == -1)
		fatal("timer");
	child_enter(ROLE_WORKER, w->parent);
}

static void
worker_conf_commit(struct worker *w)
{
	bool first = w->settings == NULL;
	struct client *c;

	if (w->next == NULL)
		fatalx("commit of nothing");
	settings_free(w->settings);
	w->settings = w->next;
	w->next = NULL;
	tls_desk_commit(w->tls);
	TAILQ_FOREACH(c, &w->clients, all)
		c->ws.max_message = w->settings->node.max_message_bytes;
	remote_commit(w);
	if (first)
		worker_start(w);
	worker_plan_janitor(w);
}

static void
worker_take_shared(struct worker *w, struct msg *m)
{
	struct msg_shared shared;

	if (w->shared != NULL)
		fatalx("a second shared table");
	memcpy(&shared, m->data, sizeof(shared));
	if ((w->shared = shared_map(m->fds[0], &shared)) == NULL)
		fatal("shared table");
}

static void
worker_take_signer(struct worker *w, int fd, const struct msg_peer *peer)
{
	worker_start_tls(w);
	if (tls_desk_set_signer(w->tls, fd, peer) == -1)
		fatal("sign: no channel");
}

static void
worker_take_peer(struct worker *w, struct msg *m)
{
	struct msg_peer peer;

	memcpy(&peer, m->data, sizeof(peer));
	if (peer.role == ROLE_AUTH)
		login_set_auth(w, m->fds[0], &peer);
	else if (peer.role == ROLE_AUDIT)
		journal_set_audit(w, m->fds[0], &peer);
	else if (peer.role == ROLE_SIGN)
		worker_take_signer(w, m->fds[0], &peer);
	else
		fatalx("introduced to %u", peer.role);
	m->fds[0] = -1;
}

/* ---- connections and sessions ---- */

static void
worker_adopt(struct worker *w, struct msg *m)
{
	const struct msg_conn *conn = (const struct msg_conn *)m->data;
	size_t i;

	if (m->len != m->nfds * sizeof(*conn) || w->settings == NULL)
		fatalx("%zu descriptors for %zu bytes of connections", m->nfds,
		    m->len);
	for (i = 0; i < m->nfds; i++) {
		client_new(w, m->fds[i], &conn[i]);
		m->fds[i] = -1;
	}
}

static bool
worker_has_session(const struct client *c)
{
	return c->session != NULL && !c->session->over;
}

/* One record; false when it does not fit any more. */
static bool
worker_put_session(
    struct worker *w, struct wire_out *out, const struct client *c)
{
	struct str client_id = session_client_id(c->session);
	struct str tag = session_tag(c->session);
	char own[UUID_TEXT_SIZE];
	size_t id_len = strlen(session_id(c->session, own));
	struct msg_session r;

	if (sizeof(r) + client_id.len + id_len + tag.len > out->size - out->len)
		return false;
	memset(&r, 0, sizeof(r));
	r.conn = c->id;
	r.age_ms = client_age_ms(c) - c->session->made_ms;
	r.idle_ms = client_idle_ms(c);
	r.messages_in = c->messages_in;
	r.messages_out = c->messages_out;
	r.addr = c->addr;
	r.dialect = c->dialect;
	r.identity = c->identity;
	r.client_id_len = client_id.len;
	r.session_id_len = id_len;
	r.tag_len = tag.len;
	r.slot = w->slot;
	wire_put(out, &r, sizeof(r));
	wire_put(out, client_id.p, client_id.len);
	wire_put(out, own, id_len);
	wire_put(out, tag.p, tag.len);
	return true;
}

static void
worker_list_sessions(struct worker *w, struct msg *m)
{
	uint8_t buf[MSG_MAX_PAYLOAD - sizeof(struct msg_sessions_page)];
	struct msg_sessions_page page;
	struct msg_sessions_get get;
	const struct client *c;
	struct wire_out out;

	memcpy(&get, m->data, sizeof(get));
	memset(&page, 0, sizeof(page));
	page.request = get.request;
	wire_out_init(&out, buf, sizeof(buf));
	TAILQ_FOREACH(c, &w->clients, all) {
		if (c->id <= get.after || !worker_has_session(c))
			continue;
		if (page.count == WORKER_PAGE_MAX ||
		    !worker_put_session(w, &out, c))
			break;
		page.count++;
	}
	page.last = c == NULL;
	chan_send(
	    w->parent, MSG_SESSIONS_PAGE, &page, sizeof(page), buf, out.len);
}

static bool
worker_is_session(const struct client *c, const char *id, size_t len)
{
	char number[32], own[UUID_TEXT_SIZE];
	int n;

	if (!worker_has_session(c))
		return false;
	n = snprintf(number, sizeof(number), "%llu", (unsigned long long)c->id);
	if ((size_t)n == len && memcmp(number, id, len) == 0)
		return true;
	return len > 0 && strlen(session_id(c->session, own)) == len &&
	       memcmp(own, id, len) == 0;
}

static void
worker_kill_session(struct worker *w, struct msg *m)
{
	struct msg_session_killed answer = { .found = 0 };
	struct msg_session_kill kill;
	const char *id = (const char *)m->data + sizeof(kill);
	struct client *c;

	memcpy(&kill, m->data, sizeof(kill));
	answer.request = kill.request;
	TAILQ_FOREACH(c, &w->clients, all) {
		if (worker_is_session(c, id, m->len - sizeof(kill)))
			break;
	}
	if (c != NULL) {
		answer.found = 1;
		client_close(c, WS_POLICY, "disconnected by the operator");
		client_served(c);
	}
	chan_send(
	    w->parent, MSG_SESSION_KILLED, &answer, sizeof(answer), NULL, 0);
}

/* ---- the end ---- */

static _Noreturn void
worker_leave(struct worker *w)
{
	journal_leave(w);
	count_report(&w->count);
	chan_flush(w->parent, 500);
	exit(0);
}

static void
worker_drain_timeout(int fd, short what, void *arg)
{
	struct worker *w = arg;
	struct client *c;

	(void)fd;
	(void)what;
	worker_wake(w);
	log_info("drain: %zu clients are cut off", w->nclients);
	while ((c = TAILQ_FIRST(&w->clients)) != NULL)
		client_free(c);
	worker_leave(w);
}

static void
worker_drain(struct worker *w, struct msg *m)
{
	struct client *c, *next;
	struct msg_drain drain;
	struct timeval tv;
	const char *why;

	memcpy(&drain, m->data, sizeof(drain));
	w->draining = true;
	tv.tv_sec = drain.timeout_ms / 1000;
	tv.tv_usec = drain.timeout_ms % 1000 * 1000;
	evtimer_add(w->drain, &tv);
	if (sandbox_tighten(ROLE_WORKER, &why) == -1)
		log_warn("sandbox: %s", why);
	if (TAILQ_EMPTY(&w->clients))
		worker_leave(w);
	TAILQ_FOREACH_SAFE(c, &w->clients, all, next)
		client_shutdown(c);
}

void
worker_client_gone(struct worker *w)
{
	if (w->draining && w->nclients == 0)
		worker_leave(w);
}

/* ---- dispatch ---- */

static void
worker_dispatch_parent(struct chan *ch, struct msg *m, void *arg)
{
	struct worker *w = arg;

	worker_wake(w);
	switch (m->type) {
	case MSG_CONF_BEGIN:
		worker_conf_begin(w, m);
		break;
	case MSG_CONF_WORKER:
	case MSG_CONF_ORIGIN:
	case MSG_CONF_PROXY:
	case MSG_CONF_REMOTE:
	case MSG_CONF_AGENT:
		worker_conf_record(w, m);
		break;
	case MSG_CONF_TLS:
		worker_conf_tls(w, m);
		break;
	case MSG_CONF_END:
		worker_conf_end(w, m);
		break;
	case MSG_CONF_COMMIT:
		worker_conf_commit(w);
		break;
	case MSG_SHARED:
		worker_take_shared(w, m);
		break;
	case MSG_PEER:
		worker_take_peer(w, m);
		break;
	case MSG_AUDIT_ALLOW:
		journal_allow(w, m);
		break;
	case MSG_LOG_LEVEL:
		child_log_level(m);
		break;
	case MSG_PING:
		child_pong(ch);
		break;
	case MSG_CONN_NEW:
		worker_adopt(w, m);
		break;
	case MSG_SESSIONS_GET:
		worker_list_sessions(w, m);
		break;
	case MSG_SESSION_KILL:
		worker_kill_session(w, m);
		break;
	case MSG_DRAIN:
		worker_drain(w, m);
		break;
	default:
		fatalx("%s from supervisor", msg_name(m->type));
	}
}

static void
worker_parent_gone(struct chan *ch, enum chan_end end, void *arg)
{
	(void)arg;
	child_parent_gone(ch, end);
}

static const struct chan_ops worker_chan_ops = {
	.message = worker_dispatch_parent,
	.gone = worker_parent_gone,
};

static void
worker_init(struct worker *w, unsigned slot)
{
	w->slot = slot;
	TAILQ_INIT(&w->clients);
	TAILQ_INIT(&w->greeting);
	TAILQ_INIT(&w->entering);
	TAILQ_INIT(&w->lingering);
	remote_init(&w->remotes);
	login_init(&w->logins);
	if ((w->base = event_base_new()) == NULL ||
	    (w->json = json_new()) == NULL || journal_init(w) == -1)
		fatal("cannot start");
	w->deadline = evtimer_new(w->base, worker_deadline, w);
	w->janitor = evtimer_new(w->base, worker_sweep, w);
	w->drain = evtimer_new(w->base, worker_drain_timeout, w);
	w->parent = chan_new(w->base, CHILD_CHANNEL_FD, ROLE_WORKER,
	    ROLE_PARENT, &worker_chan_ops, w);
	if (w->deadline == NULL || w->janitor == NULL || w->drain == NULL ||
	    w->parent == NULL)
		fatal("cannot start");
	childlog_start(w->parent);
	worker_wake(w);
}

int
main(int argc, char *argv[])
{
	unsigned slot = child_start(ROLE_WORKER, argc, argv);
	struct worker *w;

	if ((w = calloc(1, sizeof(*w))) == NULL)
		fatal("cannot start");
	worker_init(w, slot);
	event_base_dispatch(w->base);
	return 1;
}
