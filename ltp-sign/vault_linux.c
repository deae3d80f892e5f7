/*
 * Private memory by OpenSSL's secure heap: between two guard pages, locked as
 * far as the limit goes, MADV_DONTDUMP.
 */
#include "vault.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

/* Three pairs of 8192 bits, twice each while one is being read. */
#define VAULT_SIZE  (512 * 1024)
#define VAULT_CHUNK 16

static void *
wiped_malloc(size_t len, const char *file, int line)
{
	(void)file;
	(void)line;
	return malloc(len);
}

static void
wiped_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	if (p != NULL)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

/* That of libc may move it, and leave the old text where it was. */
static void *
wiped_realloc(void *p, size_t len, const char *file, int line)
{
	size_t had = p == NULL ? 0 : malloc_usable_size(p);
	void *moved = NULL;

	if (len > 0 && (moved = malloc(len)) == NULL)
		return NULL;
	if (had > 0 && len > 0)
		memcpy(moved, p, had < len ? had : len);
	wiped_free(p, file, line);
	return moved;
}

int
vault_wipe_freed(void)
{
	return CRYPTO_set_mem_functions(
		   wiped_malloc, wiped_realloc, wiped_free) == 1
		   ? 0
		   : -1;
}

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
