/*
 * Sign-ins.
 */
#include "login.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "chan.h"
#include "child.h"
#include "client.h"
#include "log.h"
#include "remote.h"
#include "upgrade.h"
#include "wire.h"
#include "worker.h"

/* While auth is away, a new question waits so long for its successor. */
#define LOGIN_WAIT_MS 1000

struct login {
	TAILQ_ENTRY(login) entry;
	struct client *client;
	uint32_t serial;
	bool sent;
	bool enters; /* among the agents; the credential is but an id */
	bool proven;
	struct monotime deadline; /* while it is not sent */
	struct credential *credential; /* until it is sent */
};

void
login_init(struct login_desk *desk)
{
	desk->auth = NULL;
	desk->last_serial = 0;
	TAILQ_INIT(&desk->pending);
}

/* The oldest question that was sent already, or not yet. */
static struct login *
login_first(const struct login_desk *desk, bool sent)
{
	struct login *l;

	TAILQ_FOREACH(l, &desk->pending, entry) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): TAILQ_REMOVE */
		if (l->sent == sent)
			return l;
	}
	return NULL;
}

static void
login_free(struct login_desk *desk, struct login *l)
{
	TAILQ_REMOVE(&desk->pending, l, entry);
	freezero(l->credential, sizeof(*l->credential));
	free(l);
}

void
login_cancel(struct worker *w, struct login *l)
{
	/* It will be granted all the same. */
	if (l->enters && l->sent)
		login_agent_left(w, client_id(l->client));
	login_free(&w->logins, l);
}

static int
agent_send(struct login_desk *desk, uint64_t conn, uint32_t serial,
    const struct str *id, bool proven)
{
	struct msg_agent_enter m = { .conn = conn,
		.serial = serial,
		.id_len = id->len,
		.proven = proven };

	return chan_post(
	    desk->auth, MSG_AGENT_ENTER, &m, sizeof(m), id->p, id->len);
}

static void
login_send_enter(struct login_desk *desk, struct login *l)
{
	const struct credential *cred = l->credential;
	struct str id = { cred->id, cred->id_len };

	if (agent_send(desk, client_id(l->client), l->serial, &id, l->proven) ==
	    -1)
		return;
	l->sent = true;
	freezero(l->credential, sizeof(*l->credential));
	l->credential = NULL;
}

static void
login_send(struct login_desk *desk, struct login *l)
{
	const struct credential *cred = l->credential;
	char tail[LTP_ID_MAX + AUTH_KEY_MAX];
	struct msg_auth_ask m;
	struct wire_out out;

	if (l->enters) {
		login_send_enter(desk, l);
		return;
	}
	memset(&m, 0, sizeof(m));
	m.conn = client_id(l->client);
	m.serial = l->serial;
	m.realm = l->client->remote != NULL ? REALM_TOKENS : REALM_KEYS;
	m.id_len = cred->id_len;
	m.key_len = cred->key_len;
	wire_out_init(&out, tail, sizeof(tail));
	wire_put(&out, cred->id, cred->id_len);
	wire_put(&out, cred->key, cred->key_len);
	if (chan_post(desk->auth, MSG_AUTH_ASK, &m, sizeof(m), tail, out.len) ==
	    0) {
		l->sent = true;
		freezero(l->credential, sizeof(*l->credential));
		l->credential = NULL;
	}
	explicit_bzero(tail, out.len);
}

/* With room for a credential; NULL when there is no memory. */
static struct login *
login_alloc(struct worker *w, struct client *c)
{
	struct login_desk *desk = &w->logins;
	struct login *l;

	if ((l = calloc(1, sizeof(*l))) == NULL)
		return NULL;
	if ((l->credential = malloc(sizeof(*l->credential))) == NULL) {
		free(l);
		return NULL;
	}
	l->client = c;
	/* 0 is nobody's. */
	if (++desk->last_serial == 0)
		desk->last_serial = 1;
	l->serial = desk->last_serial;
	l->deadline = monotime_add_ms(w->now, LOGIN_WAIT_MS);
	return l;
}

static struct login *
login_queue(struct worker *w, struct login *l)
{
	struct login_desk *desk = &w->logins;

	TAILQ_INSERT_TAIL(&desk->pending, l, entry);
	if (desk->auth != NULL)
		login_send(desk, l);
	if (!l->sent)
		worker_set_deadline(w);
	return l;
}

struct login *
login_ask(struct worker *w, struct client *c, const struct credential *cred)
{
	struct login *l;

	if ((l = login_alloc(w, c)) == NULL)
		return NULL;
	*l->credential = *cred;
	return login_queue(w, l);
}

struct login *
login_enter(
    struct worker *w, struct client *c, const struct str *id, bool proven)
{
	struct login *l;

	if ((l = login_alloc(w, c)) == NULL)
		return NULL;
	l->enters = true;
	l->proven = proven;
	l->credential->id_len = id->len;
	memcpy(l->credential->id, id->p, id->len);
	return login_queue(w, l);
}

void
login_agent_left(struct worker *w, uint64_t conn)
{
	struct msg_agent m = { conn };

	if (w->logins.auth != NULL)
		chan_post(
		    w->logins.auth, MSG_AGENT_LEFT, &m, sizeof(m), NULL, 0);
}

void
login_agent_here(
    struct worker *w, uint64_t conn, const struct str *id, bool proven)
{
	if (agent_send(&w->logins, conn, 0, id, proven) == -1)
		log_warn("auth: an agent is not known to it");
}

/* ---- answers ---- */

static void
login_answer(struct worker *w, struct login *l, enum login_result result,
    const char *id, size_t len)
{
	struct client *c = l->client;

	login_free(&w->logins, l);
	client_signed_in(c, result, id, len);
}

static const enum login_result results[] = {
	[AUTH_GRANTED] = LOGIN_GRANTED,
	[AUTH_REFUSED] = LOGIN_REFUSED,
	[AUTH_UNAVAILABLE] = LOGIN_UNAVAILABLE,
};

/* The question that was asked, unless its client has left meanwhile. */
static struct login *
login_find(
    const struct login_desk *desk, bool enters, uint32_t serial, uint64_t conn)
{
	struct login *l;

	TAILQ_FOREACH(l, &desk->pending, entry) {
		if (l->serial == serial)
			break;
	}
	if (l == NULL || !l->sent || l->enters != enters ||
	    client_id(l->client) != conn)
		return NULL;
	return l;
}

static void
login_reply(struct worker *w, struct chan *ch, struct msg *m)
{
	struct msg_auth_reply r;
	struct login *l;
	const char *id;

	memcpy(&r, m->data, sizeof(r));
	if (r.verdict == AUTH_NONE || r.verdict > AUTH_UNAVAILABLE ||
	    r.realm > REALM_TOKENS || r.id_len != m->len - sizeof(r) ||
	    (r.verdict != AUTH_GRANTED && r.id_len > 0) ||
	    (r.verdict == AUTH_GRANTED && r.id_len == 0 &&
		r.realm != REALM_TOKENS)) {
		chan_reject(ch, "answers nonsense");
		return;
	}
	id = (const char *)m->data + sizeof(r);
	l = login_find(&w->logins, false, r.serial, r.conn);
	if (l != NULL && (l->client->remote != NULL) != (r.realm != 0)) {
		chan_reject(ch, "answers for another realm");
		return;
	}
	if (l == NULL) {
		/* The client left meanwhile. */
		if (r.verdict == AUTH_GRANTED && r.realm == REALM_KEYS)
			chan_post(ch, MSG_AUTH_LEFT, id, r.id_len, NULL, 0);
		return;
	}
	login_answer(w, l, results[r.verdict], id, r.id_len);
}

static void
login_agent_reply(struct worker *w, struct chan *ch, struct msg *m)
{
	struct msg_agent_reply r;
	struct login *l;

	memcpy(&r, m->data, sizeof(r));
	if (r.verdict != AUTH_GRANTED && r.verdict != AUTH_REFUSED) {
		chan_reject(ch, "answers nonsense");
		return;
	}
	/* Who left meanwhile has said so. */
	if ((l = login_find(&w->logins, true, r.serial, r.conn)) != NULL)
		login_answer(w, l, results[r.verdict], NULL, 0);
}

static void
login_agent_replaced(struct worker *w, struct msg *m)
{
	struct msg_agent gone;

	memcpy(&gone, m->data, sizeof(gone));
	remote_replaced(w, gone.conn);
}

/* The id has no key any more: nobody goes on in its name. */
static void
login_revoked(struct worker *w, struct msg *m)
{
	struct client *c, *next;
	struct str id;

	TAILQ_FOREACH_SAFE(c, &w->clients, all, next) {
		id = client_identity(c);
		if (c->remote == NULL && id.len == m->len &&
		    memcmp(id.p, m->data, m->len) == 0)
			client_revoked(c);
	}
}

/* A new auth has to be told who is here. */
static void
login_introduce_clients(struct worker *w)
{
	const struct client *c;
	struct str id;

	TAILQ_FOREACH(c, &w->clients, all) {
		id = client_identity(c);
		if (c->remote == NULL && id.len > 0 &&
		    chan_post(w->logins.auth, MSG_AUTH_HERE, id.p, id.len, NULL,
			0) == -1)
			log_warn("auth: a client is not known to it");
	}
}

/*
 * All clients in answer to an empty message: so an auth that asked again and
 * again could keep us busy.
 */
static void
login_who(struct worker *w, struct chan *ch)
{
	if (w->logins.asked_who) {
		chan_reject(ch, "asks twice who is here");
		return;
	}
	w->logins.asked_who = true;
	login_introduce_clients(w);
}

static void
worker_dispatch_auth(struct chan *ch, struct msg *m, void *arg)
{
	struct worker *w = arg;

	worker_wake(w);
	switch (m->type) {
	case MSG_AUTH_REPLY:
		login_reply(w, ch, m);
		break;
	case MSG_AUTH_REVOKED:
		login_revoked(w, m);
		break;
	case MSG_AUTH_WHO:
		login_who(w, ch);
		break;
	case MSG_AGENT_REPLY:
		login_agent_reply(w, ch, m);
		break;
	case MSG_AGENT_REPLACED:
		login_agent_replaced(w, m);
		break;
	default:
		chan_reject(ch, "not a message of auth");
	}
}

/* The open questions will never be answered; say so to each client. */
static void
login_auth_gone(struct chan *ch, enum chan_end end, void *arg)
{
	struct worker *w = arg;
	struct login *l;

	worker_wake(w);
	if (end == CHAN_VIOLATION) {
		log_warnx("auth: %s", chan_violation(ch));
		child_accuse(w->parent, &w->logins.auth_is);
	} else {
		log_warnx("auth: has gone");
	}
	chan_free(ch);
	w->logins.auth = NULL;
	while ((l = login_first(&w->logins, true)) != NULL)
		login_answer(w, l, LOGIN_GONE, NULL, 0);
}

static const struct chan_ops login_chan_ops = {
	.message = worker_dispatch_auth,
	.gone = login_auth_gone,
};

void
login_left(struct worker *w, const char *id, size_t len)
{
	if (w->logins.auth != NULL)
		chan_post(w->logins.auth, MSG_AUTH_LEFT, id, len, NULL, 0);
}

void
login_set_auth(struct worker *w, int fd, const struct msg_peer *who)
{
	struct login_desk *desk = &w->logins;
	struct login *l;
	struct chan *ch;

	ch = chan_new(w->base, fd, ROLE_WORKER, ROLE_AUTH, &login_chan_ops, w);
	/* It would refuse everybody for ever; its successor may do better. */
	if (ch == NULL)
		fatal("auth: no channel");
	if (desk->auth != NULL)
		login_auth_gone(desk->auth, CHAN_EOF, w);
	desk->auth = ch;
	desk->auth_is = *who;
	desk->asked_who = false;
	login_introduce_clients(w);
	remote_introduce(w);
	TAILQ_FOREACH(l, &desk->pending, entry) {
		if (!l->sent)
			login_send(desk, l);
	}
}

struct monotime
login_deadline(const struct login_desk *desk)
{
	const struct login *l = login_first(desk, false);
	struct monotime none = { 0 };

	return l == NULL ? none : l->deadline;
}

void
login_expire(struct worker *w)
{
	struct login *l;

	while ((l = login_first(&w->logins, false)) != NULL &&
	       monotime_reached(w->now, l->deadline))
		login_answer(w, l, LOGIN_GONE, NULL, 0);
}
