/* err(3). */
#ifndef OPENBSD_ERR_H
#define OPENBSD_ERR_H

#include <sys/cdefs.h>
#include <sys/types.h>

void err(int, const char *, ...) OPENBSD_NORETURN OPENBSD_PRINTF(2, 3);
void errx(int, const char *, ...) OPENBSD_NORETURN OPENBSD_PRINTF(2, 3);
void errc(int, int, const char *, ...) OPENBSD_NORETURN OPENBSD_PRINTF(3, 4);
void
verrx(int, const char *, openbsd_va_list) OPENBSD_NORETURN OPENBSD_PRINTF(2, 0);
void warn(const char *, ...) OPENBSD_PRINTF(1, 2);
void warnx(const char *, ...) OPENBSD_PRINTF(1, 2);
void warnc(int, const char *, ...) OPENBSD_PRINTF(2, 3);
void vwarnx(const char *, openbsd_va_list) OPENBSD_PRINTF(1, 0);

#endif /* OPENBSD_ERR_H */
