/*
 * Open loop: messages go out by the clock, whatever the server does, and a
 * latency counts from when its message was due.  So a server that stalls is
 * charged for all the messages that should have been sent meanwhile.
 *
 * It never sleeps: the processor that it runs on should be its own.
 */
#include "conn.h"

/* When the message of this number, of all connections together, is due. */
static uint64_t
open_due(const struct load *l, uint64_t number)
{
	return l->schedule + number * LOAD_SECOND / l->rate;
}

void
open_replied(struct load *l, struct conn *c, unsigned n)
{
	uint64_t due, now = load_now(), seq;

	for (seq = c->received - n; seq < c->received; seq++) {
		due = open_due(l, seq * l->connections + c->who.number);
		if (due < l->schedule + (uint64_t)(l->warm_up * LOAD_SECOND))
			continue;
		histogram_add(&l->latency, now - due);
		l->messages++;
	}
}

/* Send all that is due before end when it is due, and hear what comes. */
static uint64_t
open_until(struct load *l, uint64_t number, uint64_t end)
{
	uint64_t due, now;

	do {
		now = load_now();
		while ((due = open_due(l, number)) <= now && due < end) {
			conn_send(l, l->conns[number % l->connections], 1);
			if (l->measuring)
				histogram_add(&l->lag, load_now() - due);
			number++;
		}
		conn_wait(l, 0);
	} while (now < end);
	return number;
}

void
open_run(struct load *l)
{
	uint64_t number, warm;

	load_open_all(l);
	l->schedule = load_now();
	warm = l->schedule + (uint64_t)(l->warm_up * LOAD_SECOND);
	number = open_until(l, 0, warm);
	load_measure(l);
	open_until(l, number, warm + (uint64_t)(l->seconds * LOAD_SECOND));
	load_drain(l);
	load_measured(l);
}
