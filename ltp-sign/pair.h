/*
 * A certificate and its private key.
 */
#ifndef PAIR_H
#define PAIR_H

#include <stddef.h>
#include <stdint.h>

#include "msg.h"

struct pair;

/*
 * Read both, and the other certificates that go with them, and look whether
 * they can be used together.  The descriptors stay the caller's.  NULL with a
 * text in why about what a person must mend.
 */
struct pair *pair_load(const struct msg_conf_tls *, int bundle_fd, int key_fd,
    char why[SIGN_WHY_MAX]);
/* Wipes the key; NULL is allowed. */
void pair_free(struct pair *);
uint32_t pair_id(const struct pair *);

/*
 * Sign, if it is a signature of TLS that is asked for.  Returns the length of
 * what is in out; 0: refused.
 */
size_t pair_sign(const struct pair *, uint32_t scheme, const uint8_t *,
    size_t len, uint8_t out[SIGN_OUTPUT_MAX]);

#endif /* PAIR_H */
