/*
 * Sums over all workers that ever were, and the snapshot for ltp-metrics and
 * ltpctl.
 */
#ifndef COUNTERS_H
#define COUNTERS_H

#include <stdbool.h>

#include "msg.h"

struct child;
struct parent;

/* Add a worker's report; false when it cannot be true. */
bool counters_report(struct parent *, struct child *, const struct msg_count *);
/* The state of the node now. */
void counters_snapshot(const struct parent *, struct msg_stat *);
/* Send the snapshot to ltp-metrics, if it is ready. */
void counters_publish(const struct parent *);

#endif /* COUNTERS_H */
