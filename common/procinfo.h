/*
 * What the kernel says of a child: processor time, memory, descriptors.  On
 * Linux a child that is not dumpable hides its /proc files, so it opens them
 * itself before its sandbox and passes them with MSG_READY; on OpenBSD the
 * supervisor asks sysctl(2).
 */
#ifndef PROCINFO_H
#define PROCINFO_H

#include <sys/types.h>

#include <stddef.h>
#include <stdint.h>

#include "msg.h"

#define PROCINFO_FDS 4

/* In the child: open what the system has; returns how many (0 or 4). */
size_t procinfo_open(int fds[PROCINFO_FDS]);

/*
 * In the supervisor: fill cpu_us, resident_bytes, descriptors, seccomp and
 * no_new_privs of out; -1 (0 for the last two) where the system does not
 * tell.  fds are those of MSG_READY, nfds 0 or 4.
 */
void procinfo_read(pid_t, const int *fds, size_t nfds, struct msg_process *out);

#endif /* PROCINFO_H */
