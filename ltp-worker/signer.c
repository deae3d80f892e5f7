/*
 * The channel to ltp-sign.  While that is away open questions fail, so that
 * their clients hear of it, and new ones wait for its successor, a second at
 * most.
 */
#include "signer.h"

#include <string.h>

#include "chan.h"
#include "child.h"
#include "log.h"
#include "signer_key.h"

#define SIGNER_WAIT_MS 1000

/* One of the library's jobs is free. */
static void
signer_retry_soon(struct signer *s)
{
	if (!TAILQ_EMPTY(&s->waiting))
		event_active(s->retry, EV_TIMEOUT, 0);
}

/* In turn; the first that gets no job stays the first. */
static void
signer_retry(int fd, short what, void *arg)
{
	struct signer *s = arg;
	struct turn *turn;

	(void)fd;
	(void)what;
	s->retrying = true;
	s->full = false;
	while (!s->full && (turn = TAILQ_FIRST(&s->waiting)) != NULL) {
		TAILQ_REMOVE(&s->waiting, turn, entry);
		turn->waiting = false;
		turn->resume(turn->arg);
	}
	s->retrying = false;
}

/*
 * The question is over; who waits for it may go on.  Neither it nor the
 * handshake need exist any more after that.
 */
static void
signer_settle(struct signer *s, struct question *q, enum question_state state)
{
	struct turn *turn = q->turn;

	TAILQ_REMOVE(&s->questions, q, entry);
	q->state = state;
	turn->question = NULL;
	turn->resume(turn->arg);
	signer_retry_soon(s);
}

/* ---- answers ---- */

static struct question *
signer_find(const struct signer *s, uint32_t serial)
{
	struct question *q;

	TAILQ_FOREACH(q, &s->questions, entry) {
		if (q->sent && q->ask.serial == serial)
			return q;
	}
	return NULL;
}

static void
signer_reply(struct signer *s, struct chan *ch, struct msg *m)
{
	struct msg_sign_reply reply;
	size_t len = m->len - sizeof(reply);
	struct question *q;

	memcpy(&reply, m->data, sizeof(reply));
	/* The client may have left meanwhile. */
	if ((q = signer_find(s, reply.serial)) == NULL)
		return;
	if (len > q->outsize) {
		chan_reject(ch, "a signature is too long");
		return;
	}
	memcpy(q->out, m->data + sizeof(reply), len);
	q->outlen = len;
	signer_settle(s, q, len > 0 ? QUESTION_ANSWERED : QUESTION_FAILED);
}

static void
signer_dispatch(struct chan *ch, struct msg *m, void *arg)
{
	struct signer *s = arg;

	switch (m->type) {
	case MSG_SIGN_REPLY:
		signer_reply(s, ch, m);
		break;
	default:
		chan_reject(ch, "not a message of sign");
	}
}

static struct question *
signer_first(const struct signer *s, bool sent)
{
	struct question *q;

	TAILQ_FOREACH(q, &s->questions, entry) {
		if (q->sent == sent)
			return q;
	}
	return NULL;
}

static void
signer_gone(struct chan *ch, enum chan_end end, void *arg)
{
	struct signer *s = arg;
	struct question *q;

	if (end == CHAN_VIOLATION) {
		log_warnx("sign: %s", chan_violation(ch));
		if (s->parent != NULL)
			child_accuse(s->parent, &s->who);
	} else {
		log_warnx("sign: has gone");
	}
	chan_free(ch);
	s->ch = NULL;
	s->fd = -1;
	while ((q = signer_first(s, true)) != NULL)
		signer_settle(s, q, QUESTION_FAILED);
}

static const struct chan_ops signer_chan_ops = {
	.message = signer_dispatch,
	.gone = signer_gone,
};

/* ---- questions ---- */

static void
signer_send(struct signer *s, struct question *q)
{
	q->sent = chan_send(s->ch, MSG_SIGN_ASK, &q->ask, sizeof(q->ask), q->in,
		      q->inlen) == 0;
}

static void
signer_set_timer(struct signer *s)
{
	const struct question *q = signer_first(s, false);
	struct timeval tv = { 0, 0 };
	int64_t us;

	if (q == NULL)
		return;
	us = monotime_diff_us(q->deadline, monotime_now());
	if (us > 0) {
		tv.tv_sec = us / 1000000;
		tv.tv_usec = us % 1000000;
	}
	evtimer_add(s->timer, &tv);
}

static void
signer_expire(int fd, short what, void *arg)
{
	struct signer *s = arg;
	struct monotime now = monotime_now();
	struct question *q;

	(void)fd;
	(void)what;
	while ((q = signer_first(s, false)) != NULL &&
	       monotime_reached(now, q->deadline))
		signer_settle(s, q, QUESTION_FAILED);
	signer_set_timer(s);
}

size_t
signer_sign(struct signer *s, uint32_t pair, enum sign_scheme scheme,
    const uint8_t *in, size_t inlen, uint8_t *out, size_t outsize)
{
	struct question q = { .state = QUESTION_OPEN };

	/* No room: the library could not tell how much, without memory. */
	if (s->turn == NULL || inlen > SIGN_INPUT_MAX || outsize == 0)
		return 0;
	q.turn = s->turn;
	q.in = in;
	q.inlen = inlen;
	q.out = out;
	q.outsize = outsize;
	q.ask.serial = ++s->last_serial;
	q.ask.pair = pair;
	q.ask.scheme = scheme;
	q.deadline = monotime_add_ms(monotime_now(), SIGNER_WAIT_MS);
	q.turn->question = &q;
	TAILQ_INSERT_TAIL(&s->questions, &q, entry);
	if (s->ch != NULL)
		signer_send(s, &q);
	if (!q.sent)
		signer_set_timer(s);
	sign_wait(s, &q);
	if (q.state == QUESTION_OPEN) {
		TAILQ_REMOVE(&s->questions, &q, entry);
		q.turn->question = NULL;
	}
	return q.state == QUESTION_ANSWERED ? q.outlen : 0;
}

/* ---- handshakes ---- */

void
signer_attend(struct signer *s, struct turn *turn)
{
	s->turn = turn;
}

void
signer_queue(struct signer *s, struct turn *turn)
{
	if (turn->waiting)
		return;
	turn->waiting = true;
	s->full = true;
	if (s->retrying)
		TAILQ_INSERT_HEAD(&s->waiting, turn, entry);
	else
		TAILQ_INSERT_TAIL(&s->waiting, turn, entry);
}

/* Without an open question nobody would say that there is a job. */
bool
signer_is_awaited(const struct signer *s)
{
	return !s->retrying && !TAILQ_EMPTY(&s->waiting) &&
	       !TAILQ_EMPTY(&s->questions);
}

void
signer_abandon(struct signer *s, struct turn *turn)
{
	struct question *q = turn->question;

	if (turn->waiting)
		TAILQ_REMOVE(&s->waiting, turn, entry);
	turn->waiting = false;
	if (q == NULL)
		return;
	TAILQ_REMOVE(&s->questions, q, entry);
	q->state = QUESTION_FAILED;
	turn->question = NULL;
	signer_retry_soon(s);
}

/* ---- the beginning and the end ---- */

int
signer_set(struct signer *s, int fd, const struct msg_peer *who)
{
	struct question *q, *next;
	struct chan *ch;

	ch = chan_new(s->base, fd, ROLE_WORKER, ROLE_SIGN, &signer_chan_ops, s);
	if (ch == NULL)
		return -1;
	if (s->ch != NULL)
		signer_gone(s->ch, CHAN_EOF, s);
	s->ch = ch;
	s->fd = fd;
	s->who = *who;
	TAILQ_FOREACH_SAFE(q, &s->questions, entry, next) {
		if (!q->sent)
			signer_send(s, q);
	}
	return 0;
}

int
signer_init(struct signer *s, struct event_base *base, struct chan *parent)
{
	memset(s, 0, sizeof(*s));
	s->base = base;
	s->parent = parent;
	s->fd = -1;
	TAILQ_INIT(&s->questions);
	TAILQ_INIT(&s->waiting);
	s->timer = evtimer_new(base, signer_expire, s);
	s->retry = event_new(base, -1, 0, signer_retry, s);
	if (s->timer == NULL || s->retry == NULL || sign_wait_init() == -1)
		return -1;
	return signer_key_init();
}

void
signer_clear(struct signer *s)
{
	chan_free(s->ch);
	s->ch = NULL;
	if (s->timer != NULL)
		event_free(s->timer);
	s->timer = NULL;
	if (s->retry != NULL)
		event_free(s->retry);
	s->retry = NULL;
	signer_key_clear();
	sign_wait_clear();
}
