/* inttypes(3): formats of int64_t, which is long long. */
#ifndef OPENBSD_INTTYPES_H
#define OPENBSD_INTTYPES_H

#include <stdint.h>

#define PRId8  "d"
#define PRId16 "d"
#define PRId32 "d"
#define PRId64 "lld"
#define PRIu8  "u"
#define PRIu16 "u"
#define PRIu32 "u"
#define PRIu64 "llu"
#define PRIx8  "x"
#define PRIx16 "x"
#define PRIx32 "x"
#define PRIx64 "llx"
#define SCNu64 "llu"
#define SCNx64 "llx"

intmax_t strtoimax(const char *, char **, int);
uintmax_t strtoumax(const char *, char **, int);

#endif /* OPENBSD_INTTYPES_H */
