/*
 * The widths of amd64: int64_t is long long and time_t always has 64 bits,
 * so a format that is only good on Linux is a warning here.
 */
#ifndef OPENBSD_SYS__TYPES_H
#define OPENBSD_SYS__TYPES_H

typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
typedef long intptr_t;
typedef unsigned long uintptr_t;

typedef unsigned long openbsd_size_t;
typedef long openbsd_ssize_t;
typedef long long openbsd_off_t;
typedef long long openbsd_time_t;
typedef int openbsd_pid_t;
typedef unsigned int openbsd_uid_t;
typedef unsigned int openbsd_mode_t;
typedef unsigned int openbsd_socklen_t;
typedef unsigned int openbsd_sigset_t;
typedef __builtin_va_list openbsd_va_list;

#endif /* OPENBSD_SYS__TYPES_H */
