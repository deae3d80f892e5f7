/* endian(3). */
#ifndef OPENBSD_ENDIAN_H
#define OPENBSD_ENDIAN_H

#include <stdint.h>

uint64_t htole64(uint64_t);
uint64_t le64toh(uint64_t);

#endif /* OPENBSD_ENDIAN_H */
