/*
 * SipHash-1-3: where to look in a table whose keys strangers choose.
 */
#ifndef SIPHASH_H
#define SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/* Under a random key; the same on every machine. */
uint64_t siphash(const uint64_t key[2], const void *data, size_t len);

#endif /* SIPHASH_H */
