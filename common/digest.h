/*
 * SHA-256, from OpenSSL's or LibreSSL's EVP, and random ids.
 */
#ifndef DIGEST_H
#define DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_SIZE     32
#define DIGEST_HEX_SIZE (2 * DIGEST_SIZE + 1)
#define UUID_SIZE       16
#define UUID_TEXT_SIZE  37

/* Load what EVP needs, so that later calls open nothing.  0 or -1. */
int digest_init(void);
/* 0 or -1. */
int digest_sha256(uint8_t out[DIGEST_SIZE], const void *data, size_t len);
/* Lower-case hex, NUL-terminated.  Returns out. */
char *digest_hex(char out[DIGEST_HEX_SIZE], const uint8_t in[DIGEST_SIZE]);
/* A random (version 4) UUID of RFC 4122. */
void uuid_random(uint8_t out[UUID_SIZE]);
/* Its text, lower case.  Returns out. */
char *uuid_print(char out[UUID_TEXT_SIZE], const uint8_t in[UUID_SIZE]);

#endif /* DIGEST_H */
