/*
 * The watchdog: each child is asked once a second whether it is there.
 */
#ifndef WATCHDOG_H
#define WATCHDOG_H

#include <stdbool.h>

struct child;
struct pool;

/*
 * Once a second: ask the children that owe no answer, kill those that have
 * owed one for too long, and those that should have died or become ready by
 * now.  Seconds in which the supervisor itself did not run do not count.
 */
void watchdog_tick(struct pool *);

/* MSG_PONG; false when nobody had asked. */
bool watchdog_pong(struct child *);

/* It owes an answer for longer than one should take: spare it. */
bool watchdog_doubts(const struct child *);

#endif /* WATCHDOG_H */
