/*
 * The key digests in force, and how each key is used.
 */
#ifndef AUTH_KEYS_H
#define AUTH_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "digest.h"
#include "msg.h"

#define KEYS_MAX          100000

#define KEYS_DIGEST_WORDS (DIGEST_SIZE / sizeof(uint64_t))

struct auth_key {
	uint32_t number; /* in the order in which they were sent */
	uint16_t id_len;
	char id[LTP_ID_MAX];
	int64_t last_used; /* seconds since the epoch, 0: never */
	int64_t sessions; /* connections that it signed in */
};

struct keys {
	uint32_t generation;
	bool good; /* they may be none, and that is right */
	bool nameless; /* they may have no id */
	size_t count;
	size_t room;
	/* By number, both; apart, since every question reads all digests. */
	uint64_t (*digest)[KEYS_DIGEST_WORDS];
	struct auth_key *key;
	struct auth_key **by_id; /* sorted, made by keys_complete() */
};

/* NULL with errno. */
struct keys *keys_new(uint32_t generation);
/* Wiped.  NULL is allowed. */
void keys_free(struct keys *);
/* From the payload of MSG_CONF_KEY or _TOKEN; -1 when it makes no sense, or errno. */
int keys_add(struct keys *, const uint8_t *, size_t len);
/* No key is added any more; from now on they can be looked up.  0 or -1. */
int keys_complete(struct keys *, bool good);

/* The key of an id, or NULL. */
struct auth_key *keys_by_id(const struct keys *, const char *id, size_t len);
/*
 * The key with this digest, or NULL.  Every digest is compared whole, so that
 * the time tells neither which one fitted nor how well.
 */
struct auth_key *
keys_by_digest(const struct keys *, const uint8_t[DIGEST_SIZE]);
/* What is known of the use of the same ids in old. */
void keys_inherit(struct keys *, const struct keys *old);

#endif /* AUTH_KEYS_H */
