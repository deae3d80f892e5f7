/*
 * API keys: from the environment, from ltpd.conf, and from the key file, a
 * JSON object of ids and keys.  A key is in memory while it is read; what
 * stays is its digest.
 */
#ifndef KEYFILE_H
#define KEYFILE_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "digest.h"
#include "msg.h"

#define KEYFILE_MAX_BYTES (1024 * 1024)

struct key {
	TAILQ_ENTRY(key) entry;
	char *id; /* 1 to LTP_ID_MAX bytes */
	uint8_t digest[DIGEST_SIZE];
	enum key_source source;
	time_t loaded;
};

struct keyset {
	TAILQ_HEAD(, key) keys;
	size_t count;
};

#define KEYFILE_ERROR_MAX 512

struct keyset *keyset_new(void);
void keyset_free(struct keyset *); /* NULL is allowed */
struct keyset *keyset_copy(const struct keyset *);
/* The same ids with the same keys, in whatever order. */
bool keyset_equal(const struct keyset *, const struct keyset *);
/* A key that was in old already keeps the time when it was loaded. */
void keyset_keep_times(struct keyset *, const struct keyset *old);

/*
 * "id:key,id2:key2" into a set.  NULL with a text in error that names no
 * key: empty ids or keys, a duplicate id, two ids with one key.
 */
struct keyset *
keyset_parse(const char *text, enum key_source, char error[KEYFILE_ERROR_MAX]);

/*
 * Read a key file.  Checked on the open descriptor: regular, at most 1 MiB,
 * owner root or us, not readable by others, not writable by group; and every
 * directory on the way writable only by root or us (sticky ones aside).
 * Symbolic links are followed.  NULL with a text in error.
 */
struct keyset *keyfile_load(const char *path, char error[KEYFILE_ERROR_MAX]);

/* The same of its text, path is for errors. */
struct keyset *keyfile_parse(const char *path, const char *text, size_t len,
    char error[KEYFILE_ERROR_MAX]);
/* Whether a file may have that id.  0, or -1 with a text in error. */
int keyfile_check_id(const char *id, char error[KEYFILE_ERROR_MAX]);

/*
 * Both sets in one, the file's key wins on a duplicate id; two ids with one
 * key are an error.  Either may be NULL.  NULL with a text in error.
 */
struct keyset *keyset_merge(const struct keyset *base,
    const struct keyset *file, char error[KEYFILE_ERROR_MAX]);

#endif /* KEYFILE_H */
