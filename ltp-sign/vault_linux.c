/*
 * Private memory by OpenSSL's secure heap: between two guard pages, locked as
 * far as the limit goes, MADV_DONTDUMP.
 */
#include "vault.h"

#include <openssl/crypto.h>

/* Three pairs of 8192 bits, twice each while one is being read. */
#define VAULT_SIZE  (512 * 1024)
#define VAULT_CHUNK 16

int
vault_open(void)
{
	/* 2: it could not be locked; then it is not swapped by luck. */
	return CRYPTO_secure_malloc_init(VAULT_SIZE, VAULT_CHUNK) == 0 ? -1 : 0;
}

void *
vault_take(size_t len)
{
	return OPENSSL_secure_zalloc(len);
}

void
vault_give(void *p, size_t len)
{
	OPENSSL_secure_clear_free(p, len);
}
