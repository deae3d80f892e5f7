/* sha2(3). */
#ifndef OPENBSD_SHA2_H
#define OPENBSD_SHA2_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_DIGEST_LENGTH 32
#define SHA512_BLOCK_LENGTH  128

typedef struct _SHA2_CTX {
	union {
		uint32_t st32[8];
		uint64_t st64[8];
	} state;
	uint64_t bitcount[2];
	uint8_t buffer[SHA512_BLOCK_LENGTH];
} SHA2_CTX;

void SHA256Init(SHA2_CTX *);
void SHA256Update(SHA2_CTX *, const void *, size_t);
void SHA256Final(uint8_t[SHA256_DIGEST_LENGTH], SHA2_CTX *);

#endif /* OPENBSD_SHA2_H */
