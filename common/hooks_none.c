/*
 * No hooks: what is installed has none.
 */
#include <stddef.h>

#include "hooks.h"

void
hooks_arm(struct event_base *base)
{
	(void)base;
}

const char *
hooks_text(void)
{
	return NULL;
}
