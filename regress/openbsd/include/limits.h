/* What of limits(5) the compiler does not know, on amd64. */
#ifndef OPENBSD_LIMITS_H
#define OPENBSD_LIMITS_H

#include_next <limits.h>

#define PATH_MAX      1024
#define NAME_MAX      255
#define IOV_MAX       1024
#define SSIZE_MAX     LONG_MAX
#define UID_MAX       UINT_MAX
#define HOST_NAME_MAX 255

#endif /* OPENBSD_LIMITS_H */
