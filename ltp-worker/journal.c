/*
 * Records on their way to ltp-audit.
 */
#include "journal.h"

#include <event2/event.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chan.h"
#include "child.h"
#include "client.h"
#include "log.h"
#include "number.h"
#include "session.h"
#include "trace.h"
#include "worker.h"

/* Above this, clients are not read from; below the other, they are again. */
#define JOURNAL_HIGH_WATER (128 * 1024)
#define JOURNAL_LOW_WATER  (32 * 1024)
/* So long ltp-audit may be away before messages are refused. */
#define JOURNAL_AWAY_MS  1000
#define JOURNAL_KEEP     (64 * 1024) /* bytes of an empty buffer */
#define JOURNAL_LEAVE_MS 1000
#define JOURNAL_RETRY_MS 100

/* Records of a message and of what it is answered with. */
#define JOURNAL_EXCHANGE 2

#define JOURNAL_RECORD_MAX \
	(sizeof(struct msg_audit_record) + AUDIT_SESSION_MAX + AUDIT_FRAME_MAX)

/* ---- sending ---- */

/* Bytes of the record at p. */
static size_t
record_size(const uint8_t *p)
{
	struct msg_audit_record r;

	memcpy(&r, p, sizeof(r));
	return sizeof(r) + r.session_id_len + r.before_len + r.after_len;
}

/* Bytes of as many records as one message takes. */
static size_t
journal_batch(const uint8_t *p, size_t len)
{
	size_t n = 0, size;

	while (n < len) {
		size = record_size(p + n);
		if (n + size > MSG_MAX_PAYLOAD)
			break;
		n += size;
	}
	return n;
}

/*
 * Send what the socket takes.  Not more: what lies in the channel's queue is
 * lost when ltp-audit dies, what lies here is not.
 */
static void
journal_send(struct journal *j)
{
	size_t n, done = 0;

	j->now_ms = 0;
	if (j->audit == NULL)
		return;
	while (done < j->len && chan_queued(j->audit) == 0) {
		n = journal_batch(j->buf + done, j->len - done);
		if (chan_send(j->audit, MSG_AUDIT, j->buf + done, n, NULL, 0) ==
		    -1)
			break;
		done += n;
	}
	j->len -= done;
	if (j->len > 0) {
		memmove(j->buf, j->buf + done, j->len);
	} else if (j->size > JOURNAL_KEEP) {
		free(j->buf);
		j->buf = NULL;
		j->size = 0;
	}
}

/* Clients that had to wait may be read from, or be refused. */
static void
journal_wake_clients(struct worker *w)
{
	struct client *c;

	if (!w->journal.parked)
		return;
	w->journal.parked = false;
	TAILQ_FOREACH(c, &w->clients, all)
		client_unpark(c);
}

static size_t
journal_waiting(const struct journal *j)
{
	return j->len + (j->audit == NULL ? 0 : chan_queued(j->audit));
}

/* Who was parked goes on, whether the socket took it all or had to wait. */
static void
journal_push(struct worker *w)
{
	struct timeval tv = { .tv_usec = JOURNAL_RETRY_MS * 1000 };
	struct journal *j = &w->journal;

	journal_send(j);
	if (j->audit == NULL)
		return;
	if (journal_waiting(j) <= JOURNAL_LOW_WATER)
		journal_wake_clients(w);
	/* No memory: nobody will say when there is. */
	if (j->len > 0 && chan_queued(j->audit) == 0)
		event_add(j->flush, &tv);
}

/* The end of a turn of the loop that made records. */
static void
journal_flush(int fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	journal_push(w);
}

static void
journal_writable(struct chan *ch, void *arg)
{
	struct worker *w = arg;

	(void)ch;
	worker_wake(w);
	journal_push(w);
}

/* ---- the channel ---- */

static void
journal_dispatch_audit(struct chan *ch, struct msg *m, void *arg)
{
	(void)m;
	(void)arg;
	chan_reject(ch, "audit has nothing to say");
}

static void
journal_audit_gone(struct chan *ch, enum chan_end end, void *arg)
{
	struct timeval tv = { .tv_sec = JOURNAL_AWAY_MS / 1000 };
	struct worker *w = arg;
	struct journal *j = &w->journal;

	worker_wake(w);
	if (end == CHAN_VIOLATION) {
		log_warnx("audit: %s", chan_violation(ch));
		child_accuse(w->parent, &j->audit_is);
	} else if (!w->draining) {
		log_warnx("audit: has gone");
	}
	chan_free(ch);
	j->audit = NULL;
	j->away_until = monotime_add_ms(w->now, JOURNAL_AWAY_MS);
	evtimer_add(j->away, &tv);
}

static const struct chan_ops journal_chan_ops = {
	.message = journal_dispatch_audit,
	.gone = journal_audit_gone,
	.writable = journal_writable,
};

/* It did not come back in time. */
static void
journal_away(int fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	worker_wake(w);
	w->journal.away_until = w->now;
	journal_wake_clients(w);
}

int
journal_init(struct worker *w)
{
	struct journal *j = &w->journal;

	j->allowed = true;
	j->away_until = monotime_add_ms(monotime_now(), JOURNAL_AWAY_MS);
	j->flush = event_new(w->base, -1, 0, journal_flush, w);
	j->away = evtimer_new(w->base, journal_away, w);
	return j->flush == NULL || j->away == NULL ? -1 : 0;
}

void
journal_set_audit(struct worker *w, int fd, const struct msg_peer *who)
{
	struct journal *j = &w->journal;
	struct chan *ch;

	ch = chan_new(
	    w->base, fd, ROLE_WORKER, ROLE_AUDIT, &journal_chan_ops, w);
	/* It would refuse everybody for ever; its successor may do better. */
	if (ch == NULL)
		fatal("audit: no channel");
	if (j->audit != NULL)
		journal_audit_gone(j->audit, CHAN_EOF, w);
	evtimer_del(j->away);
	j->audit = ch;
	j->audit_is = *who;
	j->allowed = true;
	journal_send(j);
	journal_wake_clients(w);
}

void
journal_allow(struct worker *w, const struct msg *m)
{
	struct msg_audit_allow allow;

	memcpy(&allow, m->data, sizeof(allow));
	w->journal.allowed = allow.allowed != 0;
	journal_wake_clients(w);
}

enum journal_state
journal_state(const struct worker *w)
{
	const struct msg_conf_worker *conf = &w->settings->node;
	const struct journal *j = &w->journal;

	if (!conf->audit || !conf->audit_required)
		return JOURNAL_OPEN;
	if (!j->allowed)
		return JOURNAL_SHUT;
	if (j->audit == NULL)
		return monotime_reached(w->now, j->away_until) ? JOURNAL_SHUT
							       : JOURNAL_WAIT;
	return journal_waiting(j) > JOURNAL_HIGH_WATER ? JOURNAL_WAIT
						       : JOURNAL_OPEN;
}

void
journal_leave(struct worker *w)
{
	struct journal *j = &w->journal;

	do {
		journal_send(j);
	} while (j->audit != NULL &&
		 chan_flush(j->audit, JOURNAL_LEAVE_MS) == 0 && j->len > 0);
}

/* ---- records ---- */

/* Is there a record to make?  One that cannot be is counted. */
static bool
journal_wants(struct client *c)
{
	struct worker *w = c->worker;
	const struct journal *j = &w->journal;
	bool full;

	if (!w->settings->node.audit)
		return false;
	/* Who requires the log has stopped reading, so there is an end. */
	full = !w->settings->node.audit_required &&
	       journal_waiting(j) > JOURNAL_HIGH_WATER;
	if (!full && journal_state(w) != JOURNAL_SHUT)
		return true;
	w->count.now.n[COUNT_AUDIT_LOST]++;
	return false;
}

/* Room for so many records; where the first one goes, NULL without memory. */
static uint8_t *
journal_room(struct journal *j, size_t records)
{
	size_t size = j->size == 0 ? JOURNAL_KEEP : j->size;
	uint8_t *grown;

	while (size - j->len < records * JOURNAL_RECORD_MAX)
		size *= 2;
	if (size != j->size) {
		if ((grown = realloc(j->buf, size)) == NULL)
			return NULL;
		j->buf = grown;
		j->size = size;
	}
	return j->buf + j->len;
}

bool
journal_accepts(struct worker *w)
{
	const struct msg_conf_worker *conf = &w->settings->node;

	if (!conf->audit || !conf->audit_required)
		return true;
	return journal_state(w) != JOURNAL_SHUT &&
	       journal_room(&w->journal, JOURNAL_EXCHANGE) != NULL;
}

static int64_t
journal_now(struct journal *j)
{
	struct timespec ts;

	if (j->now_ms == 0) {
		clock_gettime(CLOCK_REALTIME, &ts);
		j->now_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
	}
	return j->now_ms;
}

/*
 * Which connection, or session: an id that the node gave, so that no client
 * can choose it.
 */
static size_t
journal_session_id(const struct client *c, enum audit_direction direction,
    char out[AUDIT_SESSION_MAX])
{
	const struct session *s = c->session;

	if (direction == AUDIT_IN && s != NULL && s->has_id)
		return strlen(session_id(s, out));
	return (size_t)(number_put_int64(out, (int64_t)c->id) - out);
}

static void
journal_add(
    struct client *c, enum audit_direction direction, const struct trace *t)
{
	struct journal *j = &c->worker->journal;
	struct msg_audit_record r = { .direction = direction };
	char id[AUDIT_SESSION_MAX];
	uint8_t *p;
	size_t before, len;

	if ((p = journal_room(j, 1)) == NULL) {
		c->worker->count.now.n[COUNT_AUDIT_LOST]++;
		return;
	}
	r.timestamp_ms = journal_now(j);
	r.session_id_len = journal_session_id(c, direction, id);
	memcpy(p + sizeof(r), id, r.session_id_len);
	len = trace_print((char *)p + sizeof(r) + r.session_id_len, t, &before);
	r.before_len = before;
	r.after_len = len - before;
	memcpy(p, &r, sizeof(r));
	j->len += sizeof(r) + r.session_id_len + len;
	event_active(j->flush, EV_TIMEOUT, 0);
}

static void
journal_trace(const struct client *c, struct trace *t)
{
	struct str identity = client_identity(c);

	trace_init(t, identity.len > 0 ? &identity : NULL,
	    c->worker->settings->node.audit_payload == AUDIT_PAYLOAD_HASH);
}

/* The session id that the node gave, empty when it gave none. */
static const char *
journal_own_id(const struct client *c, char out[UUID_TEXT_SIZE])
{
	return c->session == NULL ? "" : session_id(c->session, out);
}

void
journal_message(struct client *c, const struct frame *f)
{
	char own[UUID_TEXT_SIZE];
	struct trace t;

	if (!journal_wants(c))
		return;
	journal_trace(c, &t);
	trace_of_message(&t, c->dialect, f, journal_own_id(c, own));
	if (c->remote != NULL)
		trace_of_remote(&t, f, own);
	journal_add(c, AUDIT_IN, &t);
}

void
journal_hello_ack(struct client *c)
{
	char own[UUID_TEXT_SIZE];
	struct trace t;

	if (!journal_wants(c))
		return;
	journal_trace(c, &t);
	trace_of_hello_ack(
	    &t, &c->worker->settings->node_id, journal_own_id(c, own));
	journal_add(c, AUDIT_OUT, &t);
}

void
journal_heartbeat_ack(
    struct client *c, const struct str *id, const struct str *timestamp)
{
	struct trace t;

	if (!journal_wants(c))
		return;
	journal_trace(c, &t);
	trace_of_heartbeat_ack(&t, c->dialect, id, timestamp);
	journal_add(c, AUDIT_OUT, &t);
}

void
journal_suggestion(
    struct client *c, const struct str *id, const struct orientation *o)
{
	char sector[ROUTE_SECTOR_MAX];
	struct trace t;

	if (!journal_wants(c))
		return;
	journal_trace(c, &t);
	trace_of_suggestion(&t, c->dialect, id, o, sector);
	journal_add(c, AUDIT_OUT, &t);
}

void
journal_error(struct client *c, const char *code, const char *message,
    const char *dist_code)
{
	struct trace t;

	if (!journal_wants(c))
		return;
	journal_trace(c, &t);
	trace_of_error(&t, code, message, dist_code);
	journal_add(c, AUDIT_OUT, &t);
}
