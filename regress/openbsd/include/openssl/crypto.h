/* What is common to all of LibreSSL. */
#ifndef OPENBSD_OPENSSL_CRYPTO_H
#define OPENBSD_OPENSSL_CRYPTO_H

#include <stdint.h>

#define OPENSSL_INIT_NO_LOAD_CONFIG      0x00000001L
#define OPENSSL_INIT_LOAD_CRYPTO_STRINGS 0x00000002L
#define OPENSSL_INIT_ADD_ALL_CIPHERS     0x00000004L
#define OPENSSL_INIT_ADD_ALL_DIGESTS     0x00000008L

typedef struct crypto_ex_data_st CRYPTO_EX_DATA;
typedef int CRYPTO_EX_new(void *, void *, CRYPTO_EX_DATA *, int, long, void *);
typedef void
CRYPTO_EX_free(void *, void *, CRYPTO_EX_DATA *, int, long, void *);
typedef int CRYPTO_EX_dup(
    CRYPTO_EX_DATA *, const CRYPTO_EX_DATA *, void *, int, long, void *);

int OPENSSL_init_crypto(uint64_t, const void *);
void CRYPTO_free(void *, const char *, int);
#define OPENSSL_free(p) CRYPTO_free(p, __FILE__, __LINE__)

#endif /* OPENBSD_OPENSSL_CRYPTO_H */
