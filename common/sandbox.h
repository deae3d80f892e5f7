/*
 * The sandbox is the separation: all processes share one uid, so what a
 * compromised child cannot do is what its sandbox forbids.  One file per
 * mechanism: sandbox_linux.c (with landlock_linux.c and filter_linux.c),
 * sandbox_pledge.c, sandbox_none.c.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include "msg.h"

/*
 * First call of every main: not dumpable, no core, no new privileges by exec,
 * and leave when the parent does.  Call before anything secret is in memory.
 * parent is the expected parent's pid, 0 for a program that may outlive its
 * parent.  Returns 0, or -1 with errno; ESRCH when the parent has gone already.
 */
int sandbox_harden(int parent);

/*
 * How much of a sandbox must be entered, as a word: "both" mechanisms of
 * Linux, which is where a process begins, or "landlock-optional", for a kernel
 * that has none.  A build with regression hooks knows "seccomp", "landlock",
 * "log" (seccomp that only logs) and "none", too.  0, or -1 when there is no
 * such word.
 */
int sandbox_demand(const char *word);
/* The word in force, to be passed on to a child. */
const char *sandbox_demanded(void);

/*
 * For the supervisor, before it enters: keep the right to read (r), write (w),
 * execute (x), or create and remove (c) what lies below a directory, or a
 * file, as in unveil(2).  Returns 0, or -1 with errno.
 */
int sandbox_unveil(const char *path, const char *permissions);

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

/*
 * For ltpctl, which anybody runs on any host: pledge(2), on Linux as far as
 * Landlock, if there is any, goes.  Promises that a former call did not make
 * cannot be added.  Returns 0, or -1 with errno.
 */
int sandbox_pledge(const char *promises);

/* What sandbox_enter() achieved, for MSG_READY. */
struct sandbox_state {
	uint8_t mechanism; /* enum sandbox_mechanism */
	uint8_t landlock_abi; /* 0: none */
	uint8_t no_new_privs; /* 0 or 1, as the kernel says */
	uint8_t dumpable; /* 0 or 1, as the kernel says */
	uint32_t landlock_fs; /* rights that were taken away, LL_FS_* */
	uint16_t landlock_net;
	uint16_t landlock_scope;
};

enum sandbox_mechanism {
	SANDBOX_NONE = 0,
	SANDBOX_SECCOMP, /* seccomp filter and Landlock */
	SANDBOX_PLEDGE,
	SANDBOX_LANDLOCK, /* alone */
};

/* Fill in what the kernel says of this process, and what was entered. */
void sandbox_report(struct sandbox_state *);

#define SANDBOX_CALL_MAX 64

/* The name of a system call, for MSG_TRAPPED; returns buf. */
char *sandbox_call_name(char buf[SANDBOX_CALL_MAX], int nr);

#endif /* SANDBOX_H */
