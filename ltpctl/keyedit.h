/*
 * Changing a key file.  The new content takes the place of the old in one
 * step: ltpd, and whoever else reads the file, sees the one or the other.
 */
#ifndef KEYEDIT_H
#define KEYEDIT_H

#include <stddef.h>

#include "keyfile.h"

#define KEYEDIT_LOCK_MS  10000 /* how long others may keep us waiting */
#define KEYEDIT_NEW_MODE 0640
#define KEYEDIT_BITS     256 /* of chance in a key that is made here */
/* Such a key in base64url without padding, and its NUL. */
#define KEYEDIT_KEY_SIZE ((KEYEDIT_BITS + 5) / 6 + 1)

enum keyedit_op {
	KEYEDIT_NONE = 0,
	KEYEDIT_ADD, /* an id that is not there; the file may be new */
	KEYEDIT_ROTATE, /* another key for an id */
	KEYEDIT_REMOVE,
};

struct keyedit {
	enum keyedit_op op;
	const char *id;
	const char *key; /* NULL: KEYEDIT_REMOVE */
};

/* A fresh key, NUL-terminated, to be wiped.  0 or -1 with errno. */
int keyedit_generate(char key[KEYEDIT_KEY_SIZE]);

/*
 * Carry out one change.  What keyfile_load() refuses is left alone; for root,
 * the owner of the file (of a new one: of its directory) counts as ltpd's
 * user.  Owner, group and mode of the file stay; links are followed and stay.
 * A new file has the mode above, and the owner and group of its directory as
 * far as we may give them.  Changes of several processes come one after the
 * other.  0, or -1 with a text in error and nothing changed, unless the text
 * says so.
 */
int keyedit_apply(
    const char *path, const struct keyedit *, char error[KEYFILE_ERROR_MAX]);

/*
 * What is in the file, in its order, read by the same rules.  NULL with a
 * text in error.
 */
struct keyset *keyedit_list(const char *path, char error[KEYFILE_ERROR_MAX]);

#endif /* KEYEDIT_H */
