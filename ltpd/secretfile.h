/*
 * Reading a whole file that holds a secret.
 */
#ifndef SECRETFILE_H
#define SECRETFILE_H

#include <sys/types.h>

#include <limits.h>
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

/*
 * The same in steps, for who does more with the file.  us is the user whose
 * files are trusted beside root's.  In the order of secretfile_read():
 */

/* Never waits.  A descriptor, or -1 with errno. */
int secretfile_open(const char *path);
/* The open file itself.  0 or -1. */
int
secretfile_check(int fd, size_t max, uid_t us, char why[SECRETFILE_ERROR_MAX]);
/*
 * The way to it, which need not end at a file that is there yet.  real
 * becomes the path that has no links in it.  0 or -1.
 */
int secretfile_way(const char *path, uid_t us, char real[PATH_MAX],
    char why[SECRETFILE_ERROR_MAX]);
/* Its content, to be freed with freezero(3); NULL. */
char *secretfile_take(
    int fd, size_t max, size_t *len, char why[SECRETFILE_ERROR_MAX]);

/* At most size bytes up to the end; how many, or -1 with errno. */
ssize_t secretfile_read_all(int fd, char *buf, size_t size);

/*
 * Wipe what functions that were called before left on the stack: locals of
 * libraries, and registers that the loader saved there when it resolved their
 * symbols.
 */
void secretfile_wipe_stack(void);

#endif /* SECRETFILE_H */
