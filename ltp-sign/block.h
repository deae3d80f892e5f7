/*
 * What ltp-sign puts its RSA key to: a block that a TLS signature begins as,
 * and nothing else.  A private key's operation on any other number could as
 * well take a secret apart.
 */
#ifndef BLOCK_H
#define BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Is this the padded digest of a signature by a key of so many bits: PSS as
 * TLS uses it, or PKCS #1 v1.5 of type 1, with SHA-256, 384 or 512?
 */
bool block_is_signature(const uint8_t *, size_t len, unsigned bits);

#endif /* BLOCK_H */
