/*
 * Auth.  Holds the digests of the API keys and compares what workers ask
 * about with all of them, in constant time.  It hears the supervisor, which
 * sends the digests, and workers, whose question holds a key as opaque
 * bytes that are hashed and never parsed.  It sees no client and opens no
 * file.
 */
#include <sys/queue.h>

#include <event2/event.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chan.h"
#include "child.h"
#include "childlog.h"
#include "digest.h"
#include "keys.h"
#include "log.h"
#include "msg.h"

struct peer {
	TAILQ_ENTRY(peer) entry;
	struct auth *auth;
	struct chan *ch;
	struct msg_peer who;
	uint32_t *held; /* its connections, by the number of their key */
};

struct auth {
	struct event_base *base;
	struct chan *parent;
	struct keys
	    *keys; /* the last good ones; NULL before the first commit */
	struct keys *next; /* being sent, or waiting for commit */
	bool failed; /* what came last were no good keys */
	uint32_t ignored; /* records of the next configuration */
	bool blind; /* there never were good ones */
	uint32_t generation;
	TAILQ_HEAD(, peer) workers;
};

/* No usable key: nobody is let in. */
static bool
auth_refuses(const struct auth *a)
{
	return a->failed || a->keys->count == 0;
}

/* ---- which connections a key has signed in ---- */

static void
peer_hold(struct peer *peer, struct auth_key *key)
{
	key->sessions++;
	peer->held[key->number]++;
}

static void
peer_release(struct peer *peer, struct auth_key *key)
{
	if (peer->held[key->number] == 0)
		return;
	peer->held[key->number]--;
	key->sessions--;
}

static void
peer_release_all(struct peer *peer)
{
	struct keys *k = peer->auth->keys;
	size_t i;

	for (i = 0; k != NULL && i < k->count; i++)
		k->key[i].sessions -= peer->held[i];
}

/* Numbers have changed with the keys. */
static void
peer_renumber(struct peer *peer, const struct keys *old, const struct keys *new)
{
	const struct auth_key *key;
	uint32_t *held;
	size_t i;

	if ((held = calloc(new->count + 1, sizeof(*held))) == NULL)
		fatal("worker");
	for (i = 0; old != NULL && i < old->count; i++) {
		key = keys_by_id(new, old->key[i].id, old->key[i].id_len);
		if (key != NULL)
			held[key->number] = peer->held[i];
	}
	free(peer->held);
	peer->held = held;
}

/* ---- keys ---- */

static void
auth_conf_begin(struct auth *a, struct msg *m)
{
	struct msg_conf_begin begin;

	memcpy(&begin, m->data, sizeof(begin));
	a->ignored = 0;
	keys_free(a->next);
	if ((a->next = keys_new(begin.generation)) == NULL)
		fatal("keys");
	log_set_level(begin.log_level);
}

static void
auth_conf_key(struct auth *a, struct msg *m)
{
	if (a->next == NULL || keys_add(a->next, m->data, m->len) == -1)
		fatal("a key from the supervisor");
}

static void
auth_conf_end(struct auth *a, struct msg *m)
{
	struct msg_conf_end end;
	struct msg_conf_ack ack;

	memcpy(&end, m->data, sizeof(end));
	if (a->next == NULL || end.generation != a->next->generation ||
	    end.records != a->next->count + a->ignored)
		fatalx("keys are incomplete");
	if (keys_complete(a->next, end.keys_good != 0) == -1)
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
		TAILQ_FOREACH(peer, &a->workers, entry)
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

	TAILQ_FOREACH(peer, &a->workers, entry) {
		if (chan_send(peer->ch, MSG_AUTH_WHO, NULL, 0, NULL, 0) == -1)
			log_warn("auth: a worker is not asked");
	}
}

static void
auth_conf_commit(struct auth *a)
{
	struct keys *old = a->keys, *new = a->next;
	struct peer *peer;

	if (new == NULL)
		fatalx("commit of nothing");
	a->next = NULL;
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
	TAILQ_FOREACH(peer, &a->workers, entry)
		peer_renumber(peer, old, new);
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

static void
auth_ask(struct peer *peer, struct msg *m)
{
	struct auth *a = peer->auth;
	struct msg_auth_ask ask;
	struct auth_key *key;

	memcpy(&ask, m->data, sizeof(ask));
	if (ask.id_len > LTP_ID_MAX || ask.key_len > AUTH_KEY_MAX ||
	    (size_t)ask.id_len + ask.key_len != m->len - sizeof(ask)) {
		chan_reject(peer->ch, "a question makes no sense");
		return;
	}
	if (auth_refuses(a)) {
		auth_answer(peer->ch, &ask, AUTH_UNAVAILABLE, NULL);
		return;
	}
	key = auth_check(a->keys, &ask, m->data + sizeof(ask));
	if (key == NULL) {
		auth_answer(peer->ch, &ask, AUTH_REFUSED, NULL);
		return;
	}
	key->last_used = time(NULL);
	peer_hold(peer, key);
	auth_answer(peer->ch, &ask, AUTH_GRANTED, key);
}

/* Signed in by a predecessor of this process, or before it lost its mind. */
static void
auth_here(struct peer *peer, struct msg *m)
{
	const char *id = (const char *)m->data;
	struct auth_key *key;

	if ((key = keys_by_id(peer->auth->keys, id, m->len)) != NULL)
		peer_hold(peer, key);
	else if (!peer->auth->failed)
		auth_tell_revoked(peer->ch, id, m->len);
}

static void
auth_left(struct peer *peer, struct msg *m)
{
	const char *id = (const char *)m->data;
	struct auth_key *key;

	if ((key = keys_by_id(peer->auth->keys, id, m->len)) != NULL)
		peer_release(peer, key);
}

static void
auth_dispatch_worker(struct chan *ch, struct msg *m, void *arg)
{
	struct peer *peer = arg;

	switch (m->type) {
	case MSG_AUTH_ASK:
		auth_ask(peer, m);
		break;
	case MSG_AUTH_HERE:
		auth_here(peer, m);
		break;
	case MSG_AUTH_LEFT:
		auth_left(peer, m);
		break;
	default:
		chan_reject(ch, "not a message of a worker");
	}
	/* Who does not take answers is not asked for more questions. */
	if (chan_queued(ch) > CHAN_LOW_WATER)
		chan_pause(ch, true);
}

static void
auth_worker_writable(struct chan *ch, void *arg)
{
	(void)arg;
	chan_pause(ch, false);
}

static void
auth_worker_gone(struct chan *ch, enum chan_end end, void *arg)
{
	struct peer *peer = arg;

	if (end == CHAN_VIOLATION) {
		log_warnx("worker: %s", chan_violation(ch));
		child_accuse(peer->auth->parent, &peer->who);
	}
	TAILQ_REMOVE(&peer->auth->workers, peer, entry);
	chan_free(ch);
	peer_release_all(peer);
	free(peer->held);
	free(peer);
}

static const struct chan_ops auth_worker_ops = {
	.message = auth_dispatch_worker,
	.gone = auth_worker_gone,
	.writable = auth_worker_writable,
};

static void
auth_take_peer(struct auth *a, struct msg *m)
{
	struct peer *peer;

	if (a->keys == NULL)
		fatalx("a worker before the keys");
	if ((peer = calloc(1, sizeof(*peer))) == NULL)
		fatal("worker");
	peer->auth = a;
	memcpy(&peer->who, m->data, sizeof(peer->who));
	peer_renumber(peer, NULL, a->keys);
	peer->ch = chan_new(
	    a->base, m->fds[0], ROLE_AUTH, ROLE_WORKER, &auth_worker_ops, peer);
	if (peer->ch == NULL)
		fatal("worker");
	m->fds[0] = -1;
	TAILQ_INSERT_TAIL(&a->workers, peer, entry);
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
		auth_conf_key(a, m);
		break;
	case MSG_CONF_TOKEN:
	case MSG_CONF_AGENTS:
		a->ignored++;
		break;
	case MSG_CONF_END:
		auth_conf_end(a, m);
		break;
	case MSG_CONF_COMMIT:
		auth_conf_commit(a);
		break;
	case MSG_PEER:
		auth_take_peer(a, m);
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
	keys_free(a->next);
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
	TAILQ_INIT(&a.workers);
	if ((a.base = event_base_new()) == NULL)
		fatal("cannot start");
	a.parent = chan_new(a.base, CHILD_CHANNEL_FD, ROLE_AUTH, ROLE_PARENT,
	    &auth_parent_ops, &a);
	if (a.parent == NULL)
		fatal("cannot start");
	childlog_start(a.parent);
	event_base_dispatch(a.base);
	return 1;
}
