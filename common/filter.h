/*
 * The seccomp filter of a child.  Linux only.
 */
#ifndef FILTER_H
#define FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "msg.h"

/*
 * Let this process make the system calls of its role and no others, for good.
 * With only_log the others are made all the same, and the kernel logs them.
 * The first forbidden call is reported by MSG_TRAPPED on the channel.  Needs
 * no_new_privs.  Returns 0, or -1 with errno; EINVAL: the role has no filter.
 */
int filter_enter(enum role, bool only_log);

/* How many rows the list of a role has, each a call or a use of one. */
size_t filter_size(enum role);

#define FILTER_CALL_MAX 64

/* "openat", or "call 999"; returns buf. */
char *filter_call_name(char buf[FILTER_CALL_MAX], int nr);

#endif /* FILTER_H */
