/* open(2), fcntl(2), flock(2).  No O_PATH, no F_OFD_*, no F_ADD_SEALS. */
#ifndef OPENBSD_FCNTL_H
#define OPENBSD_FCNTL_H

#include <sys/types.h>

#define O_RDONLY            0x0000
#define O_WRONLY            0x0001
#define O_RDWR              0x0002
#define O_NONBLOCK          0x0004
#define O_APPEND            0x0008
#define O_SYNC              0x0080
#define O_NOFOLLOW          0x0100
#define O_CREAT             0x0200
#define O_TRUNC             0x0400
#define O_EXCL              0x0800
#define O_NOCTTY            0x8000
#define O_CLOEXEC           0x10000
#define O_DIRECTORY         0x20000
#define O_ACCMODE           0x0003
#define AT_FDCWD            (-100)
#define AT_SYMLINK_NOFOLLOW 0x02
#define AT_REMOVEDIR        0x08

#define F_DUPFD             0
#define F_GETFD             1
#define F_SETFD             2
#define F_GETFL             3
#define F_SETFL             4
#define F_DUPFD_CLOEXEC     10
#define FD_CLOEXEC          1

#define LOCK_SH             1
#define LOCK_EX             2
#define LOCK_NB             4
#define LOCK_UN             8

int open(const char *, int, ...);
int openat(int, const char *, int, ...);
int creat(const char *, mode_t);
int fcntl(int, int, ...);
int flock(int, int);

#endif /* OPENBSD_FCNTL_H */
