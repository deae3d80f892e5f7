/*
 * The keys in force: put together from auth_keys and the key file, read
 * again when the file may have changed.
 */
#ifndef KEYS_H
#define KEYS_H

#include <stdbool.h>

#include "conf.h"
#include "keyfile.h"

struct keywatch;
struct parent;

/*
 * The keys of auth_keys, from the environment or the file, as digests; the
 * plaintext in conf is wiped.  A configuration that was read before gives
 * none any more: old (may be NULL) is copied then, if they came from the
 * environment.  NULL with a text in error.
 */
struct keyset *keys_read_base(
    struct conf *, const struct keyset *old, char error[KEYFILE_ERROR_MAX]);
/*
 * Those of the key file, if one is configured, over base.  NULL with a text
 * in error.
 */
struct keyset *keys_read_file(const struct conf *, const struct keyset *base,
    char error[KEYFILE_ERROR_MAX]);

/* Watch the key file and look at it every so often, as p->conf says. */
struct keywatch *keywatch_new(struct parent *);
void keywatch_free(struct keywatch *); /* NULL is allowed */
/* The configuration has changed. */
void keywatch_follow(struct keywatch *);

#endif /* KEYS_H */
