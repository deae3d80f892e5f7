/*
 * What a worker counts and reports as deltas, once a second and when it
 * goes; and which log lines it leaves out, so that a noisy client cannot
 * fill the log.
 */
#ifndef COUNT_H
#define COUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "metric.h"
#include "monotime.h"

struct chan;
struct event;
struct event_base;

/* Kinds of events that are logged at most once a second. */
enum log_category {
	CATEGORY_IP_RATE_LIMIT = 0,
	CATEGORY_RATE_LIMIT,
	CATEGORY_TOO_LARGE,
	CATEGORY_INVALID_JSON,
	CATEGORY_AUTH,
	CATEGORY_ORIGIN,
	CATEGORY_HANDSHAKE,
	CATEGORY__MAX
};

struct count {
	struct counters now;
	struct counters reported;
	uint64_t expired_last_sweep;
	uint64_t reported_last_sweep;
	struct monotime quiet_until[CATEGORY__MAX];
	struct event *timer;
	struct chan *parent;
};

/* Report to parent from now on.  0 or -1. */
int count_start(struct count *, struct event_base *, struct chan *parent);
/* Report what is new, if anything is. */
void count_report(struct count *);
/*
 * May an event of this category be logged now?  If not, it is counted as
 * left out.
 */
bool count_may_log(struct count *, enum log_category, struct monotime now);

#endif /* COUNT_H */
