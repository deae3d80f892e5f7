/*
 * An allocator that can be told to fail, in front of the real one.  The
 * program is linked with --wrap for every function here; libevent is given
 * them by nomem_init().
 */
#ifndef NOMEM_H
#define NOMEM_H

#include <stdbool.h>
#include <stddef.h>

void nomem_init(void);
/*
 * From now on the n-th allocation fails, and no other or all that follow it;
 * 0: none.
 */
void nomem_arm(unsigned n, bool all);
/* No more failures; was there one? */
bool nomem_disarm(void);
/* Allocations that have not been freed. */
long nomem_live(void);

#endif /* NOMEM_H */
