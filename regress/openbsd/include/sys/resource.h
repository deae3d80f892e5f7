/* getrlimit(2), getrusage(2).  No RLIMIT_AS, no prlimit(). */
#ifndef OPENBSD_SYS_RESOURCE_H
#define OPENBSD_SYS_RESOURCE_H

#include <sys/types.h>
#include <sys/time.h>

typedef unsigned long long rlim_t;
struct rlimit {
	rlim_t rlim_cur;
	rlim_t rlim_max;
};
#define RLIM_INFINITY  0x7fffffffffffffffULL
#define RLIMIT_CPU     0
#define RLIMIT_FSIZE   1
#define RLIMIT_DATA    2
#define RLIMIT_STACK   3
#define RLIMIT_CORE    4
#define RLIMIT_MEMLOCK 6
#define RLIMIT_NPROC   7
#define RLIMIT_NOFILE  8
#define RUSAGE_SELF    0
struct rusage {
	struct timeval ru_utime;
	struct timeval ru_stime;
	long ru_maxrss;
};

int getrlimit(int, struct rlimit *);
int setrlimit(int, const struct rlimit *);
int getrusage(int, struct rusage *);

#endif /* OPENBSD_SYS_RESOURCE_H */
