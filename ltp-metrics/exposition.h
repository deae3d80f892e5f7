/*
 * The last snapshot of the node, as Prometheus text (format 0.0.4).
 */
#ifndef EXPOSITION_H
#define EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>

#include "monotime.h"
#include "msg.h"

#define EXPOSITION_TYPE    "text/plain; version=0.0.4"

#define SNAPSHOT_PROCESSES (64 + 8) /* workers, and the others */

struct snapshot {
	struct msg_stat stat;
	struct monotime taken; /* when stat came */
	bool valid; /* false: none came yet, stat is zeroes */
	struct msg_process process[SNAPSHOT_PROCESSES];
	size_t nprocess;
};

struct evbuffer;

/*
 * Append all families to out.  version is printed between quotes as it is.
 * Returns 0, or -1 when memory ran out.
 */
int exposition_print(
    struct evbuffer *out, const struct snapshot *, const char *version);

#endif /* EXPOSITION_H */
