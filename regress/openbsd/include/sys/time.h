/* gettimeofday(2) and its structures; select(2) comes with it. */
#ifndef OPENBSD_SYS_TIME_H
#define OPENBSD_SYS_TIME_H

#include <sys/types.h>

struct timeval {
	time_t tv_sec;
	suseconds_t tv_usec;
};
#ifndef OPENBSD_TIMESPEC
#define OPENBSD_TIMESPEC
struct timespec {
	time_t tv_sec;
	long tv_nsec;
};
#endif
struct timezone;

int gettimeofday(struct timeval *, struct timezone *);
int utimes(const char *, const struct timeval *);

#endif /* OPENBSD_SYS_TIME_H */
