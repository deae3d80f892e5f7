#ifndef CPU_H
#define CPU_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/*
 * Processor time of other processes, all threads of each, in nanoseconds: the
 * scheduler's own account, which any process may read whether or not the
 * other one is dumpable.
 */
#define CPU_MAX 64

struct cpu {
	size_t count;
	clockid_t clocks[CPU_MAX];
	uint64_t begin[CPU_MAX];
	uint64_t used[CPU_MAX]; /* from cpu_start() to cpu_stop() */
};

/* Take process ids, separated by commas; -1 with errno. */
int cpu_parse(struct cpu *, const char *pids);

/* Begin and end a measurement; -1 with errno when a process has gone. */
int cpu_start(struct cpu *);
int cpu_stop(struct cpu *);

/*
 * Wait until they have nothing left to do; -1 with errno when a process has
 * gone, or they never rest.
 */
int cpu_settle(const struct cpu *);

/* What all of them used, nanoseconds. */
uint64_t cpu_sum(const struct cpu *);

#endif
