/*
 * Anonymous shared memory as a descriptor that can be passed on.
 */
#ifndef MEMFD_H
#define MEMFD_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A descriptor, close-on-exec, of size zero bytes, that can neither grow nor
 * shrink from now on (Linux: seals; OpenBSD has none).  -1 with errno.
 */
int memfd_new(const char *name, size_t size);
/*
 * The same with this content, which nobody who gets the descriptor can change
 * (Linux: seals; OpenBSD: it is open for reading alone).
 */
int memfd_text(const char *name, const void *, size_t size);
/* True when fd has that size and, where the system has seals, is sealed. */
bool memfd_check(int fd, size_t size);

#endif /* MEMFD_H */
