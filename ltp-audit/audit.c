/*
 * Audit.  Holds the descriptor of the audit log, for reading its tail,
 * appending and cutting, and the key that signs its lines.  It hears the
 * supervisor, which passes both, and workers, whose records it makes lines
 * of: numbered, hashed, chained, signed.  It never parses what clients said,
 * opens no file and sees no client.
 *
 * All records of one wake-up are one write(2).  What cannot be written
 * waits, and as long as something waits no more is read from the workers.
 */
#include <event2/event.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "child.h"
#include "childlog.h"
#include "ledger.h"
#include "log.h"
#include "msg.h"
#include "peers.h"
#include "priority.h"
#include "wire.h"

/* Between two looks at what is to be synced, retried or reported. */
#define AUDIT_TICK_SECS 1
/* Bytes of lines that are written before the turn of the loop ends. */
#define AUDIT_BATCH_MAX (256 * 1024)

struct worker {
	struct peer peer;
	struct audit *audit;
};

struct audit {
	struct event_base *base;
	struct chan *parent;
	struct ledger ledger;
	struct peers workers;
	struct event *flush; /* at the end of this turn of the loop */
	struct event *tick;
	struct msg_audit_state told; /* the last report */
	uint64_t lines_told;
	uint64_t errors_told;
	uint32_t files;
	bool file_refused;
	bool entered; /* in the sandbox */

	/* being received */
	uint32_t generation;
	uint32_t records;
	uint32_t sign_every;
	bool has_key;
	uint8_t key[AUDIT_SEED_SIZE];
};

/* ---- what the supervisor is told ---- */

static void
audit_report(struct audit *a)
{
	const struct ledger *l = &a->ledger;
	struct msg_audit_state m;

	memset(&m, 0, sizeof(m));
	m.next = l->chain.next;
	m.lines = (uint32_t)(l->lines - a->lines_told);
	m.errors = (uint32_t)(l->errors - a->errors_told);
	m.files = a->files;
	m.writable = l->writable;
	m.refused = a->file_refused;
	if (m.lines == 0 && m.errors == 0 && m.files == a->told.files &&
	    m.writable == a->told.writable && m.next == a->told.next)
		return;
	if (chan_send(a->parent, MSG_AUDIT_STATE, &m, sizeof(m), NULL, 0) == -1)
		return;
	a->told = m;
	a->lines_told = l->lines;
	a->errors_told = l->errors;
}

static void
audit_tick_later(struct audit *a)
{
	struct timeval tv = { .tv_sec = AUDIT_TICK_SECS };

	if (!evtimer_pending(a->tick, NULL))
		evtimer_add(a->tick, &tv);
}

/* ---- writing ---- */

static void
audit_pause(struct audit *a, bool pause)
{
	struct peer *peer;

	TAILQ_FOREACH(peer, &a->workers.list, entry)
		chan_pause(peer->ch, pause);
}

static void
audit_write(struct audit *a)
{
	bool was = a->ledger.writable;

	if (ledger_write(&a->ledger) == -1) {
		if (was)
			log_at(LEVEL_ERROR, "audit: cannot write: %s",
			    strerror(errno));
	} else if (!was) {
		log_info(
		    "audit: can write again i=%" PRIu64, a->ledger.chain.next);
	}
	if (was != a->ledger.writable) {
		audit_pause(a, was);
		audit_report(a);
	}
	audit_tick_later(a);
}

static void
audit_flush(int fd, short what, void *arg)
{
	struct audit *a = arg;

	(void)fd;
	(void)what;
	if (a->ledger.writable)
		audit_write(a);
}

static void
audit_tick(int fd, short what, void *arg)
{
	struct audit *a = arg;

	(void)fd;
	(void)what;
	if (!a->ledger.writable)
		audit_write(a);
	if (ledger_sync(&a->ledger) == -1)
		log_warn("audit: fsync");
	audit_report(a);
	if (!a->ledger.writable)
		audit_tick_later(a);
}

/* ---- records ---- */

static bool
audit_record(struct audit *a, struct wire *w)
{
	const char *session_id, *before, *after;
	struct msg_audit_record r;

	wire_copy(w, &r, sizeof(r));
	session_id = wire_bytes(w, r.session_id_len);
	before = wire_bytes(w, r.before_len);
	after = wire_bytes(w, r.after_len);
	if (w->bad || !chain_accepts(&r, session_id, before, after))
		return false;
	if (ledger_add(&a->ledger, &r, session_id, before, after) == -1)
		fatal("audit: no line can be made");
	return true;
}

static void
audit_records(struct audit *a, struct chan *ch, struct msg *m)
{
	struct wire w;

	/* Signatures take their time: do not let too much pile up. */
	if (a->ledger.writable && a->ledger.len > AUDIT_BATCH_MAX)
		audit_write(a);
	wire_init(&w, m->data, m->len);
	while (w.left > 0) {
		if (!audit_record(a, &w)) {
			chan_reject(ch, "a record makes no sense");
			break;
		}
	}
	event_active(a->flush, EV_TIMEOUT, 0);
}

static void
audit_dispatch_worker(struct peer *peer, struct msg *m)
{
	struct worker *w = (struct worker *)peer;

	switch (m->type) {
	case MSG_AUDIT:
		audit_records(w->audit, peer->ch, m);
		break;
	default:
		chan_reject(peer->ch, "not a message of a worker");
	}
}

static const struct peer_ops audit_worker_ops = {
	.size = sizeof(struct worker),
	.message = audit_dispatch_worker,
};

static void
audit_take_worker(struct audit *a, struct msg *m)
{
	struct worker *w = (struct worker *)peers_take(&a->workers, m);

	w->audit = a;
	chan_pause(w->peer.ch, !a->ledger.writable);
}

/* ---- files ---- */

static void
audit_take_file(struct audit *a, struct msg *m)
{
	char why[LEDGER_ERROR_MAX];
	bool first = a->ledger.fd == -1;
	int rv;

	rv = first ? ledger_open(&a->ledger, m->fds[0], why)
		   : ledger_continue(&a->ledger, m->fds[0], why);
	if (rv == -1 && first)
		fatalx("audit: the log cannot be taken up: %s", why);
	a->files++;
	a->file_refused = rv == -1;
	if (rv == -1) {
		log_warnx("audit: the new file is not used: %s", why);
		audit_report(a);
		return;
	}
	m->fds[0] = -1;
	log_info("audit: %s i=%" PRIu64 " prev_hash=%s",
	    first ? "log taken up" : "goes on in a new file",
	    a->ledger.chain.next, a->ledger.chain.hash);
	if (!first) {
		audit_pause(a, false);
		audit_write(a);
		audit_report(a);
	}
}

/* ---- configuration ---- */

static void
audit_conf_begin(struct audit *a, struct msg *m)
{
	struct msg_conf_begin begin;

	memcpy(&begin, m->data, sizeof(begin));
	a->generation = begin.generation;
	a->records = 0;
	a->has_key = false;
	log_set_level(begin.log_level);
}

static void
audit_conf(struct audit *a, struct msg *m)
{
	struct msg_conf_audit conf;

	memcpy(&conf, m->data, sizeof(conf));
	a->sign_every = conf.sign_every;
	a->records++;
}

static void
audit_conf_key(struct audit *a, struct msg *m)
{
	memcpy(a->key, m->data, sizeof(a->key));
	a->has_key = true;
	a->records++;
}

static void
audit_conf_end(struct audit *a, struct msg *m)
{
	struct msg_conf_end end;
	struct msg_conf_ack ack;

	memcpy(&end, m->data, sizeof(end));
	if (end.generation != a->generation || end.records != a->records)
		fatalx("configuration is incomplete");
	ack.generation = end.generation;
	chan_send(a->parent, MSG_CONF_ACK, &ack, sizeof(ack), NULL, 0);
}

static void
audit_use_key(struct audit *a)
{
	struct chain *ch = &a->ledger.chain;
	char was[CHAIN_KEY_ID_LEN + 1];

	if (!a->has_key) {
		if (ch->key != NULL)
			log_info("audit: no signing key any more");
		chain_forget_key(ch);
		return;
	}
	memcpy(was, ch->key_id, sizeof(was));
	if (chain_set_key(ch, a->key) == -1)
		fatalx("audit: the signing key is of no use");
	explicit_bzero(a->key, sizeof(a->key));
	if (strcmp(was, ch->key_id) != 0)
		log_info("audit: signing key_id=%s public_key=%s", ch->key_id,
		    ch->public_key);
}

static void
audit_conf_commit(struct audit *a)
{
	if (a->ledger.fd == -1)
		fatalx("no file");
	audit_use_key(a);
	a->ledger.chain.sign_every = a->sign_every;
	if (a->entered)
		return;
	a->entered = true;
	/* The supervisor knows the state when it hears that we are ready. */
	audit_report(a);
	child_enter(ROLE_AUDIT, a->parent);
}

/* ---- dispatch ---- */

static void
audit_dispatch_parent(struct chan *ch, struct msg *m, void *arg)
{
	struct audit *a = arg;

	switch (m->type) {
	case MSG_CONF_BEGIN:
		audit_conf_begin(a, m);
		break;
	case MSG_CONF_AUDIT:
		audit_conf(a, m);
		break;
	case MSG_CONF_AUDIT_KEY:
		audit_conf_key(a, m);
		break;
	case MSG_CONF_END:
		audit_conf_end(a, m);
		break;
	case MSG_CONF_COMMIT:
		audit_conf_commit(a);
		break;
	case MSG_AUDIT_FILE:
		audit_take_file(a, m);
		break;
	case MSG_PEER:
		audit_take_worker(a, m);
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

/*
 * The node has stopped.  Its workers have left before, and what they said
 * last is still in their channels.
 */
static void
audit_parent_gone(struct chan *ch, enum chan_end end, void *arg)
{
	struct audit *a = arg;
	struct peer *peer;

	while ((peer = TAILQ_FIRST(&a->workers.list)) != NULL) {
		/* Ends when the worker has gone, or has no more to say. */
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): TAILQ_REMOVE */
		chan_drain(peer->ch);
		if (peer == TAILQ_FIRST(&a->workers.list))
			peer_end(peer);
	}
	ledger_write(&a->ledger);
	ledger_sync(&a->ledger);
	chain_free(&a->ledger.chain);
	child_parent_gone(ch, end);
}

static const struct chan_ops audit_parent_ops = {
	.message = audit_dispatch_parent,
	.gone = audit_parent_gone,
};

int
main(int argc, char *argv[])
{
	struct audit a = { .base = NULL };

	child_start(ROLE_AUDIT, argc, argv);
	priority_batch();
	/* A limit on the size of files is a full disk, no reason to die. */
	signal(SIGXFSZ, SIG_IGN);
	if ((a.base = event_base_new()) == NULL || ledger_init(&a.ledger) == -1)
		fatal("cannot start");
	a.flush = event_new(a.base, -1, 0, audit_flush, &a);
	a.tick = evtimer_new(a.base, audit_tick, &a);
	a.parent = chan_new(a.base, CHILD_CHANNEL_FD, ROLE_AUDIT, ROLE_PARENT,
	    &audit_parent_ops, &a);
	if (a.flush == NULL || a.tick == NULL || a.parent == NULL)
		fatal("cannot start");
	peers_init(&a.workers, ROLE_AUDIT, a.parent, &audit_worker_ops);
	childlog_start(a.parent);
	event_base_dispatch(a.base);
	return 1;
}
