/*
 * Auth.  Holds the digests of the API keys, and of the tokens of the remote
 * listener, and compares what workers ask about with all of them, in
 * constant time; and it knows which connection is the session of which agent
 * of the remote listener, for the whole node.  It hears the supervisor, which
 * sends the digests, and workers, whose question holds a key as opaque
 * bytes that are hashed and never parsed.  It sees no client and opens no
 * file.
 */
#include <event2/event.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agents.h"
#include "chan.h"
#include "child.h"
#include "childlog.h"
#include "digest.h"
#include "keys.h"
#include "log.h"
#include "msg.h"
#include "peers.h"

struct worker {
	struct peer peer;
	struct auth *auth;
	uint32_t *held; /* its connections, by the number of their key */
	struct agent_owner agents; /* its sessions of the remote listener */
};

/* What the supervisor sends, until it is committed. */
struct conf {
	struct keys *keys;
	struct keys *tokens;
	uint32_t max_agents;
	uint32_t records;
};

struct auth {
	struct event_base *base;
	struct chan *parent;
	struct keys
	    *keys; /* the last good ones; NULL before the first commit */
	struct keys *tokens; /* none: nobody is let in by one */
	struct conf next; /* being sent, or waiting for commit */
	struct agents *agents;
	bool failed; /* what came last were no good keys */
	bool blind; /* there never were good ones */
	uint32_t generation;
	struct peers workers;
};

/* No usable key: nobody is let in. */
static bool
auth_refuses(const struct auth *a)
{
	return a->failed || a->keys->count == 0;
}

/* ---- which connections a key has signed in ---- */

static void
worker_hold(struct worker *w, struct auth_key *key)
{
	key->sessions++;
	w->held[key->number]++;
}

static void
worker_release(struct worker *w, struct auth_key *key)
{
	if (w->held[key->number] == 0)
		return;
	w->held[key->number]--;
	key->sessions--;
}

static void
worker_release_all(struct worker *w)
{
	struct keys *k = w->auth->keys;
	size_t i;

	for (i = 0; k != NULL && i < k->count; i++)
		k->key[i].sessions -= w->held[i];
}

/* Numbers have changed with the keys. */
static void
worker_renumber(
    struct worker *w, const struct keys *old, const struct keys *new)
{
	const struct auth_key *key;
	uint32_t *held;
	size_t i;

	if ((held = calloc(new->count + 1, sizeof(*held))) == NULL)
		fatal("worker");
	for (i = 0; old != NULL && i < old->count; i++) {
		key = keys_by_id(new, old->key[i].id, old->key[i].id_len);
		if (key != NULL)
			held[key->number] = w->held[i];
	}
	free(w->held);
	w->held = held;
}

/* ---- configuration ---- */

static void
conf_clear(struct conf *conf)
{
	keys_free(conf->keys);
	keys_free(conf->tokens);
	memset(conf, 0, sizeof(*conf));
}

static void
auth_conf_begin(struct auth *a, struct msg *m)
{
	struct msg_conf_begin begin;
	struct conf *next = &a->next;

	memcpy(&begin, m->data, sizeof(begin));
	conf_clear(next);
	next->keys = keys_new(begin.generation);
	next->tokens = keys_new(begin.generation);
	if (next->keys == NULL || next->tokens == NULL)
		fatal("keys");
	next->tokens->nameless = true;
	log_set_level(begin.log_level);
}

static void
auth_conf_key(struct auth *a, struct msg *m)
{
	struct keys *k =
	    m->type == MSG_CONF_KEY ? a->next.keys : a->next.tokens;

	if (k == NULL || keys_add(k, m->data, m->len) == -1)
		fatal("a key from the supervisor");
	a->next.records++;
}

static void
auth_conf_agents(struct auth *a, struct msg *m)
{
	struct msg_conf_agents agents;

	memcpy(&agents, m->data, sizeof(agents));
	a->next.max_agents = agents.max_sessions;
	a->next.records++;
}

static void
auth_conf_end(struct auth *a, struct msg *m)
{
	struct conf *next = &a->next;
	struct msg_conf_end end;
	struct msg_conf_ack ack;

	memcpy(&end, m->data, sizeof(end));
	if (next->keys == NULL || end.generation != next->keys->generation ||
	    end.records != next->records)
		fatalx("keys are incomplete");
	if (keys_complete(next->keys, end.keys_good != 0) == -1 ||
	    keys_complete(next->tokens, true) == -1)
		fatal("keys");
	ack.generation = end.generation;
	chan_send(a->parent, MSG_CONF_ACK, &ack, sizeof(ack), NULL, 0);
}

static void
auth_tell_revoked(struct chan *ch, const char *id, size_t len)
{
	if (chan_send(ch, MSG_AUTH_REVOKED, id, len, NULL, 0) == -1)
		log_warn("auth: a revocation is lost");
}

/*
 * Workers are told on the channel that brought them the grants, so that no
 * connection slips in between.
 */
static void
auth_revoke(struct auth *a, const struct keys *old, const struct keys *new)
{
	struct peer *peer;
	size_t i;

	for (i = 0; i < old->count; i++) {
		const struct auth_key *key = &old->key[i];

		if (keys_by_id(new, key->id, key->id_len) != NULL)
			continue;
		TAILQ_FOREACH(peer, &a->workers.list, entry)
			auth_tell_revoked(peer->ch, key->id, key->id_len);
	}
}

/*
 * Started while the keys were bad, this process could not tell which of the
 * connections that it was told of have a key.
 */
static void
auth_ask_who(struct auth *a)
{
	struct peer *peer;

	TAILQ_FOREACH(peer, &a->workers.list, entry) {
		if (chan_send(peer->ch, MSG_AUTH_WHO, NULL, 0, NULL, 0) == -1)
			log_warn("auth: a worker is not asked");
	}
}

/*
 * Sessions go on when tokens change, so that a rotation loses none: who must
 * go is taken off the list of allowed ids.
 */
static void
auth_commit_tokens(struct auth *a)
{
	keys_free(a->tokens);
	a->tokens = a->next.tokens;
	a->next.tokens = NULL;
	if (agents_bound(a->agents, a->next.max_agents) == -1)
		fatal("agents");
	log_debug("auth: %zu tokens max_sessions=%u", a->tokens->count,
	    a->next.max_agents);
}

static void
auth_commit_keys(struct auth *a)
{
	struct keys *old = a->keys, *new = a->next.keys;
	struct peer *peer;

	a->next.keys = NULL;
	a->generation = new->generation;
	a->failed = !new->good;
	log_debug("auth: %zu keys generation=%u", new->count, a->generation);
	if (old != NULL && a->failed) {
		/* Who is in may have a key yet. */
		keys_free(new);
		return;
	}
	if (old != NULL) {
		auth_revoke(a, old, new);
		keys_inherit(new, old);
	}
	TAILQ_FOREACH(peer, &a->workers.list, entry)
		worker_renumber((struct worker *)peer, old, new);
	keys_free(old);
	a->keys = new;
	if (old == NULL) {
		a->blind = a->failed;
		child_enter(ROLE_AUTH, a->parent);
	} else if (a->blind) {
		a->blind = false;
		auth_ask_who(a);
	}
}

static void
auth_conf_commit(struct auth *a)
{
	if (a->next.keys == NULL)
		fatalx("commit of nothing");
	/* First: the process is ready when the keys are in force. */
	auth_commit_tokens(a);
	auth_commit_keys(a);
}

static void
auth_list_use(struct auth *a, struct msg *m)
{
	struct msg_key_use use[KEYS_PAGE_MAX];
	struct msg_keys_page page;
	struct msg_keys_get get;
	size_t i;

	memcpy(&get, m->data, sizeof(get));
	memset(&page, 0, sizeof(page));
	page.request = get.request;
	page.generation = a->generation;
	page.first = get.first;
	for (i = get.first; !a->failed && i < a->keys->count; i++) {
		if (page.count == KEYS_PAGE_MAX)
			break;
		use[page.count].last_used = a->keys->key[i].last_used;
		use[page.count++].sessions = a->keys->key[i].sessions;
	}
	chan_send(a->parent, MSG_KEYS_PAGE, &page, sizeof(page), use,
	    page.count * sizeof(use[0]));
}

/* ---- questions ---- */

static void
auth_answer(struct chan *ch, const struct msg_auth_ask *ask,
    enum auth_verdict verdict, const struct auth_key *key)
{
	struct msg_auth_reply r;

	memset(&r, 0, sizeof(r));
	r.conn = ask->conn;
	r.serial = ask->serial;
	r.verdict = verdict;
	r.realm = ask->realm;
	r.id_len = key == NULL ? 0 : key->id_len;
	/* A worker that does not take answers has stopped asking. */
	if (chan_post(ch, MSG_AUTH_REPLY, &r, sizeof(r),
		key == NULL ? NULL : key->id, r.id_len) == -1)
		log_warn("auth: an answer is lost");
}

/* The key that was presented, or NULL; by Basic, it must be that id's. */
static struct auth_key *
auth_check(
    const struct keys *k, const struct msg_auth_ask *ask, const uint8_t *id)
{
	uint8_t digest[DIGEST_SIZE];
	struct auth_key *key;

	if (ask->key_len == 0)
		return NULL;
	digest_sha256(digest, id + ask->id_len, ask->key_len);
	key = keys_by_digest(k, digest);
	explicit_bzero(digest, sizeof(digest));
	if (key != NULL && ask->id_len > 0 &&
	    (key->id_len != ask->id_len ||
		memcmp(key->id, id, ask->id_len) != 0))
		return NULL;
	return key;
}

/* Nobody counts the connections of a token: agents are known by their id. */
static void
auth_ask_token(
    struct worker *w, const struct msg_auth_ask *ask, const uint8_t *id)
{
	const struct keys *tokens = w->auth->tokens;
	const struct auth_key *key = NULL;
	enum auth_verdict verdict = AUTH_UNAVAILABLE;

	if (tokens->count > 0) {
		key = auth_check(tokens, ask, id);
		verdict = key == NULL ? AUTH_REFUSED : AUTH_GRANTED;
	}
	auth_answer(w->peer.ch, ask, verdict, key);
}

static void
auth_ask(struct worker *w, struct msg *m)
{
	struct auth *a = w->auth;
	struct msg_auth_ask ask;
	struct auth_key *key;

	memcpy(&ask, m->data, sizeof(ask));
	if (ask.realm > REALM_TOKENS || ask.id_len > LTP_ID_MAX ||
	    ask.key_len > AUTH_KEY_MAX ||
	    (size_t)ask.id_len + ask.key_len != m->len - sizeof(ask)) {
		chan_reject(w->peer.ch, "a question makes no sense");
		return;
	}
	if (ask.realm == REALM_TOKENS) {
		auth_ask_token(w, &ask, m->data + sizeof(ask));
		return;
	}
	if (auth_refuses(a)) {
		auth_answer(w->peer.ch, &ask, AUTH_UNAVAILABLE, NULL);
		return;
	}
	key = auth_check(a->keys, &ask, m->data + sizeof(ask));
	if (key == NULL) {
		auth_answer(w->peer.ch, &ask, AUTH_REFUSED, NULL);
		return;
	}
	key->last_used = time(NULL);
	worker_hold(w, key);
	auth_answer(w->peer.ch, &ask, AUTH_GRANTED, key);
}

/* Signed in by a predecessor of this process, or before it lost its mind. */
static void
auth_here(struct worker *w, struct msg *m)
{
	const char *id = (const char *)m->data;
	struct auth_key *key;

	if ((key = keys_by_id(w->auth->keys, id, m->len)) != NULL)
		worker_hold(w, key);
	else if (!w->auth->failed)
		auth_tell_revoked(w->peer.ch, id, m->len);
}

static void
auth_left(struct worker *w, struct msg *m)
{
	const char *id = (const char *)m->data;
	struct auth_key *key;

	if ((key = keys_by_id(w->auth->keys, id, m->len)) != NULL)
		worker_release(w, key);
}

/* ---- agents ---- */

static void
auth_agent_reply(struct chan *ch, const struct msg_agent_enter *enter,
    enum auth_verdict verdict)
{
	struct msg_agent_reply r = {
		.conn = enter->conn, .serial = enter->serial, .verdict = verdict
	};

	if (enter->serial != 0 &&
	    chan_post(ch, MSG_AGENT_REPLY, &r, sizeof(r), NULL, 0) == -1)
		log_warn("auth: an answer is lost");
}

static void
auth_agent_replaced(struct auth *a, const struct agent_seat *seat)
{
	struct msg_agent gone = { seat->conn };
	struct peer *peer;

	TAILQ_FOREACH(peer, &a->workers.list, entry) {
		if (&((struct worker *)peer)->agents == seat->owner &&
		    chan_post(peer->ch, MSG_AGENT_REPLACED, &gone, sizeof(gone),
			NULL, 0) == -1)
			log_warn("auth: a worker is not told");
	}
}

/* One that entered before, but finds no place any more, has to go, too. */
static void
auth_agent_entered(struct worker *w, const struct msg_agent_enter *enter,
    enum agents_result result, struct agent_seat *replaced)
{
	if (result == AGENTS_TWICE) {
		chan_reject(w->peer.ch, "an agent enters twice");
		return;
	}
	if (result == AGENTS_FULL && enter->serial == 0) {
		replaced->owner = &w->agents;
		replaced->conn = enter->conn;
	}
	/* The old one ends before the new one begins, in one worker at least. */
	if (replaced->owner != NULL)
		auth_agent_replaced(w->auth, replaced);
	auth_agent_reply(w->peer.ch, enter,
	    result == AGENTS_ENTERED ? AUTH_GRANTED : AUTH_REFUSED);
}

static void
auth_agent_enter(struct worker *w, struct msg *m)
{
	struct agents *agents = w->auth->agents;
	struct msg_agent_enter enter;
	struct agent_seat replaced;
	struct agent_id id;
	enum agents_result result;

	memcpy(&enter, m->data, sizeof(enter));
	if (enter.id_len == 0 || enter.id_len != m->len - sizeof(enter) ||
	    enter.proven > 1) {
		chan_reject(w->peer.ch, "an agent makes no sense");
		return;
	}
	id = (struct agent_id){ m->data + sizeof(enter), enter.id_len,
		enter.proven != 0 };
	if (enter.serial == 0)
		result = agents_enter_again(
		    agents, &w->agents, enter.conn, &id, &replaced);
	else
		result = agents_enter(
		    agents, &w->agents, enter.conn, &id, &replaced);
	auth_agent_entered(w, &enter, result, &replaced);
}

static void
auth_agent_left(struct worker *w, struct msg *m)
{
	struct msg_agent left;

	memcpy(&left, m->data, sizeof(left));
	agents_left(w->auth->agents, &w->agents, left.conn);
}

static void
auth_dispatch_worker(struct peer *peer, struct msg *m)
{
	struct worker *w = (struct worker *)peer;

	switch (m->type) {
	case MSG_AUTH_ASK:
		auth_ask(w, m);
		break;
	case MSG_AUTH_HERE:
		auth_here(w, m);
		break;
	case MSG_AUTH_LEFT:
		auth_left(w, m);
		break;
	case MSG_AGENT_ENTER:
		auth_agent_enter(w, m);
		break;
	case MSG_AGENT_LEFT:
		auth_agent_left(w, m);
		break;
	default:
		chan_reject(peer->ch, "not a message of a worker");
	}
}

static void
auth_worker_gone(struct peer *peer)
{
	struct worker *w = (struct worker *)peer;

	worker_release_all(w);
	agents_left_all(w->auth->agents, &w->agents);
	free(w->held);
}

static const struct peer_ops auth_worker_ops = {
	.size = sizeof(struct worker),
	.message = auth_dispatch_worker,
	.gone = auth_worker_gone,
};

static void
auth_take_worker(struct auth *a, struct msg *m)
{
	struct worker *w;

	if (a->keys == NULL)
		fatalx("a worker before the keys");
	w = (struct worker *)peers_take(&a->workers, m);
	w->auth = a;
	worker_renumber(w, NULL, a->keys);
	agent_owner_init(&w->agents);
}

/* ---- dispatch ---- */

static void
auth_dispatch_parent(struct chan *ch, struct msg *m, void *arg)
{
	struct auth *a = arg;

	switch (m->type) {
	case MSG_CONF_BEGIN:
		auth_conf_begin(a, m);
		break;
	case MSG_CONF_KEY:
	case MSG_CONF_TOKEN:
		auth_conf_key(a, m);
		break;
	case MSG_CONF_AGENTS:
		auth_conf_agents(a, m);
		break;
	case MSG_CONF_END:
		auth_conf_end(a, m);
		break;
	case MSG_CONF_COMMIT:
		auth_conf_commit(a);
		break;
	case MSG_PEER:
		auth_take_worker(a, m);
		break;
	case MSG_KEYS_GET:
		auth_list_use(a, m);
		break;
	case MSG_LOG_LEVEL:
		child_log_level(m);
		break;
	case MSG_PING:
		child_pong(ch);
		break;
	default:
		fatalx("%s from supervisor", msg_name(m->type));
	}
}

static void
auth_parent_gone(struct chan *ch, enum chan_end end, void *arg)
{
	struct auth *a = arg;

	keys_free(a->keys);
	keys_free(a->tokens);
	conf_clear(&a->next);
	child_parent_gone(ch, end);
}

static const struct chan_ops auth_parent_ops = {
	.message = auth_dispatch_parent,
	.gone = auth_parent_gone,
};

int
main(int argc, char *argv[])
{
	struct auth a = { .base = NULL };

	child_start(ROLE_AUTH, argc, argv);
	if ((a.base = event_base_new()) == NULL ||
	    (a.agents = agents_new()) == NULL)
		fatal("cannot start");
	a.parent = chan_new(a.base, CHILD_CHANNEL_FD, ROLE_AUTH, ROLE_PARENT,
	    &auth_parent_ops, &a);
	if (a.parent == NULL)
		fatal("cannot start");
	peers_init(&a.workers, ROLE_AUTH, a.parent, &auth_worker_ops);
	childlog_start(a.parent);
	event_base_dispatch(a.base);
	return 1;
}
