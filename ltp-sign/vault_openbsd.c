/*
 * Private memory by malloc_conceal(3).  LibreSSL has no heap of its own.
 */
#include "vault.h"

#include <stdlib.h>

/* LibreSSL has no such hook: it frees texts of keys by freezero(3) itself. */
int
vault_wipe_freed(void)
{
	return 0;
}

int
vault_open(void)
{
	return 0;
}

void *
vault_take(size_t len)
{
	return calloc_conceal(1, len);
}

void
vault_give(void *p, size_t len)
{
	freezero(p, len);
}
