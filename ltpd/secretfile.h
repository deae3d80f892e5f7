/*
 * Reading a whole file that holds a secret.
 */
#ifndef SECRETFILE_H
#define SECRETFILE_H

#include <stddef.h>

#define SECRETFILE_ERROR_MAX 384

/*
 * At most max bytes of a file, to be freed with freezero(3).  Checked on the
 * open descriptor: regular, owner root or us, not readable by others, not
 * writable by group; then every directory on the way, those of symbolic
 * links too: owner root or us, writable by nobody else unless it is sticky.
 * path is absolute.  NULL with a text in why that does not name path.
 */
char *secretfile_read(
    const char *path, size_t max, size_t *len, char why[SECRETFILE_ERROR_MAX]);

#endif /* SECRETFILE_H */
