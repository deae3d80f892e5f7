/*
 * SHA-256, from OpenBSD's libc or from libmd, and random ids.
 */
#ifndef DIGEST_H
#define DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_SIZE     32
#define DIGEST_HEX_SIZE (2 * DIGEST_SIZE + 1)
#define UUID_SIZE       16
#define UUID_TEXT_SIZE  37

/* data may be a secret: nothing of it stays on the stack. */
void digest_sha256(uint8_t out[DIGEST_SIZE], const void *data, size_t len);
/* It takes as long wherever they differ. */
bool digest_same(const void *, const void *, size_t len);
/* Lower-case hex, NUL-terminated.  Returns out. */
char *digest_hex(char out[DIGEST_HEX_SIZE], const uint8_t in[DIGEST_SIZE]);
/* A random (version 4) UUID of RFC 4122. */
void uuid_random(uint8_t out[UUID_SIZE]);
/* Its text, lower case.  Returns out. */
char *uuid_print(char out[UUID_TEXT_SIZE], const uint8_t in[UUID_SIZE]);

#endif /* DIGEST_H */
