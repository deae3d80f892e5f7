/*
 * The watchdog.  A child that is stopped, spins or hangs in a call looks
 * alive from outside; what it does not do is answer.
 */
#include "watchdog.h"

#include <signal.h>
#include <stddef.h>

#include "chan.h"
#include "pool.h"

#define WATCHDOG_LIMIT_SECS 10
/* An answer may be late by as much before a child gets no more clients. */
#define WATCHDOG_DOUBT_SECS 1

#define TEXT(n)             TEXT_(n)
#define TEXT_(n)            #n

static bool
watchdog_ask(struct child *c)
{
	return chan_send(c->ch, MSG_PING, NULL, 0, NULL, 0) == 0;
}

static void
watchdog_look(struct child *c)
{
	switch (c->state) {
	case CHILD_STARTING:
		if (++c->unanswered >= WATCHDOG_LIMIT_SECS)
			pool_kill(c, "is not ready after " TEXT(
					 WATCHDOG_LIMIT_SECS) " s");
		break;
	case CHILD_READY:
		if (c->unanswered >= WATCHDOG_LIMIT_SECS)
			pool_kill(c, "has not answered for " TEXT(
					 WATCHDOG_LIMIT_SECS) " s");
		else if (c->unanswered > 0 || watchdog_ask(c))
			c->unanswered++;
		break;
	case CHILD_DYING:
		kill(c->pid, SIGKILL);
		break;
	case CHILD_DRAINING: /* has a time limit of its own */
	case CHILD_DOWN:
		break;
	}
}

void
watchdog_tick(struct pool *pool)
{
	size_t i;

	for (i = 0; i < pool->count; i++) {
		if (pool->child[i].pid != 0)
			watchdog_look(&pool->child[i]);
	}
}

bool
watchdog_pong(struct child *c)
{
	bool asked = c->unanswered > 0;

	c->unanswered = 0;
	return asked;
}

bool
watchdog_doubts(const struct child *c)
{
	return c->unanswered > WATCHDOG_DOUBT_SECS;
}
