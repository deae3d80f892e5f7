/*
 * Auth.  Holds the digests of the API keys and compares what workers ask
 * about with all of them, in constant time.  It hears the supervisor, which
 * sends the digests, and workers, whose question holds a key as opaque
 * bytes that are hashed and never parsed.  It sees no client and opens no
 * file.
 */
#include <sys/queue.h>

#include <event2/event.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "chan.h"
#include "child.h"
#include "childlog.h"
#include "digest.h"
#include "log.h"
#include "msg.h"

#define AUTH_KEYS_MAX 100000

struct auth_key {
	uint8_t digest[DIGEST_SIZE];
	uint16_t id_len;
	char id[LTP_ID_MAX];
};

struct keys {
	uint32_t generation;
	bool usable;
	size_t count;
	size_t room;
	struct auth_key *key;
};

struct peer {
	TAILQ_ENTRY(peer) entry;
	struct auth *auth;
	struct chan *ch;
};

struct auth {
	struct event_base *base;
	struct chan *parent;
	struct keys *keys; /* in force; NULL before the first commit */
	struct keys *next;
	TAILQ_HEAD(, peer) workers;
};

/* ---- keys ---- */

static void
keys_free(struct keys *k)
{
	if (k == NULL)
		return;
	freezero(k->key, k->room * sizeof(*k->key));
	free(k);
}

static void
auth_conf_begin(struct auth *a, struct msg *m)
{
	struct msg_conf_begin begin;

	memcpy(&begin, m->data, sizeof(begin));
	keys_free(a->next);
	if ((a->next = calloc(1, sizeof(*a->next))) == NULL)
		fatal("keys");
	a->next->generation = begin.generation;
	log_set_level(begin.log_level);
}

static void
keys_grow(struct keys *k)
{
	size_t room = k->room == 0 ? 16 : 2 * k->room;
	struct auth_key *key;

	/* Not realloc: it could leave a copy behind. */
	if ((key = calloc(room, sizeof(*key))) == NULL)
		fatal("keys");
	if (k->count > 0)
		memcpy(key, k->key, k->count * sizeof(*key));
	freezero(k->key, k->room * sizeof(*k->key));
	k->key = key;
	k->room = room;
}

static void
auth_conf_key(struct auth *a, struct msg *m)
{
	struct keys *k = a->next;
	struct msg_conf_key conf;
	struct auth_key *key;

	memcpy(&conf, m->data, sizeof(conf));
	if (k == NULL || k->count == AUTH_KEYS_MAX || conf.id_len == 0 ||
	    conf.id_len != m->len - sizeof(conf))
		fatalx("a key makes no sense");
	if (k->count == k->room)
		keys_grow(k);
	key = &k->key[k->count++];
	memcpy(key->digest, conf.digest, sizeof(key->digest));
	key->id_len = conf.id_len;
	memcpy(key->id, m->data + sizeof(conf), conf.id_len);
}

static void
auth_conf_end(struct auth *a, struct msg *m)
{
	struct msg_conf_end end;
	struct msg_conf_ack ack;

	memcpy(&end, m->data, sizeof(end));
	if (a->next == NULL || end.generation != a->next->generation ||
	    end.records != a->next->count)
		fatalx("keys are incomplete");
	a->next->usable = end.keys_usable && a->next->count > 0;
	ack.generation = end.generation;
	chan_send(a->parent, MSG_CONF_ACK, &ack, sizeof(ack), NULL, 0);
}

static void
auth_conf_commit(struct auth *a)
{
	bool first = a->keys == NULL;

	if (a->next == NULL)
		fatalx("commit of nothing");
	keys_free(a->keys);
	a->keys = a->next;
	a->next = NULL;
	log_debug("auth: %zu keys generation=%u", a->keys->count,
	    a->keys->generation);
	if (first)
		child_enter(ROLE_AUTH, a->parent);
}

/* ---- questions ---- */

/*
 * The key's owner, or NULL.  Every digest is compared whole, so that the
 * time tells neither which one fitted nor how well.
 */
static const struct auth_key *
auth_find(const struct keys *k, const uint8_t digest[DIGEST_SIZE])
{
	const struct auth_key *found = NULL;
	size_t i;

	for (i = 0; i < k->count; i++) {
		if (CRYPTO_memcmp(k->key[i].digest, digest, DIGEST_SIZE) == 0)
			found = &k->key[i];
	}
	return found;
}

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
	if (chan_send(ch, MSG_AUTH_REPLY, &r, sizeof(r),
		key == NULL ? NULL : key->id, r.id_len) == -1)
		log_warn("auth: an answer is lost");
}

static void
auth_ask(struct auth *a, struct chan *ch, struct msg *m)
{
	const struct auth_key *key;
	struct msg_auth_ask ask;
	uint8_t digest[DIGEST_SIZE];
	const uint8_t *id;

	memcpy(&ask, m->data, sizeof(ask));
	if (ask.id_len > LTP_ID_MAX || ask.key_len > AUTH_KEY_MAX ||
	    (size_t)ask.id_len + ask.key_len != m->len - sizeof(ask)) {
		chan_reject(ch, "a question makes no sense");
		return;
	}
	id = m->data + sizeof(ask);
	if (a->keys == NULL || !a->keys->usable) {
		auth_answer(ch, &ask, AUTH_UNAVAILABLE, NULL);
		return;
	}
	if (ask.key_len == 0 ||
	    digest_sha256(digest, id + ask.id_len, ask.key_len) == -1) {
		auth_answer(ch, &ask, AUTH_REFUSED, NULL);
		return;
	}
	key = auth_find(a->keys, digest);
	explicit_bzero(digest, sizeof(digest));
	/* By Basic, the key must be that id's. */
	if (key != NULL && ask.id_len > 0 &&
	    (key->id_len != ask.id_len || memcmp(key->id, id, ask.id_len) != 0))
		key = NULL;
	auth_answer(ch, &ask, key == NULL ? AUTH_REFUSED : AUTH_GRANTED, key);
}

static void
auth_dispatch_worker(struct chan *ch, struct msg *m, void *arg)
{
	struct peer *peer = arg;

	switch (m->type) {
	case MSG_AUTH_ASK:
		auth_ask(peer->auth, ch, m);
		break;
	default:
		chan_reject(ch, "not a message of a worker");
	}
}

static void
auth_worker_gone(struct chan *ch, enum chan_end end, void *arg)
{
	struct peer *peer = arg;

	if (end == CHAN_VIOLATION)
		log_warnx("worker: %s", chan_violation(ch));
	TAILQ_REMOVE(&peer->auth->workers, peer, entry);
	chan_free(ch);
	free(peer);
}

static const struct chan_ops auth_worker_ops = {
	.message = auth_dispatch_worker,
	.gone = auth_worker_gone,
};

static void
auth_take_peer(struct auth *a, struct msg *m)
{
	struct peer *peer;

	if ((peer = calloc(1, sizeof(*peer))) == NULL)
		fatal("worker");
	peer->auth = a;
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

	(void)ch;
	switch (m->type) {
	case MSG_CONF_BEGIN:
		auth_conf_begin(a, m);
		break;
	case MSG_CONF_KEY:
		auth_conf_key(a, m);
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
	case MSG_LOG_LEVEL:
		child_log_level(m);
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
	if ((a.base = event_base_new()) == NULL || digest_init() == -1)
		fatal("cannot start");
	a.parent = chan_new(a.base, CHILD_CHANNEL_FD, ROLE_AUTH, ROLE_PARENT,
	    &auth_parent_ops, &a);
	if (a.parent == NULL)
		fatal("cannot start");
	childlog_start(a.parent);
	event_base_dispatch(a.base);
	return 1;
}
