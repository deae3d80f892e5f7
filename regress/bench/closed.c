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
closed_until(struct load *l, uint64_t end)
{
	while (load_now() < end)
		conn_wait(l, 10);
}

void
closed_run(struct load *l)
{
	uint64_t start;
	unsigned i;

	load_open_all(l);
	start = load_now();
	for (i = 0; i < l->connections; i++) {
		l->conns[i]->times = calloc(l->depth, sizeof(uint64_t));
		if (l->conns[i]->times == NULL)
			err(1, NULL);
		closed_send(l, l->conns[i], l->depth);
	}
	start += (uint64_t)(l->warm_up * LOAD_SECOND);
	closed_until(l, start);
	load_measure(l);
	closed_until(l, l->begin + (uint64_t)(l->seconds * LOAD_SECOND));
	load_measured(l);
	load_drain(l);
}
