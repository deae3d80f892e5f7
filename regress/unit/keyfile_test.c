/*
 * keyfile.c and secretfile.c: what is a set of keys, which files are trusted
 * with one, and that no error tells a key.
 */
#include "unit.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "keyfile.h"

#define SECRET "correct-horse-battery"

static char dir[] = "/tmp/keyfile-test.XXXXXX";
static char error[KEYFILE_ERROR_MAX];

/* The process pretends to be another user when this is set. */
static uid_t pretended;
static bool pretend;

uid_t
geteuid(void)
{
	return pretend ? pretended : getuid();
}

static const char *
path_of(const char *name)
{
	static char path[4][256];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static void
write_bytes(const char *name, const void *data, size_t len, mode_t mode)
{
	const char *path = path_of(name);
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void
write_keys(const char *name, const char *text)
{
	write_bytes(name, text, strlen(text), 0600);
}

/* Loading says so, and does not tell the key. */
static void
must_refuse(const char *name, const char *why)
{
	char expected[KEYFILE_ERROR_MAX];

	error[0] = '\0';
	assert_null(keyfile_load(path_of(name), error));
	snprintf(
	    expected, sizeof(expected), "keys: %s: %s", path_of(name), why);
	assert_string_equal(error, expected);
	assert_null(strstr(error, SECRET));
}

/* The same of a path on the way, which stands in the text. */
static void
must_refuse_way(
    const char *name, const char *fmt, const char *way, const char *rest)
{
	char why[KEYFILE_ERROR_MAX];

	snprintf(why, sizeof(why), "%s%s%s", fmt, path_of(way), rest);
	must_refuse(name, why);
}

static struct keyset *
must_load(const char *name)
{
	struct keyset *set;

	set = keyfile_load(path_of(name), error);
	if (set == NULL)
		fail_msg("%s", error);
	return set;
}

static struct keyset *
must_parse(const char *text)
{
	struct keyset *set;

	set = keyset_parse(text, KEY_SOURCE_ENVIRONMENT, error);
	if (set == NULL)
		fail_msg("%s", error);
	return set;
}

static const struct key *
find(const struct keyset *set, const char *id)
{
	const struct key *k;

	TAILQ_FOREACH(k, &set->keys, entry) {
		if (strcmp(k->id, id) == 0)
			return k;
	}
	fail_msg("no id %s", id);
	return NULL;
}

static void
assert_key(const struct keyset *set, const char *id, const char *key,
    enum key_source source)
{
	uint8_t digest[DIGEST_SIZE];
	const struct key *k = find(set, id);

	digest_sha256(digest, key, strlen(key));
	assert_memory_equal(k->digest, digest, sizeof(digest));
	assert_int_equal(k->source, source);
	assert_true(k->loaded > 0 && k->loaded <= time(NULL));
}

/* ---- text ---- */

static void
pairs_are_split_at_commas_and_the_first_colon(void **state)
{
	struct keyset *set;

	(void)state;
	set = must_parse("user1:secret1, user2:se:cr:et2 ,\tuser 3:=");
	assert_int_equal(set->count, 3);
	assert_key(set, "user1", "secret1", KEY_SOURCE_ENVIRONMENT);
	assert_key(set, "user2", "se:cr:et2", KEY_SOURCE_ENVIRONMENT);
	assert_key(set, "user 3", "=", KEY_SOURCE_ENVIRONMENT);
	keyset_free(set);
}

static void
bad_pairs_are_refused_without_telling_a_key(void **state)
{
	static const struct {
		const char *text;
		const char *why;
	} rows[] = {
		{ "", "entry 1 is not id:key" },
		{ SECRET, "entry 1 is not id:key" },
		{ "a:1,", "entry 2 is not id:key" },
		{ "a:1,,b:2", "entry 2 is not id:key" },
		{ ":" SECRET, "an id is empty" },
		{ " :" SECRET, "an id is empty" },
		{ "a:", "id 'a': the key is empty" },
		{ "a:1,b: ", "id 'b': the key is empty" },
		{ "a:" SECRET ",b:2,a:3", "id 'a' is given twice" },
		{ "a:" SECRET ",b:2,c:" SECRET,
		    "ids 'a' and 'c' have the same key" },
		{ "a:" SECRET "\n", "id 'a': the key is not printable ASCII" },
		{ "a:" SECRET "\xc3\xa9",
		    "id 'a': the key is not printable ASCII" },
		{ "a\nb:" SECRET,
		    "an id is not UTF-8 or holds control characters" },
		{ "a\xff:" SECRET,
		    "an id is not UTF-8 or holds control characters" },
	};
	char expected[KEYFILE_ERROR_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		assert_null(
		    keyset_parse(rows[i].text, KEY_SOURCE_ENVIRONMENT, error));
		snprintf(expected, sizeof(expected), "keys: AUTH_KEYS: %s",
		    rows[i].why);
		if (strstr(error, "have the same key") == NULL)
			assert_string_equal(error, expected);
		assert_null(strstr(error, SECRET));
	}
	assert_null(keyset_parse("a", KEY_SOURCE_CONFIG, error));
	assert_string_equal(error, "keys: auth_keys: entry 1 is not id:key");
}

static void
ids_and_keys_have_limits(void **state)
{
	char text[LTP_ID_MAX + AUTH_KEY_MAX + 8];
	struct keyset *set;

	(void)state;
	memset(text, 'i', sizeof(text));
	text[LTP_ID_MAX] = ':';
	text[LTP_ID_MAX + 1 + AUTH_KEY_MAX] = '\0';
	set = must_parse(text);
	assert_int_equal(strlen(TAILQ_FIRST(&set->keys)->id), LTP_ID_MAX);
	keyset_free(set);

	text[LTP_ID_MAX + 1 + AUTH_KEY_MAX] = 'k';
	text[LTP_ID_MAX + 1 + AUTH_KEY_MAX + 1] = '\0';
	assert_null(keyset_parse(text, KEY_SOURCE_ENVIRONMENT, error));
	assert_non_null(strstr(error, "the key is longer than 1024 bytes"));

	memset(text, 'i', LTP_ID_MAX + 1);
	memcpy(text + LTP_ID_MAX + 1, ":k", 3);
	assert_null(keyset_parse(text, KEY_SOURCE_ENVIRONMENT, error));
	assert_string_equal(
	    error, "keys: AUTH_KEYS: an id is longer than 256 bytes");
}

/* ---- the file's content ---- */

static void
a_file_is_an_object_of_ids_and_keys(void **state)
{
	const char *text = "\n{ \"user1\": \"secret1\",\n"
			   "  \"J\\u00fcrgen\": \"a key, with \\\"quotes\\\"\","
			   " \"a:b\": \"c:d\" }\n";
	struct keyset *set;

	(void)state;
	write_keys("keys.json", text);
	set = must_load("keys.json");
	assert_int_equal(set->count, 3);
	assert_string_equal(TAILQ_FIRST(&set->keys)->id, "user1");
	assert_key(set, "user1", "secret1", KEY_SOURCE_FILE);
	assert_key(
	    set, "J\xc3\xbcrgen", "a key, with \"quotes\"", KEY_SOURCE_FILE);
	assert_key(set, "a:b", "c:d", KEY_SOURCE_FILE);
	keyset_free(set);

	write_keys("keys.json", "{}");
	set = must_load("keys.json");
	assert_int_equal(set->count, 0);
	keyset_free(set);
}

static void
bad_content_is_refused_without_telling_a_key(void **state)
{
	static const struct {
		const char *text;
		const char *why;
	} rows[] = {
		{ "", "line 1: not valid JSON" },
		{ "{\n\"a\": \"" SECRET "\"\n", "line 3: not valid JSON" },
		{ "{\"a\": \"" SECRET, "line 1: not valid JSON" },
		{ "{\"a\": " SECRET "}", "line 1: not valid JSON" },
		{ "{\"a\": \"1\"} \"" SECRET "\"", "line 1: not valid JSON" },
		{ "{\"a\": \"" SECRET "\",}", "line 1: not valid JSON" },
		{ "{\"a\": \"1\",\n \"a\": \"" SECRET "\"}",
		    "line 2: an id is given twice" },
		{ "{\"a\": \"" SECRET "\\u0000\"}", "line 1: not valid JSON" },
		{ "{\"a\\u0000b\": \"" SECRET "\"}", "line 1: not valid JSON" },
		{ "{\"a\": \"" SECRET "\xff\"}", "line 1: not valid JSON" },
		{ "[\"" SECRET "\"]", "not a JSON object of ids and keys" },
		{ "\"" SECRET "\"", "not a JSON object of ids and keys" },
		{ "null", "not a JSON object of ids and keys" },
		{ "{\"a\": 5}", "id 'a': the key is no string" },
		{ "{\"a\": null}", "id 'a': the key is no string" },
		{ "{\"a\": {\"key\": \"" SECRET "\"}}",
		    "id 'a': the key is no string" },
		{ "{\"a\": [\"" SECRET "\"]}", "id 'a': the key is no string" },
		{ "{\"a\": \"\"}", "id 'a': the key is empty" },
		{ "{\"\": \"" SECRET "\"}", "an id is empty" },
		{ "{\"a\\n\": \"" SECRET "\"}",
		    "an id is not UTF-8 or holds control characters" },
		{ "{\"a\": \"" SECRET "\\u00e9\"}",
		    "id 'a': the key is not printable ASCII" },
		{ "{\"a\": \"" SECRET "\\t\"}",
		    "id 'a': the key is not printable ASCII" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		write_keys("keys.json", rows[i].text);
		must_refuse("keys.json", rows[i].why);
	}
}

static void
two_ids_with_one_key_are_refused(void **state)
{
	(void)state;
	write_keys("keys.json",
	    "{\"b\": \"" SECRET "\", \"x\": \"1\", \"a\": \"" SECRET "\"}");
	assert_null(keyfile_load(path_of("keys.json"), error));
	assert_non_null(strstr(error, "have the same key"));
	assert_non_null(strstr(error, "'a'"));
	assert_non_null(strstr(error, "'b'"));
	assert_null(strstr(error, SECRET));
}

static void
a_strange_id_cannot_harm_a_terminal(void **state)
{
	(void)state;
	write_keys("keys.json", "{\"\\u009b2J\": \"\"}");
	assert_null(keyfile_load(path_of("keys.json"), error));
	assert_non_null(strstr(error, ": the key is empty"));
	assert_null(strstr(error, "\xc2"));
}

static void
a_file_may_be_of_1_mib_and_no_more(void **state)
{
	struct keyset *set;
	char *text;

	(void)state;
	text = malloc(KEYFILE_MAX_BYTES + 1);
	assert_non_null(text);
	memset(text, ' ', KEYFILE_MAX_BYTES + 1);
	memcpy(text, "{\"a\":\"1\"}", 9);
	write_bytes("keys.json", text, KEYFILE_MAX_BYTES, 0600);
	set = must_load("keys.json");
	keyset_free(set);
	write_bytes("keys.json", text, KEYFILE_MAX_BYTES + 1, 0600);
	must_refuse("keys.json", "larger than 1048576 bytes");
	free(text);
}

static void
many_keys_are_checked_in_good_time(void **state)
{
	struct keyset *set;
	size_t i, used = 1;
	char *text;

	(void)state;
	text = malloc(KEYFILE_MAX_BYTES);
	assert_non_null(text);
	text[0] = '{';
	for (i = 0; i < 40000; i++)
		used += (size_t)snprintf(text + used, KEYFILE_MAX_BYTES - used,
		    "%s\"id%zu\":\"key%zu\"", i == 0 ? "" : ",", i, i);
	text[used++] = '}';
	write_bytes("keys.json", text, used, 0600);
	set = must_load("keys.json");
	assert_int_equal(set->count, 40000);
	keyset_free(set);
	free(text);
}

/* ---- the file itself ---- */

static void
a_file_that_others_may_read_or_change_is_refused(void **state)
{
	static const struct {
		mode_t mode;
		const char *why; /* NULL: good */
	} rows[] = {
		{ 0400, NULL },
		{ 0600, NULL },
		{ 0640, NULL },
		{ 0440, NULL },
		{ 0700, NULL },
		{ 0644, "mode 0644 is too open" },
		{ 0604, "mode 0604 is too open" },
		{ 0602, "mode 0602 is too open" },
		{ 0660, "mode 0660 is too open" },
		{ 0620, "mode 0620 is too open" },
		{ 0777, "mode 0777 is too open" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		write_bytes("keys.json", "{}", 2, rows[i].mode);
		if (rows[i].why == NULL)
			keyset_free(must_load("keys.json"));
		else
			must_refuse("keys.json", rows[i].why);
	}
}

/* Root stands for everybody, so that root may run this too. */
static void
a_file_of_another_user_is_refused(void **state)
{
	char why[128];

	(void)state;
	write_keys("keys.json", "{}");
	if (getuid() == 0) {
		assert_int_equal(chown(path_of("keys.json"), 54321, -1), 0);
		must_refuse("keys.json",
		    "belongs to uid 54321, must be root's or ours");
		pretended = 54321;
	} else {
		pretended = getuid() + 1;
		pretend = true;
		snprintf(why, sizeof(why),
		    "belongs to uid %lu, must be root's or ours",
		    (unsigned long)getuid());
		must_refuse("keys.json", why);
		pretended = getuid();
	}
	/* Its owner may use it. */
	pretend = true;
	if (getuid() == 0)
		assert_int_equal(chown(dir, 54321, -1), 0);
	keyset_free(must_load("keys.json"));
	pretend = false;
	if (getuid() == 0)
		assert_int_equal(chown(dir, 0, -1), 0);
}

static void
what_is_no_regular_file_is_refused_at_once(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
	must_refuse("fifo", "not a regular file");
	unlink(path_of("fifo"));
	assert_int_equal(mkdir(path_of("folder"), 0700), 0);
	must_refuse("folder", "not a regular file");
	rmdir(path_of("folder"));
	must_refuse("absent", strerror(ENOENT));
	assert_null(keyfile_load("/dev/null", error));
	assert_string_equal(error, "keys: /dev/null: not a regular file");
}

static void
the_path_must_be_absolute(void **state)
{
	(void)state;
	write_keys("keys.json", "{}");
	assert_int_equal(chdir(dir), 0);
	assert_null(keyfile_load("keys.json", error));
	assert_string_equal(error, "keys: keys.json: not an absolute path");
	assert_int_equal(chdir("/"), 0);
}

/* ---- the way to the file ---- */

static void
a_directory_that_others_may_write_is_refused(void **state)
{
	static const mode_t bad[] = { 0770, 0720, 0702, 0777, 02770 };
	char rest[64];
	size_t i;

	(void)state;
	assert_int_equal(mkdir(path_of("a"), 0700), 0);
	assert_int_equal(mkdir(path_of("a/b"), 0700), 0);
	write_keys("a/b/keys.json", "{}");
	keyset_free(must_load("a/b/keys.json"));
	for (i = 0; i < COUNT_OF(bad); i++) {
		snprintf(rest, sizeof(rest),
		    " is writable by others (mode %04o)", (unsigned)bad[i]);
		assert_int_equal(chmod(path_of("a"), bad[i]), 0);
		must_refuse_way("a/b/keys.json", "directory ", "a", rest);
		assert_int_equal(chmod(path_of("a"), 0755), 0);
		assert_int_equal(chmod(path_of("a/b"), bad[i]), 0);
		must_refuse_way("a/b/keys.json", "directory ", "a/b", rest);
		assert_int_equal(chmod(path_of("a/b"), 0755), 0);
	}
	keyset_free(must_load("a/b/keys.json"));
	keyset_free(must_load("a//b/../../a/./b/keys.json"));
}

static void
a_sticky_directory_will_do(void **state)
{
	(void)state;
	assert_int_equal(chmod(path_of("a"), 01777), 0);
	assert_int_equal(chmod(path_of("a/b"), 03777), 0);
	keyset_free(must_load("a/b/keys.json"));
	assert_int_equal(chmod(path_of("a"), 0700), 0);
	assert_int_equal(chmod(path_of("a/b"), 0700), 0);
}

/* As orchestrators mount secrets: two links, both in one directory. */
static void
links_are_followed(void **state)
{
	struct keyset *set;

	(void)state;
	assert_int_equal(mkdir(path_of("mount"), 0755), 0);
	assert_int_equal(mkdir(path_of("mount/..1"), 0755), 0);
	assert_int_equal(mkdir(path_of("mount/..2"), 0755), 0);
	write_keys("mount/..1/keys.json", "{\"old\": \"1\"}");
	write_keys("mount/..2/keys.json", "{\"new\": \"2\"}");
	assert_int_equal(symlink("..1", path_of("mount/..data")), 0);
	assert_int_equal(
	    symlink("..data/keys.json", path_of("mount/keys.json")), 0);
	set = must_load("mount/keys.json");
	assert_key(set, "old", "1", KEY_SOURCE_FILE);
	keyset_free(set);

	assert_int_equal(symlink("..2", path_of("mount/..next")), 0);
	assert_int_equal(
	    rename(path_of("mount/..next"), path_of("mount/..data")), 0);
	set = must_load("mount/keys.json");
	assert_key(set, "new", "2", KEY_SOURCE_FILE);
	keyset_free(set);
}

static void
every_directory_behind_a_link_is_checked(void **state)
{
	const char *rest = " is writable by others (mode 0777)";

	(void)state;
	/* start/link -> middle/link -> end/keys.json */
	assert_int_equal(mkdir(path_of("start"), 0700), 0);
	assert_int_equal(mkdir(path_of("middle"), 0700), 0);
	assert_int_equal(mkdir(path_of("end"), 0700), 0);
	write_keys("end/keys.json", "{}");
	assert_int_equal(
	    symlink(path_of("end/keys.json"), path_of("middle/link")), 0);
	assert_int_equal(symlink("../middle/link", path_of("start/link")), 0);
	keyset_free(must_load("start/link"));

	assert_int_equal(chmod(path_of("start"), 0777), 0);
	must_refuse_way("start/link", "directory ", "start", rest);
	assert_int_equal(chmod(path_of("start"), 0700), 0);

	assert_int_equal(chmod(path_of("middle"), 0777), 0);
	must_refuse_way("start/link", "directory ", "start/../middle", rest);
	assert_int_equal(chmod(path_of("middle"), 0700), 0);

	assert_int_equal(chmod(path_of("end"), 0777), 0);
	must_refuse_way("start/link", "directory ", "end", rest);
	assert_int_equal(chmod(path_of("end"), 0700), 0);
	keyset_free(must_load("start/link"));
}

static void
a_loop_of_links_ends(void **state)
{
	(void)state;
	assert_int_equal(symlink("loop", path_of("loop")), 0);
	must_refuse("loop", strerror(ELOOP));
}

/* ---- sets ---- */

static void
the_file_wins_over_the_environment(void **state)
{
	struct keyset *base, *file, *both;

	(void)state;
	base = must_parse("a:one,b:two,c:three");
	write_keys("keys.json", "{\"b\": \"zwei\", \"d\": \"vier\"}");
	file = must_load("keys.json");
	both = keyset_merge(base, file, error);
	assert_non_null(both);
	assert_int_equal(both->count, 4);
	assert_key(both, "a", "one", KEY_SOURCE_ENVIRONMENT);
	assert_key(both, "b", "zwei", KEY_SOURCE_FILE);
	assert_key(both, "c", "three", KEY_SOURCE_ENVIRONMENT);
	assert_key(both, "d", "vier", KEY_SOURCE_FILE);
	keyset_free(base);
	keyset_free(file);
	keyset_free(both);
}

/* The other order of the same: b's old key may be somebody else's new one. */
static void
an_overridden_key_is_free_again(void **state)
{
	struct keyset *base, *file, *both;

	(void)state;
	base = must_parse("b:two");
	write_keys("keys.json", "{\"b\": \"zwei\", \"d\": \"two\"}");
	file = must_load("keys.json");
	both = keyset_merge(base, file, error);
	assert_non_null(both);
	assert_key(both, "d", "two", KEY_SOURCE_FILE);
	keyset_free(base);
	keyset_free(file);
	keyset_free(both);
}

static void
one_key_for_two_ids_is_found_across_sets(void **state)
{
	struct keyset *base, *file;

	(void)state;
	base = must_parse("a:" SECRET);
	write_keys("keys.json", "{\"d\": \"" SECRET "\"}");
	file = must_load("keys.json");
	assert_null(keyset_merge(base, file, error));
	assert_non_null(strstr(error, "have the same key"));
	assert_int_equal(strncmp(error, "keys: ids '", 11), 0);
	assert_null(strstr(error, SECRET));
	keyset_free(base);
	keyset_free(file);
}

static void
either_set_may_be_missing(void **state)
{
	struct keyset *set, *merged;

	(void)state;
	set = must_parse("a:one,b:two,c:three");
	merged = keyset_merge(set, NULL, error);
	assert_non_null(merged);
	assert_int_equal(merged->count, 3);
	assert_key(merged, "c", "three", KEY_SOURCE_ENVIRONMENT);
	keyset_free(merged);
	merged = keyset_merge(NULL, set, error);
	assert_non_null(merged);
	assert_int_equal(merged->count, 3);
	keyset_free(merged);
	keyset_free(set);
	merged = keyset_merge(NULL, NULL, error);
	assert_non_null(merged);
	assert_int_equal(merged->count, 0);
	keyset_free(merged);
	keyset_free(NULL);
}

static void
sets_are_equal_in_whatever_order(void **state)
{
	static const struct {
		const char *text;
		bool equal;
	} rows[] = {
		{ "a:one,b:two,c:three", true },
		{ "c:three,a:one,b:two", true },
		{ "a:one,b:two", false },
		{ "a:one,b:two,c:three,d:four", false },
		{ "a:one,b:two,c:four", false },
		{ "a:one,b:two,d:three", false },
		{ "a:two,b:one,c:three", false },
	};
	struct keyset *set, *other;
	size_t i;

	(void)state;
	set = must_parse(rows[0].text);
	for (i = 0; i < COUNT_OF(rows); i++) {
		other = must_parse(rows[i].text);
		assert_int_equal(keyset_equal(set, other), rows[i].equal);
		assert_int_equal(keyset_equal(other, set), rows[i].equal);
		keyset_free(other);
	}
	keyset_free(set);
	set = keyset_new();
	other = keyset_new();
	assert_true(keyset_equal(set, other));
	keyset_free(set);
	keyset_free(other);
}

static void
a_key_that_stays_keeps_its_time(void **state)
{
	struct keyset *old, *set;
	struct key *k;

	(void)state;
	old = must_parse("b:two,a:one,c:three");
	TAILQ_FOREACH(k, &old->keys, entry)
		k->loaded = 1000;
	set = must_parse("a:one,b:new,d:two");
	TAILQ_FOREACH(k, &set->keys, entry)
		k->loaded = 2000;
	keyset_keep_times(set, old);
	assert_int_equal(find(set, "a")->loaded, 1000);
	assert_int_equal(find(set, "b")->loaded, 2000);
	assert_int_equal(find(set, "d")->loaded, 2000);
	keyset_free(old);
	old = keyset_new();
	keyset_keep_times(set, old);
	assert_int_equal(find(set, "a")->loaded, 1000);
	keyset_free(old);
	keyset_free(set);
}

static void
a_copy_stands_alone(void **state)
{
	struct keyset *set, *copy;

	(void)state;
	set = must_parse("a:one,b:two");
	copy = keyset_copy(set);
	keyset_free(set);
	assert_int_equal(copy->count, 2);
	assert_string_equal(TAILQ_FIRST(&copy->keys)->id, "a");
	assert_key(copy, "a", "one", KEY_SOURCE_ENVIRONMENT);
	assert_key(copy, "b", "two", KEY_SOURCE_ENVIRONMENT);
	keyset_free(copy);
}

static int
setup(void **state)
{
	(void)state;
	umask(022);
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	char command[sizeof(dir) + 16];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	/* NOLINTNEXTLINE(cert-env33-c): its words are the test's own */
	return system(command);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs_are_split_at_commas_and_the_first_colon),
		cmocka_unit_test(bad_pairs_are_refused_without_telling_a_key),
		cmocka_unit_test(ids_and_keys_have_limits),
		cmocka_unit_test(a_file_is_an_object_of_ids_and_keys),
		cmocka_unit_test(bad_content_is_refused_without_telling_a_key),
		cmocka_unit_test(two_ids_with_one_key_are_refused),
		cmocka_unit_test(a_strange_id_cannot_harm_a_terminal),
		cmocka_unit_test(a_file_may_be_of_1_mib_and_no_more),
		cmocka_unit_test(many_keys_are_checked_in_good_time),
		cmocka_unit_test(
		    a_file_that_others_may_read_or_change_is_refused),
		cmocka_unit_test(a_file_of_another_user_is_refused),
		cmocka_unit_test(what_is_no_regular_file_is_refused_at_once),
		cmocka_unit_test(the_path_must_be_absolute),
		cmocka_unit_test(a_directory_that_others_may_write_is_refused),
		cmocka_unit_test(a_sticky_directory_will_do),
		cmocka_unit_test(links_are_followed),
		cmocka_unit_test(every_directory_behind_a_link_is_checked),
		cmocka_unit_test(a_loop_of_links_ends),
		cmocka_unit_test(the_file_wins_over_the_environment),
		cmocka_unit_test(an_overridden_key_is_free_again),
		cmocka_unit_test(one_key_for_two_ids_is_found_across_sets),
		cmocka_unit_test(either_set_may_be_missing),
		cmocka_unit_test(sets_are_equal_in_whatever_order),
		cmocka_unit_test(a_key_that_stays_keeps_its_time),
		cmocka_unit_test(a_copy_stands_alone),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
