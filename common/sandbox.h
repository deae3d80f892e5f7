/*
 * The sandbox is the separation: all processes share one uid, so what a
 * compromised child cannot do is what its sandbox forbids.  Two functions,
 * one file per mechanism: sandbox_linux.c, sandbox_pledge.c, sandbox_none.c.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include "msg.h"

/*
 * First call of every main: not dumpable, no core, no new privileges by exec,
 * and leave when the parent does.  Call before anything secret is in memory.  parent is the expected
 * parent's pid, 0 for a program that may outlive its parent.  Returns 0, or
 * -1 with errno; ESRCH when the parent has gone already.
 */
int sandbox_harden(int parent);

/*
 * Enter the sandbox of a role for good.  Everything the process needs is
 * open by now.  Returns 0, or -1 with *why set to the step that failed (a
 * static string) and errno.
 */
int sandbox_enter(enum role, const char **why);

/*
 * Give up what only setting up needed (a worker that drains takes no more
 * descriptors).  Same returns.
 */
int sandbox_tighten(enum role, const char **why);

/* What sandbox_enter() achieved, for MSG_READY. */
struct sandbox_state {
	uint8_t mechanism; /* enum sandbox_mechanism */
	uint8_t landlock_abi; /* 0: none */
	uint8_t no_new_privs; /* 0 or 1, as the kernel says */
	uint8_t dumpable; /* 0 or 1, as the kernel says */
};

enum sandbox_mechanism {
	SANDBOX_NONE = 0,
	SANDBOX_SECCOMP, /* seccomp filter and Landlock */
	SANDBOX_PLEDGE,
};

/* Fill in what the kernel says of this process, and what was entered. */
void sandbox_report(struct sandbox_state *);

#endif /* SANDBOX_H */
