/*
 * Closed loop: each connection has depth messages on their way, and every
 * reply is followed by the next message.
 */
#include <err.h>
#include <stdlib.h>

#include "conn.h"

/* Send n messages and remember when. */
static void
closed_send(struct load *l, struct conn *c, unsigned n)
{
	uint64_t now = load_now();
	unsigned i;

	for (i = 0; i < n; i++)
		c->times[(c->sent + i) % l->depth] = now;
	conn_send(l, c, n);
}

void
closed_replied(struct load *l, struct conn *c, unsigned n)
{
	uint64_t seq;

	if (l->measuring) {
		l->messages += n;
		for (seq = c->received - n; seq < c->received; seq++)
			histogram_add(
			    &l->latency, l->now - c->times[seq % l->depth]);
	}
	if (!l->stopping)
		closed_send(l, c, n);
}

static void
closed_begin(struct load *l)
{
	unsigned i;

	l->stopping = false;
	for (i = 0; i < l->connections; i++)
		closed_send(l, l->conns[i], l->depth);
}

static void
closed_until(struct load *l, uint64_t begin, double seconds)
{
	uint64_t end = begin + (uint64_t)(seconds * LOAD_SECOND);

	while (load_now() < end)
		conn_wait(l, 10);
}

/* From rest to rest. */
static void
closed_behind(struct load *l)
{
	closed_begin(l);
	closed_until(l, load_now(), l->warm_up);
	load_drain(l);
	load_settle(l);
	load_measure(l);
	closed_begin(l);
	closed_until(l, l->begin, l->seconds);
	load_drain(l);
	l->elapsed = load_now() - l->begin;
	load_settle(l);
	load_measured(l);
}

void
closed_run(struct load *l)
{
	unsigned i;

	load_open_all(l);
	for (i = 0; i < l->connections; i++) {
		l->conns[i]->times = calloc(l->depth, sizeof(uint64_t));
		if (l->conns[i]->times == NULL)
			err(1, NULL);
	}
	if (l->behind) {
		closed_behind(l);
		return;
	}
	closed_begin(l);
	closed_until(l, load_now(), l->warm_up);
	load_measure(l);
	closed_until(l, l->begin, l->seconds);
	load_measured(l);
	load_drain(l);
}
