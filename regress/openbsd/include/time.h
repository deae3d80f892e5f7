/* ctime(3), strftime(3), clock_gettime(2). */
#ifndef OPENBSD_TIME_H
#define OPENBSD_TIME_H

#include <sys/cdefs.h>
#include <sys/types.h>

#ifndef OPENBSD_TIMESPEC
#define OPENBSD_TIMESPEC
struct timespec {
	time_t tv_sec;
	long tv_nsec;
};
#endif
struct tm {
	int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year, tm_wday;
	int tm_yday, tm_isdst;
	long tm_gmtoff;
	const char *tm_zone;
};

#define CLOCK_REALTIME  0
#define CLOCK_MONOTONIC 3
#define CLOCK_BOOTTIME  6
#define CLOCKS_PER_SEC  100

time_t time(time_t *);
time_t mktime(struct tm *);
time_t timegm(struct tm *);
struct tm *gmtime_r(const time_t *, struct tm *);
struct tm *localtime_r(const time_t *, struct tm *);
openbsd_size_t strftime(char *, openbsd_size_t, const char *, const struct tm *)
    OPENBSD_STRFTIME(3, 0);
char *strptime(const char *, const char *, struct tm *);
void tzset(void);
int clock_gettime(clockid_t, struct timespec *);
int nanosleep(const struct timespec *, struct timespec *);
clock_t clock(void);

#endif /* OPENBSD_TIME_H */
