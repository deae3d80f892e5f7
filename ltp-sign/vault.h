/*
 * Memory for the private key: in no core, not swapped where the system lets
 * us say so, wiped when it is given back.
 */
#ifndef VAULT_H
#define VAULT_H

#include <stddef.h>

/*
 * Before the library has allocated anything: from then on what it frees is
 * wiped, such as the text of a key that it has decoded.  0 or -1.
 */
int vault_wipe_freed(void);
/*
 * Once, before anything secret is in memory; from then on the library, too,
 * keeps the numbers of private keys there, if it can be told to.  0 or -1.
 */
int vault_open(void);
/* NULL when there is no room. */
void *vault_take(size_t);
/* NULL is allowed. */
void vault_give(void *, size_t);

#endif /* VAULT_H */
