/* types(5), and the byte order macros of endian.h that come with it. */
#ifndef OPENBSD_SYS_TYPES_H
#define OPENBSD_SYS_TYPES_H

#include <sys/_types.h>

typedef unsigned char u_char;
typedef unsigned short u_short;
typedef unsigned int u_int;
typedef unsigned long u_long;
typedef uint8_t u_int8_t;
typedef uint16_t u_int16_t;
typedef uint32_t u_int32_t;
typedef uint64_t u_int64_t;

typedef openbsd_size_t size_t;
typedef openbsd_ssize_t ssize_t;
typedef openbsd_off_t off_t;
typedef openbsd_time_t time_t;
typedef openbsd_pid_t pid_t;
typedef openbsd_uid_t uid_t;
typedef unsigned int gid_t;
typedef unsigned int id_t;
typedef openbsd_mode_t mode_t;
typedef int dev_t;
typedef unsigned long long ino_t;
typedef unsigned int nlink_t;
typedef long long blkcnt_t;
typedef int blksize_t;
typedef long long clock_t;
typedef int clockid_t;
typedef long suseconds_t;

#endif /* OPENBSD_SYS_TYPES_H */
