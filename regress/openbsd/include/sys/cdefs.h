/* What every header of OpenBSD has: the hidden part of its definitions. */
#ifndef OPENBSD_SYS_CDEFS_H
#define OPENBSD_SYS_CDEFS_H

#define OPENBSD_PRINTF(f, a)   __attribute__((__format__(printf, f, a)))
#define OPENBSD_SYSLOG(f, a)   __attribute__((__format__(syslog, f, a)))
#define OPENBSD_STRFTIME(f, a) __attribute__((__format__(strftime, f, a)))
#define OPENBSD_NORETURN       __attribute__((__noreturn__))
#define OPENBSD_MUST_USE       __attribute__((__warn_unused_result__))

#endif /* OPENBSD_SYS_CDEFS_H */
