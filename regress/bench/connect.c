/*
 * Connection rate: connect, upgrade, greet, check the answer, close; a bounded
 * number at a time.  Latency is from connect() to the answer to hello.
 */
#include "conn.h"

void
connect_greeted(struct load *l, struct conn *c)
{
	if (l->measuring) {
		histogram_add(&l->latency, load_now() - c->opened);
		l->messages++;
	}
	conn_close(c);
}

/* So many connections, from the first to the last. */
static void
connect_many(struct load *l, unsigned count)
{
	unsigned last = l->greeted + count;

	while (l->greeted < last) {
		while (
		    l->opened < last && l->opened - l->greeted < l->in_flight)
			conn_open(l, l->opened);
		conn_wait(l, -1);
	}
}

void
connect_run(struct load *l)
{
	connect_many(l, l->connections / 10 + 1);
	load_settle(l);
	load_measure(l);
	connect_many(l, l->connections);
	l->elapsed = load_now() - l->begin;
	/* The last ones have yet to be noticed gone. */
	load_settle(l);
	load_measured(l);
}
