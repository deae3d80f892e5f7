/*
 * What the kernel says of a process, on OpenBSD: sysctl(2), which the
 * promise "ps" allows.  No promise allows the table of other processes' files,
 * so their descriptors are not known.
 */
#include <sys/types.h>
#include <sys/sysctl.h>

#include <string.h>
#include <unistd.h>

#include "procinfo.h"

size_t
procinfo_open(int fds[PROCINFO_FDS])
{
	(void)fds;
	return 0;
}

void
procinfo_read(pid_t pid, const int *fds, size_t nfds, struct msg_process *out)
{
	struct kinfo_proc kp;
	size_t size = sizeof(kp);
	int mib[6] = { CTL_KERN, KERN_PROC, KERN_PROC_PID, 0, sizeof(kp), 1 };

	(void)fds;
	(void)nfds;
	out->cpu_us = out->resident_bytes = out->descriptors = -1;
	out->seccomp = out->no_new_privs = 0;

	if (pid == getpid())
		out->descriptors = getdtablecount();

	mib[3] = pid;
	memset(&kp, 0, sizeof(kp));
	if (sysctl(mib, 6, &kp, &size, NULL, 0) == -1 || size < sizeof(kp))
		return;
	out->cpu_us = ((int64_t)kp.p_uutime_sec + kp.p_ustime_sec) * 1000000 +
		      kp.p_uutime_usec + kp.p_ustime_usec;
	out->resident_bytes = (int64_t)kp.p_vm_rssize * getpagesize();
}
