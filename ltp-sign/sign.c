/*
 * Sign.  Holds the private key of the remote listener's certificate, alone.
 * It hears the supervisor, which passes certificates and the descriptor of the
 * key file, and workers, whose questions are digests and padded blocks that
 * TLS signs.  It answers those with a signature and all others with nothing:
 * it decrypts nothing, sees no client and opens no file.
 *
 * A pair can be used as soon as it has come: the reload that brings it to the
 * workers may be put off, or begin anew.  The one before is kept, since it is
 * theirs until then, and that of handshakes that are under way.
 */
#include <event2/event.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "chan.h"
#include "child.h"
#include "childlog.h"
#include "limit.h"
#include "log.h"
#include "msg.h"
#include "pair.h"
#include "peers.h"
#include "vault.h"

/*
 * Signatures of one worker: more than it has time to make handshakes, so that a
 * node that comes back to all of its agents at once refuses none.
 */
#define SIGN_RATE  4000 /* a second */
#define SIGN_BURST 4000

struct worker {
	struct peer peer;
	struct sign *sign;
	struct monotime rate;
	uint32_t refused; /* since that was last said */
};

struct sign {
	struct event_base *base;
	struct chan *parent;
	struct event *report;
	uint32_t generation; /* 0: no configuration is being sent */
	bool entered; /* the sandbox */
	struct pair *last; /* that came and was good */
	struct pair *before;
	struct peers workers;
};

/* ---- pairs ---- */

static void
sign_use(struct sign *s, struct pair *p)
{
	pair_free(s->before);
	s->before = s->last;
	s->last = p;
}

static void
sign_take_pair(struct sign *s, struct msg *m)
{
	struct msg_conf_tls conf;
	struct msg_sign_loaded loaded;
	char why[SIGN_WHY_MAX] = "";
	struct pair *p;

	memcpy(&conf, m->data, sizeof(conf));
	p = pair_load(&conf, m->fds[0], m->fds[1], why);
	loaded.pair = conf.pair;
	loaded.good = p != NULL;
	if (p == NULL)
		log_debug("sign: pair %u: %s", conf.pair, why);
	else
		sign_use(s, p);
	if (chan_send(s->parent, MSG_SIGN_LOADED, &loaded, sizeof(loaded), why,
		strlen(why)) == -1)
		fatal("channel");
}

static const struct pair *
sign_find(const struct sign *s, uint32_t id)
{
	if (s->last != NULL && pair_id(s->last) == id)
		return s->last;
	if (s->before != NULL && pair_id(s->before) == id)
		return s->before;
	return NULL;
}

/* ---- configuration ---- */

static void
sign_conf_begin(struct sign *s, struct msg *m)
{
	struct msg_conf_begin begin;

	memcpy(&begin, m->data, sizeof(begin));
	s->generation = begin.generation;
	log_set_level(begin.log_level);
}

static void
sign_conf_end(struct sign *s, struct msg *m)
{
	struct msg_conf_end end;
	struct msg_conf_ack ack;

	memcpy(&end, m->data, sizeof(end));
	if (s->generation == 0 || end.generation != s->generation)
		fatalx("configuration is incomplete");
	ack.generation = end.generation;
	chan_send(s->parent, MSG_CONF_ACK, &ack, sizeof(ack), NULL, 0);
}

static void
sign_conf_commit(struct sign *s)
{
	if (s->generation == 0)
		fatalx("commit of nothing");
	s->generation = 0;
	if (!s->entered)
		child_enter(ROLE_SIGN, s->parent);
	s->entered = true;
}

/* ---- questions ---- */

/* What was refused is said once a second and at the end, not each time. */
static void
sign_report(int fd, short what, void *arg)
{
	struct sign *s = arg;
	struct msg_count count;
	struct worker *w;
	struct peer *peer;

	(void)fd;
	(void)what;
	memset(&count, 0, sizeof(count));
	TAILQ_FOREACH(peer, &s->workers.list, entry) {
		w = (struct worker *)peer;
		if (w->refused == 0)
			continue;
		log_warnx("sign: questions of a worker refused slot=%u "
			  "count=%u",
		    peer->who.slot, w->refused);
		count.delta.n[COUNT_TLS_SIGN_REFUSED] += w->refused;
		w->refused = 0;
	}
	if (count.delta.n[COUNT_TLS_SIGN_REFUSED] > 0)
		chan_send(s->parent, MSG_COUNT, &count, sizeof(count), NULL, 0);
}

static void
sign_refuse(struct worker *w)
{
	static const struct timeval second = { 1, 0 };
	struct sign *s = w->sign;

	w->refused++;
	if (!evtimer_pending(s->report, NULL))
		evtimer_add(s->report, &second);
}

static void
sign_answer(struct worker *w, struct msg *m)
{
	uint8_t signature[SIGN_OUTPUT_MAX];
	struct msg_sign_reply reply;
	const struct pair *p;
	struct msg_sign_ask ask;
	size_t len = 0;

	memcpy(&ask, m->data, sizeof(ask));
	p = sign_find(w->sign, ask.pair);
	if (p != NULL &&
	    limit_allow(&w->rate, SIGN_RATE, SIGN_BURST, monotime_now()))
		len = pair_sign(p, ask.scheme, m->data + sizeof(ask),
		    m->len - sizeof(ask), signature);
	if (len == 0)
		sign_refuse(w);
	reply.serial = ask.serial;
	/* A worker that does not take answers has stopped asking. */
	if (chan_send(w->peer.ch, MSG_SIGN_REPLY, &reply, sizeof(reply),
		signature, len) == -1)
		log_warn("sign: an answer is lost");
}

static void
sign_dispatch_worker(struct peer *peer, struct msg *m)
{
	struct worker *w = (struct worker *)peer;

	switch (m->type) {
	case MSG_SIGN_ASK:
		sign_answer(w, m);
		break;
	default:
		chan_reject(peer->ch, "not a message of a worker");
	}
}

static void
sign_worker_gone(struct peer *peer)
{
	struct worker *w = (struct worker *)peer;

	if (w->refused > 0)
		sign_report(-1, 0, w->sign);
}

static const struct peer_ops sign_worker_ops = {
	.size = sizeof(struct worker),
	.message = sign_dispatch_worker,
	.gone = sign_worker_gone,
};

static void
sign_take_worker(struct sign *s, struct msg *m)
{
	struct worker *w = (struct worker *)peers_take(&s->workers, m);

	w->sign = s;
}

/* ---- dispatch ---- */

static void
sign_dispatch_parent(struct chan *ch, struct msg *m, void *arg)
{
	struct sign *s = arg;

	switch (m->type) {
	case MSG_CONF_BEGIN:
		sign_conf_begin(s, m);
		break;
	case MSG_SIGN_PAIR:
		sign_take_pair(s, m);
		break;
	case MSG_CONF_END:
		sign_conf_end(s, m);
		break;
	case MSG_CONF_COMMIT:
		sign_conf_commit(s);
		break;
	case MSG_PEER:
		sign_take_worker(s, m);
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
sign_parent_gone(struct chan *ch, enum chan_end end, void *arg)
{
	struct sign *s = arg;

	pair_free(s->last);
	pair_free(s->before);
	child_parent_gone(ch, end);
}

static const struct chan_ops sign_parent_ops = {
	.message = sign_dispatch_parent,
	.gone = sign_parent_gone,
};

/*
 * Its file of settings is not ours.  That, and the time zone, which the dates
 * of certificates take, are out of sight later on.
 */
static void
sign_prepare_library(void)
{
	tzset();
	if (vault_wipe_freed() == -1 || vault_open() == -1 ||
	    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG |
				    OPENSSL_INIT_ADD_ALL_CIPHERS |
				    OPENSSL_INIT_ADD_ALL_DIGESTS |
				    OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
		NULL) != 1)
		fatalx("the crypto library cannot start");
}

int
main(int argc, char *argv[])
{
	struct sign s = { .base = NULL };

	child_start(ROLE_SIGN, argc, argv);
	sign_prepare_library();
	if ((s.base = event_base_new()) == NULL ||
	    (s.report = evtimer_new(s.base, sign_report, &s)) == NULL)
		fatal("cannot start");
	s.parent = chan_new(s.base, CHILD_CHANNEL_FD, ROLE_SIGN, ROLE_PARENT,
	    &sign_parent_ops, &s);
	if (s.parent == NULL)
		fatal("cannot start");
	peers_init(&s.workers, ROLE_SIGN, s.parent, &sign_worker_ops);
	childlog_start(s.parent);
	event_base_dispatch(s.base);
	return 1;
}
