/* syslog(3). */
#ifndef OPENBSD_SYSLOG_H
#define OPENBSD_SYSLOG_H

#include <sys/cdefs.h>

#define LOG_PID     0x01
#define LOG_NDELAY  0x08
#define LOG_DAEMON  (3 << 3)
#define LOG_CRIT    2
#define LOG_ERR     3
#define LOG_WARNING 4
#define LOG_NOTICE  5
#define LOG_INFO    6
#define LOG_DEBUG   7

void openlog(const char *, int, int);
void closelog(void);
void syslog(int, const char *, ...) OPENBSD_SYSLOG(2, 3);

#endif /* OPENBSD_SYSLOG_H */
