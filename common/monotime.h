/*
 * Monotonic time is a type of its own, so that nobody subtracts a wall clock
 * from it.  Deadlines and ages in ltpd are monotonic; only log lines, the
 * audit log and replies to operators carry wall-clock time.
 */
#ifndef MONOTIME_H
#define MONOTIME_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct monotime {
	int64_t us; /* microseconds since an arbitrary point, same for all
		       processes of this boot */
};

static inline struct monotime
monotime_now(void)
{
	struct timespec ts;
	struct monotime mt;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	mt.us = (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
	return mt;
}

static inline struct monotime
monotime_add_ms(struct monotime mt, int64_t ms)
{
	mt.us += ms * 1000;
	return mt;
}

/* Microseconds from b to a; negative when a comes first. */
static inline int64_t
monotime_diff_us(struct monotime a, struct monotime b)
{
	return a.us - b.us;
}

static inline int64_t
monotime_diff_ms(struct monotime a, struct monotime b)
{
	return (a.us - b.us) / 1000;
}

static inline bool
monotime_reached(struct monotime now, struct monotime deadline)
{
	return now.us >= deadline.us;
}

#endif /* MONOTIME_H */
