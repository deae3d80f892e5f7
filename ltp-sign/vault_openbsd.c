/*
 * Private memory by malloc_conceal(3).  LibreSSL has no heap of its own.
 */
#include "vault.h"

#include <stdlib.h>

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
