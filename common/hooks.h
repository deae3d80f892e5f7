/*
 * Hooks for the regression tests of the sandbox, in builds that were
 * configured with --enable-regress-hooks: hooks_linux.c.  In all others,
 * hooks_none.c, nothing of this is there.
 */
#ifndef HOOKS_H
#define HOOKS_H

struct event_base;

/*
 * From now on the process tries what no sandbox should let it do: real-time
 * signal number N makes it take the Nth step of hooks_text(), and log what
 * came of it.
 */
void hooks_arm(struct event_base *);

/* What such a build can do, the steps by name; NULL in all others. */
const char *hooks_text(void);

#endif /* HOOKS_H */
