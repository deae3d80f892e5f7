/*
 * SCHED_BATCH, see sched(7).
 */
#include <sched.h>
#include <stddef.h>

#include "priority.h"

void
priority_batch(void)
{
	static const struct sched_param param = { .sched_priority = 0 };

	/* Nothing depends on it. */
	(void)sched_setscheduler(0, SCHED_BATCH, &param);
}
