/* sysctl(2): a process, as KERN_PROC tells of it; of many fields, some. */
#ifndef OPENBSD_SYS_SYSCTL_H
#define OPENBSD_SYS_SYSCTL_H

#include <sys/types.h>

#define CTL_KERN      1
#define KERN_PROC     66
#define KERN_PROC_PID 1

struct kinfo_proc {
	int32_t p_pid;
	int32_t p_vm_rssize;
	uint32_t p_uutime_sec;
	uint32_t p_uutime_usec;
	uint32_t p_ustime_sec;
	uint32_t p_ustime_usec;
};

int sysctl(const int *, u_int, void *, size_t *, void *, size_t);

#endif /* OPENBSD_SYS_SYSCTL_H */
