/*
 * A scheduler that cannot be told.
 */
#include "priority.h"

void
priority_batch(void)
{
}
