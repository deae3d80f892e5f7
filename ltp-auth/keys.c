/*
 * Key digests.
 */
#include "keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct keys *
keys_new(uint32_t generation)
{
	struct keys *k;

	if ((k = calloc(1, sizeof(*k))) != NULL)
		k->generation = generation;
	return k;
}

void
keys_free(struct keys *k)
{
	if (k == NULL)
		return;
	freezero(k->digest, k->room * sizeof(*k->digest));
	freezero(k->key, k->room * sizeof(*k->key));
	free(k->by_id);
	free(k);
}

/*
 * Digests go from memory to memory a word at a time.  What goes through vector
 * registers may be saved on the stack by the loader, which binds the calls of
 * libraries late, and nobody wipes that.
 */
static uint64_t
keys_word(const uint64_t *digest, size_t i)
{
	return ((const volatile uint64_t *)digest)[i];
}

static int
keys_grow_digests(struct keys *k, size_t room)
{
	uint64_t(*digest)[KEYS_DIGEST_WORDS];
	size_t i, word;

	if ((digest = calloc(room, sizeof(*digest))) == NULL)
		return -1;
	for (i = 0; i < k->count; i++) {
		for (word = 0; word < KEYS_DIGEST_WORDS; word++)
			digest[i][word] = keys_word(k->digest[i], word);
	}
	freezero(k->digest, k->room * sizeof(*k->digest));
	k->digest = digest;
	return 0;
}

static int
keys_grow(struct keys *k)
{
	size_t room = k->room == 0 ? 16 : 2 * k->room;
	struct auth_key *key;

	key = recallocarray(k->key, k->room, room, sizeof(*k->key));
	if (key == NULL)
		return -1;
	k->key = key;
	if (keys_grow_digests(k, room) == -1)
		return -1;
	k->room = room;
	return 0;
}

int
keys_add(struct keys *k, const uint8_t *data, size_t len)
{
	struct msg_conf_key conf;
	struct auth_key *key;
	int rv = -1;

	memcpy(&conf, data, sizeof(conf));
	if (k->count == KEYS_MAX || (conf.id_len == 0 && !k->nameless) ||
	    conf.id_len > sizeof(key->id) ||
	    conf.id_len != len - sizeof(conf)) {
		errno = EINVAL;
		goto done;
	}
	if (k->count == k->room && keys_grow(k) == -1)
		goto done;
	key = &k->key[k->count];
	key->number = k->count++;
	memcpy(k->digest[key->number], conf.digest, DIGEST_SIZE);
	key->id_len = conf.id_len;
	memcpy(key->id, data + sizeof(conf), conf.id_len);
	rv = 0;
done:
	explicit_bzero(&conf, sizeof(conf));
	return rv;
}

static int
keys_compare_text(const char *a, size_t alen, const char *b, size_t blen)
{
	int rv = memcmp(a, b, alen < blen ? alen : blen);

	if (rv != 0)
		return rv;
	return alen < blen ? -1 : alen > blen;
}

static int
keys_compare(const void *a, const void *b)
{
	const struct auth_key *const *ka = a, *const *kb = b;

	return keys_compare_text(
	    (*ka)->id, (*ka)->id_len, (*kb)->id, (*kb)->id_len);
}

int
keys_complete(struct keys *k, bool good)
{
	size_t i;

	free(k->by_id);
	k->by_id = calloc(k->count + 1, sizeof(struct auth_key *));
	if (k->by_id == NULL)
		return -1;
	for (i = 0; i < k->count; i++)
		k->by_id[i] = &k->key[i];
	qsort(k->by_id, k->count, sizeof(struct auth_key *), keys_compare);
	k->good = good;
	return 0;
}

struct auth_key *
keys_by_id(const struct keys *k, const char *id, size_t len)
{
	size_t low = 0, high = k->count, mid;
	int rv;

	while (low < high) {
		mid = low + (high - low) / 2;
		rv = keys_compare_text(
		    id, len, k->by_id[mid]->id, k->by_id[mid]->id_len);
		if (rv == 0)
			return k->by_id[mid];
		if (rv < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

struct auth_key *
keys_by_digest(const struct keys *k, const uint8_t digest[DIGEST_SIZE])
{
	uint64_t asked[KEYS_DIGEST_WORDS], differ;
	struct auth_key *found = NULL;
	size_t i, word;

	memcpy(asked, digest, sizeof(asked));
	for (i = 0; i < k->count; i++) {
		differ = 0;
		for (word = 0; word < KEYS_DIGEST_WORDS; word++)
			differ |= keys_word(k->digest[i], word) ^ asked[word];
		if (differ == 0)
			found = &k->key[i];
	}
	explicit_bzero(asked, sizeof(asked));
	return found;
}

void
keys_inherit(struct keys *k, const struct keys *old)
{
	const struct auth_key *was;
	size_t i;

	for (i = 0; i < k->count; i++) {
		was = keys_by_id(old, k->key[i].id, k->key[i].id_len);
		if (was == NULL)
			continue;
		k->key[i].last_used = was->last_used;
		k->key[i].sessions = was->sessions;
	}
}
