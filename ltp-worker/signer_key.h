/*
 * Methods of keys whose private operation is a question to ltp-sign.
 */
#ifndef SIGNER_KEY_H
#define SIGNER_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "msg.h"

struct signer;

/* Once, before the first signer_key().  -1 when there is no memory. */
int signer_key_init(void);
void signer_key_clear(void);

/*
 * signer.c: ask, and wait for the answer.  Returns the length of the
 * signature in out, 0: there is none.
 */
size_t signer_sign(struct signer *, uint32_t pair, enum sign_scheme,
    const uint8_t *in, size_t inlen, uint8_t *out, size_t outsize);

#endif /* SIGNER_KEY_H */
