/*
 * The servers' processor time.  Not that of /proc/PID/stat, which counts whole
 * ticks, nor of /proc/PID/schedstat, which leaves out threads.
 */
#include "cpu.h"

#include <sys/types.h>

#include <errno.h>
#include <stdlib.h>

/* Who uses less than a hundredth of so long is at rest. */
#define CPU_REST_NS   50000000
#define CPU_RESTS_MAX 1200

int
cpu_parse(struct cpu *cpu, const char *pids)
{
	char *end;
	long pid;
	int error;

	cpu->count = 0;
	for (;;) {
		errno = EINVAL;
		pid = strtol(pids, &end, 10);
		if (end == pids || pid <= 0 || cpu->count == CPU_MAX)
			return -1;
		error =
		    clock_getcpuclockid((pid_t)pid, &cpu->clocks[cpu->count]);
		if (error != 0) {
			errno = error;
			return -1;
		}
		cpu->count++;
		if (*end == '\0')
			return 0;
		if (*end != ',')
			return -1;
		pids = end + 1;
	}
}

static int
cpu_read(clockid_t clock, uint64_t *ns)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts) == -1)
		return -1;
	*ns = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
	return 0;
}

int
cpu_start(struct cpu *cpu)
{
	size_t i;

	for (i = 0; i < cpu->count; i++) {
		if (cpu_read(cpu->clocks[i], &cpu->begin[i]) == -1)
			return -1;
	}
	return 0;
}

int
cpu_stop(struct cpu *cpu)
{
	size_t i;

	for (i = 0; i < cpu->count; i++) {
		if (cpu_read(cpu->clocks[i], &cpu->used[i]) == -1)
			return -1;
		cpu->used[i] -= cpu->begin[i];
	}
	return 0;
}

int
cpu_settle(const struct cpu *cpu)
{
	const struct timespec pause = { .tv_nsec = CPU_REST_NS };
	struct cpu now = *cpu;
	unsigned i;

	for (i = 0; i < CPU_RESTS_MAX; i++) {
		if (cpu_start(&now) == -1)
			return -1;
		nanosleep(&pause, NULL);
		if (cpu_stop(&now) == -1)
			return -1;
		if (cpu_sum(&now) < CPU_REST_NS / 100)
			return 0;
	}
	errno = ETIMEDOUT;
	return -1;
}

uint64_t
cpu_sum(const struct cpu *cpu)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < cpu->count; i++)
		sum += cpu->used[i];
	return sum;
}
