/*
 * API keys: the key file, and the list of a variable.  The input is the
 * list, a NUL, and the file.  All of it is done again with an allocation
 * that fails: then there may be no keys, but nothing worse.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "keyfile.h"

/* Ids are good and there once, and so are digests. */
static void
check_set(const struct keyset *set)
{
	char error[KEYFILE_ERROR_MAX];
	const struct key *k, *other;
	size_t n = 0;

	TAILQ_FOREACH(k, &set->keys, entry) {
		n++;
		FUZZ_ASSERT(keyfile_check_id(k->id, error) == 0);
		FUZZ_ASSERT(strlen(k->id) <= LTP_ID_MAX);
		FUZZ_ASSERT(
		    fuzz_is_utf8((const uint8_t *)k->id, strlen(k->id)));
		/* The input is small enough for this. */
		for (other = TAILQ_NEXT(k, entry); other != NULL && n < 50;
		     other = TAILQ_NEXT(other, entry)) {
			FUZZ_ASSERT(strcmp(k->id, other->id) != 0);
			FUZZ_ASSERT(
			    memcmp(k->digest, other->digest, DIGEST_SIZE) != 0);
		}
	}
	FUZZ_ASSERT(n == set->count);
}

static void
check_error(const char *error)
{
	FUZZ_ASSERT(strncmp(error, "keys: ", 6) == 0);
	FUZZ_ASSERT(fuzz_is_printable(error, strlen(error), false));
}

/* NULL is fine, as long as there is a reason. */
static struct keyset *
checked(struct keyset *set, const char *error)
{
	struct keyset *copy;

	fuzz_memory(0);
	if (set == NULL) {
		check_error(error);
		return NULL;
	}
	check_set(set);
	FUZZ_ASSERT((copy = keyset_copy(set)) != NULL);
	keyset_keep_times(copy, set);
	FUZZ_ASSERT(keyset_equal(copy, set));
	keyset_free(copy);
	return set;
}

/* The file's key wins, and nothing is lost. */
static void
check_merge(const struct keyset *base, const struct keyset *file)
{
	char error[KEYFILE_ERROR_MAX] = "";
	struct keyset *both;
	const struct key *k, *m;

	both = checked(keyset_merge(base, file, error), error);
	if (both == NULL)
		return;
	FUZZ_ASSERT(file == NULL || both->count >= file->count);
	FUZZ_ASSERT(base == NULL || both->count >= base->count);
	if (file != NULL) {
		m = TAILQ_FIRST(&both->keys);
		TAILQ_FOREACH(k, &file->keys, entry) {
			FUZZ_ASSERT(strcmp(k->id, m->id) == 0);
			FUZZ_ASSERT(
			    memcmp(k->digest, m->digest, DIGEST_SIZE) == 0);
			m = TAILQ_NEXT(m, entry);
		}
	}
	keyset_free(both);
}

/* Through a file, which anybody may look at in /tmp but nobody else read. */
static void
check_load(const char *text, size_t len, const struct keyset *same)
{
	char path[] = "/tmp/ltpd-fuzz.XXXXXXXXXX", error[KEYFILE_ERROR_MAX];
	struct keyset *set;
	int fd;

	FUZZ_ASSERT((fd = mkstemp(path)) != -1);
	FUZZ_ASSERT(write(fd, text, len) == (ssize_t)len);
	close(fd);
	set = keyfile_load(path, error);
	unlink(path);
	FUZZ_ASSERT((set == NULL) == (same == NULL));
	if (set != NULL)
		FUZZ_ASSERT(keyset_equal(set, same));
	keyset_free(set);
	FUZZ_ASSERT(keyfile_load(path, error) == NULL);
	check_error(error);
}

static void
without_memory(const char *list, const char *text, size_t len, unsigned n)
{
	char error[KEYFILE_ERROR_MAX] = "";
	struct keyset *base, *file, *both = NULL;

	fuzz_memory(n % 16 + 1);
	base =
	    checked(keyset_parse(list, KEY_SOURCE_ENVIRONMENT, error), error);
	fuzz_memory(n);
	file = checked(keyfile_parse("keys.json", text, len, error), error);
	fuzz_memory(n % 16 + 1);
	if (base != NULL && file != NULL) {
		keyset_equal(base, file);
		keyset_keep_times(base, file);
		both = checked(keyset_merge(base, file, error), error);
	}
	fuzz_memory(n % 4 + 1);
	if (both != NULL)
		keyset_free(keyset_copy(both));
	fuzz_memory(0);
	keyset_free(both);
	keyset_free(base);
	keyset_free(file);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz f = { data, len };
	char *list = fuzz_text_until(&f, '\0'), *text;
	char error[KEYFILE_ERROR_MAX] = "";
	struct keyset *base, *file;
	size_t n = f.left;

	text = fuzz_text(&f);
	base =
	    checked(keyset_parse(list, KEY_SOURCE_ENVIRONMENT, error), error);
	file = checked(keyfile_parse("keys.json", text, n, error), error);
	check_merge(base, file);
	if (base != NULL && file != NULL)
		keyset_equal(base, file);
	if (n % 8 == 0)
		check_load(text, n, file);
	keyset_free(base);
	keyset_free(file);
	without_memory(list, text, n, fuzz_number(data, len));
	free(list);
	free(text);
	return 0;
}
