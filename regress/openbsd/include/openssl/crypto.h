/* What LibreSSL and OpenSSL share, as far as it is used here. */
#ifndef OPENBSD_OPENSSL_CRYPTO_H
#define OPENBSD_OPENSSL_CRYPTO_H

#include <stddef.h>

int CRYPTO_memcmp(const void *, const void *, size_t);

#endif /* OPENBSD_OPENSSL_CRYPTO_H */
