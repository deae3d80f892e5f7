/*
 * API keys.  The plaintext of a key is on its way from the file, or from the
 * text of a setting, to its digest; every buffer that it passes is wiped.
 * Errors name the file and the id, never a key.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_parse.h"
#include "keyfile.h"
#include "log.h"
#include "secretfile.h"

#define ID_SHOWN 64 /* bytes of an id in an error */

/* Where a set comes from, for errors: the file, or the name of a setting. */
struct source {
	enum key_source source;
	const char *name;
	char *error;
};

static int source_error(const struct source *, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));

/* Always -1. */
static int
source_error(const struct source *src, const char *fmt, ...)
{
	char what[SECRETFILE_ERROR_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(src->error, KEYFILE_ERROR_MAX, "keys: %s%s%s",
	    src->name == NULL ? "" : src->name, src->name == NULL ? "" : ": ",
	    what);
	return -1;
}

/* An id for an error: what could harm a terminal is encoded, and cut. */
struct shown_id {
	char text[ID_SHOWN * 4 + 1];
};

static const char *
show_id(struct shown_id *shown, const char *id)
{
	return log_vis(
	    shown->text, sizeof(shown->text), id, strnlen(id, ID_SHOWN));
}

/* ---- sets ---- */

struct keyset *
keyset_new(void)
{
	struct keyset *set;

	set = calloc(1, sizeof(*set));
	if (set != NULL)
		TAILQ_INIT(&set->keys);
	return set;
}

void
keyset_free(struct keyset *set)
{
	struct key *k;

	if (set == NULL)
		return;
	while ((k = TAILQ_FIRST(&set->keys)) != NULL) {
		TAILQ_REMOVE(&set->keys, k, entry);
		free(k->id);
		freezero(k, sizeof(*k));
	}
	free(set);
}

/* A new last key with that id; NULL with errno. */
static struct key *
keyset_add(struct keyset *set, const char *id, size_t len)
{
	struct key *k;

	k = calloc(1, sizeof(*k));
	if (k == NULL)
		return NULL;
	k->id = strndup(id, len);
	if (k->id == NULL) {
		free(k);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&set->keys, k, entry);
	set->count++;
	return k;
}

static int
keyset_add_copy(struct keyset *set, const struct key *from)
{
	struct key *k;

	k = keyset_add(set, from->id, strlen(from->id));
	if (k == NULL)
		return -1;
	memcpy(k->digest, from->digest, sizeof(k->digest));
	k->source = from->source;
	k->loaded = from->loaded;
	return 0;
}

struct keyset *
keyset_copy(const struct keyset *from)
{
	struct keyset *set;
	const struct key *k;

	set = keyset_new();
	if (set == NULL)
		return NULL;
	TAILQ_FOREACH(k, &from->keys, entry) {
		if (keyset_add_copy(set, k) == -1) {
			keyset_free(set);
			return NULL;
		}
	}
	return set;
}

static int
compare_ids(const void *a, const void *b)
{
	const struct key *const *ka = a, *const *kb = b;

	return strcmp((*ka)->id, (*kb)->id);
}

/* Only keys of our own are ordered, so this need not take constant time. */
static int
compare_digests(const void *a, const void *b)
{
	const struct key *const *ka = a, *const *kb = b;

	return memcmp((*ka)->digest, (*kb)->digest, DIGEST_SIZE);
}

/* The keys of a set in order, to be freed; NULL with errno. */
static const struct key **
keyset_sort(
    const struct keyset *set, int (*compare)(const void *, const void *))
{
	const struct key **sorted, *k;
	size_t i = 0;

	sorted = reallocarray(NULL, set->count + 1, sizeof(*sorted));
	if (sorted == NULL)
		return NULL;
	TAILQ_FOREACH(k, &set->keys, entry)
		sorted[i++] = k;
	qsort(sorted, set->count, sizeof(*sorted), compare);
	return sorted;
}

/* Two keys that compare as equal: 1 when there are, 0, or -1 with errno. */
static int
keyset_find_twins(const struct keyset *set,
    int (*compare)(const void *, const void *), const struct key *twin[2])
{
	const struct key **sorted;
	size_t i;
	int r = 0;

	sorted = keyset_sort(set, compare);
	if (sorted == NULL)
		return -1;
	for (i = 1; i < set->count && r == 0; i++) {
		if (compare(&sorted[i - 1], &sorted[i]) == 0) {
			twin[0] = sorted[i - 1];
			twin[1] = sorted[i];
			r = 1;
		}
	}
	free(sorted);
	return r;
}

bool
keyset_equal(const struct keyset *a, const struct keyset *b)
{
	const struct key **sa, **sb;
	bool equal = a->count == b->count;
	size_t i;

	sa = keyset_sort(a, compare_ids);
	sb = keyset_sort(b, compare_ids);
	if (sa == NULL || sb == NULL)
		equal = false;
	for (i = 0; equal && i < a->count; i++)
		equal = compare_ids(&sa[i], &sb[i]) == 0 &&
			compare_digests(&sa[i], &sb[i]) == 0;
	free(sa);
	free(sb);
	return equal;
}

void
keyset_keep_times(struct keyset *set, const struct keyset *old)
{
	const struct key **sorted, **same, *wanted;
	struct key *k;

	if ((sorted = keyset_sort(old, compare_ids)) == NULL)
		return;
	TAILQ_FOREACH(k, &set->keys, entry) {
		wanted = k;
		same = bsearch(
		    &wanted, sorted, old->count, sizeof(*sorted), compare_ids);
		if (same != NULL && compare_digests(&wanted, same) == 0)
			k->loaded = (*same)->loaded;
	}
	free(sorted);
}

/* No id twice, no key twice.  0, or -1 with the error set. */
static int
keyset_check(const struct keyset *set, const struct source *src)
{
	const struct key *twin[2];
	struct shown_id a, b;
	int r;

	r = keyset_find_twins(set, compare_ids, twin);
	if (r == 1)
		return source_error(
		    src, "id '%s' is given twice", show_id(&a, twin[0]->id));
	if (r == 0)
		r = keyset_find_twins(set, compare_digests, twin);
	if (r == 1)
		return source_error(src, "ids '%s' and '%s' have the same key",
		    show_id(&a, twin[0]->id), show_id(&b, twin[1]->id));
	return r == 0 ? 0 : source_error(src, "%s", strerror(errno));
}

/* ---- one id and its key ---- */

static bool
is_printable(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (p[i] < ' ' || p[i] > '~')
			return false;
	}
	return true;
}

/* Ids go into replies, which are JSON. */
static bool
is_text(const char *p, size_t len)
{
	json_t *json = conf_json_string(p, len);
	bool is = json != NULL;
	size_t i;

	json_decref(json);
	for (i = 0; i < len; i++) {
		if ((p[i] >= 0 && p[i] < ' ') || p[i] == 0x7f)
			is = false;
	}
	return is;
}

static int
check_id(const struct source *src, const char *id, size_t len)
{
	if (len == 0)
		return source_error(src, "an id is empty");
	if (len > LTP_ID_MAX)
		return source_error(
		    src, "an id is longer than %d bytes", LTP_ID_MAX);
	if (!is_text(id, len))
		return source_error(src, "an id is not UTF-8 or holds control "
					 "characters");
	return 0;
}

/* Check and add; neither text ends with a NUL.  0, or -1 with the error. */
static int
keyset_add_key(struct keyset *set, const struct source *src, const char *id,
    size_t idlen, const char *key, size_t keylen)
{
	struct shown_id shown;
	struct key *k;

	if (check_id(src, id, idlen) == -1)
		return -1;
	k = keyset_add(set, id, idlen);
	if (k == NULL)
		return source_error(src, "%s", strerror(errno));
	show_id(&shown, k->id);
	if (keylen == 0)
		return source_error(
		    src, "id '%s': the key is empty", shown.text);
	if (keylen > AUTH_KEY_MAX)
		return source_error(src,
		    "id '%s': the key is longer than %d bytes", shown.text,
		    AUTH_KEY_MAX);
	if (!is_printable(key, keylen))
		return source_error(
		    src, "id '%s': the key is not printable ASCII", shown.text);
	digest_sha256(k->digest, key, keylen);
	k->source = src->source;
	k->loaded = time(NULL);
	return 0;
}

int
keyfile_check_id(const char *id, char error[KEYFILE_ERROR_MAX])
{
	const struct source src = { KEY_SOURCE_NONE, NULL, error };

	return check_id(&src, id, strlen(id));
}

/* ---- "id:key,id2:key2" ---- */

static int
keyset_parse_entry(struct keyset *set, const struct source *src,
    const char *entry, size_t len, unsigned number)
{
	const char *colon;

	while (len > 0 && (*entry == ' ' || *entry == '\t')) {
		entry++;
		len--;
	}
	while (len > 0 && (entry[len - 1] == ' ' || entry[len - 1] == '\t'))
		len--;
	colon = memchr(entry, ':', len);
	if (colon == NULL)
		return source_error(src, "entry %u is not id:key", number);
	return keyset_add_key(set, src, entry, (size_t)(colon - entry),
	    colon + 1, len - (size_t)(colon + 1 - entry));
}

struct keyset *
keyset_parse(
    const char *text, enum key_source source, char error[KEYFILE_ERROR_MAX])
{
	const struct source src = { source,
		source == KEY_SOURCE_ENVIRONMENT ? "AUTH_KEYS" : "auth_keys",
		error };
	unsigned number = 0;
	struct keyset *set;
	size_t len;

	set = keyset_new();
	if (set == NULL) {
		source_error(&src, "%s", strerror(errno));
		return NULL;
	}
	for (;; text += len + 1) {
		len = strcspn(text, ",");
		if (keyset_parse_entry(set, &src, text, len, ++number) == -1)
			goto fail;
		if (text[len] == '\0')
			break;
	}
	if (keyset_check(set, &src) == 0)
		return set;
fail:
	keyset_free(set);
	return NULL;
}

/* ---- the file ---- */

/* conf_json() takes care that its copies of the keys are wiped. */
static int
keyset_add_json(
    struct keyset *set, const struct source *src, const char *text, size_t len)
{
	struct conf_json_error why;
	struct shown_id shown;
	const char *id;
	json_t *json, *key;
	void *it;
	int r = 0;

	json = conf_json(text, len, &why);
	if (json == NULL)
		return source_error(src, "line %d: %s", why.line,
		    why.duplicate ? "an id is given twice" : "not valid JSON");
	if (!json_is_object(json))
		r = source_error(src, "not a JSON object of ids and keys");
	for (it = json_object_iter(json); it != NULL && r == 0;
	     it = json_object_iter_next(json, it)) {
		id = json_object_iter_key(it);
		key = json_object_iter_value(it);
		if (json_is_string(key))
			r = keyset_add_key(set, src, id, strlen(id),
			    json_string_value(key), json_string_length(key));
		else
			r = source_error(src, "id '%s': the key is no string",
			    show_id(&shown, id));
	}
	json_decref(json);
	return r == 0 ? keyset_check(set, src) : -1;
}

struct keyset *
keyfile_parse(const char *path, const char *text, size_t len,
    char error[KEYFILE_ERROR_MAX])
{
	const struct source src = { KEY_SOURCE_FILE, path, error };
	struct keyset *set;

	set = keyset_new();
	if (set == NULL) {
		source_error(&src, "%s", strerror(errno));
		return NULL;
	}
	if (keyset_add_json(set, &src, text, len) == -1) {
		keyset_free(set);
		return NULL;
	}
	return set;
}

struct keyset *
keyfile_load(const char *path, char error[KEYFILE_ERROR_MAX])
{
	const struct source src = { KEY_SOURCE_FILE, path, error };
	char why[SECRETFILE_ERROR_MAX];
	struct keyset *set;
	char *text;
	size_t len;

	text = secretfile_read(path, KEYFILE_MAX_BYTES, &len, why);
	if (text == NULL) {
		source_error(&src, "%s", why);
		return NULL;
	}
	set = keyfile_parse(path, text, len, error);
	freezero(text, len);
	return set;
}

/* ---- both ---- */

/* Add the keys of base whose ids are not in set.  0 or -1 with errno. */
static int
keyset_add_missing(struct keyset *set, const struct keyset *base)
{
	const struct key **sorted, *k;
	size_t count = set->count; /* it grows */
	int r = 0;

	sorted = keyset_sort(set, compare_ids);
	if (sorted == NULL)
		return -1;
	TAILQ_FOREACH(k, &base->keys, entry) {
		if (bsearch(&k, sorted, count, sizeof(*sorted), compare_ids) !=
		    NULL)
			continue;
		if (keyset_add_copy(set, k) == -1) {
			r = -1;
			break;
		}
	}
	free(sorted);
	return r;
}

struct keyset *
keyset_merge(const struct keyset *base, const struct keyset *file,
    char error[KEYFILE_ERROR_MAX])
{
	const struct source src = { KEY_SOURCE_NONE, NULL, error };
	struct keyset *set;

	set = file == NULL ? keyset_new() : keyset_copy(file);
	if (set == NULL ||
	    (base != NULL && keyset_add_missing(set, base) == -1)) {
		source_error(&src, "%s", strerror(errno));
		keyset_free(set);
		return NULL;
	}
	if (keyset_check(set, &src) == -1) {
		keyset_free(set);
		return NULL;
	}
	return set;
}
