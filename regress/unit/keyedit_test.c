/*
 * keyedit.c: what a change leaves in the file, and which files it leaves
 * alone.
 */
#include "unit.h"

#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keyedit_stage.h"

#define FULL 1008 /* keys of 1024 bytes in a file of 1 MiB */

/* ---- keys ---- */

static void
a_key_is_256_random_bits_in_url_safe_characters(void **state)
{
	char a[KEYEDIT_KEY_SIZE], b[KEYEDIT_KEY_SIZE];

	(void)state;
	assert_int_equal(sizeof(a), 43 + 1);
	stage.entropy = 0xff;
	assert_int_equal(keyedit_generate(a), 0);
	assert_string_equal(a, "__________________________________________8");
	stage.entropy = 0xfb;
	assert_int_equal(keyedit_generate(a), 0);
	assert_string_equal(a, "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s");
	stage.entropy = 0;
	assert_int_equal(keyedit_generate(a), 0);
	assert_string_equal(a, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	stage.entropy = -1;
	assert_int_equal(keyedit_generate(a), 0);
	assert_int_equal(keyedit_generate(b), 0);
	assert_string_not_equal(a, b);
	stage.broken.call = "getentropy";
	stage.broken.how = ENOSYS;
	assert_int_equal(keyedit_generate(a), -1);
}

/* ---- one change ---- */

static void
an_id_is_added_behind_the_others(void **state)
{
	(void)state;
	write_file("keys.json", OLD, 0600);
	must_apply(KEYEDIT_ADD, "keys.json", "J\xc3\xbcrgen \"x\"", "3");
	assert_file("keys.json",
	    "{\n    \"b\": \"" SECRET "\",\n    \"a\": \"2\",\n"
	    "    \"J\xc3\xbcrgen \\\"x\\\"\": \"3\"\n}\n");
}

static void
a_rotated_key_stays_where_it_was(void **state)
{
	(void)state;
	write_file("keys.json", OLD, 0600);
	must_apply(KEYEDIT_ROTATE, "keys.json", "b", "3");
	assert_file("keys.json", "{\n    \"b\": \"3\",\n    \"a\": \"2\"\n}\n");
}

static void
a_removed_id_leaves_the_others(void **state)
{
	(void)state;
	write_file("keys.json", OLD, 0600);
	must_apply(KEYEDIT_REMOVE, "keys.json", "b", NULL);
	assert_file("keys.json", "{\n    \"a\": \"2\"\n}\n");
	must_apply(KEYEDIT_REMOVE, "keys.json", "a", NULL);
	assert_file("keys.json", "{}\n");
	must_apply(KEYEDIT_ADD, "keys.json", "a", "4");
	assert_file("keys.json", "{\n    \"a\": \"4\"\n}\n");
}

static void
what_makes_no_sense_changes_nothing(void **state)
{
	ino_t inode;

	(void)state;
	write_file("keys.json", OLD, 0600);
	inode = stat_of("keys.json").st_ino;
	assert_int_equal(apply(KEYEDIT_ADD, "keys.json", "a", "3"), -1);
	assert_error("keys.json", "id 'a' is there already");
	assert_int_equal(apply(KEYEDIT_ROTATE, "keys.json", "\033c", "3"), -1);
	assert_error("keys.json", "there is no id '\\033c'");
	assert_int_equal(apply(KEYEDIT_REMOVE, "keys.json", "c", NULL), -1);
	assert_error("keys.json", "there is no id 'c'");
	/* ltpd would refuse what these made of it. */
	assert_int_equal(apply(KEYEDIT_ADD, "keys.json", "c", SECRET), -1);
	assert_non_null(strstr(error, "have the same key"));
	assert_null(strstr(error, SECRET));
	assert_int_equal(apply(KEYEDIT_ADD, "keys.json", "", "3"), -1);
	assert_error("keys.json", "an id is empty");
	assert_int_equal(apply(KEYEDIT_ADD, "keys.json", "c", ""), -1);
	assert_error("keys.json", "id 'c': the key is empty");
	assert_file("keys.json", OLD);
	assert_int_equal(stat_of("keys.json").st_ino, inode);
}

static void
a_file_does_not_outgrow_what_ltpd_reads(void **state)
{
	char *text, key[AUTH_KEY_MAX + 1];
	size_t i, used = 1;

	(void)state;
	text = malloc(KEYFILE_MAX_BYTES);
	assert_non_null(text);
	text[0] = '{';
	for (i = 0; i < FULL; i++)
		used += (size_t)snprintf(text + used, KEYFILE_MAX_BYTES - used,
		    "%s\"%04zu\":\"%01024zu\"", i == 0 ? "" : ",", i, i);
	text[used++] = '}';
	text[used] = '\0';
	write_file("keys.json", text, 0600);
	free(text);
	memset(key, 'x', AUTH_KEY_MAX);
	key[AUTH_KEY_MAX] = '\0';
	assert_int_equal(apply(KEYEDIT_ADD, "keys.json", "new", key), -1);
	assert_error("keys.json", "would be larger than 1048576 bytes");
	assert_int_equal(stat_of("keys.json").st_size, used);
	must_apply(KEYEDIT_ROTATE, "keys.json", "0007", key);
	must_apply(KEYEDIT_REMOVE, "keys.json", "0008", NULL);
	must_apply(KEYEDIT_ADD, "keys.json", "new", key + 1);
	assert_int_equal(count_keys("keys.json"), FULL);
	assert_in_range(stat_of("keys.json").st_size, KEYFILE_MAX_BYTES - 1040,
	    KEYFILE_MAX_BYTES);
}

/* ---- what is refused ---- */

static void
a_broken_file_is_never_replaced(void **state)
{
	static const char *const texts[] = {
		"",
		"{",
		"{\"a\": \"" SECRET,
		"{\"a\": \"" SECRET "\",}",
		"{\"a\": \"" SECRET "\"} x",
		"{\"a\": \"1\",\n \"a\": \"" SECRET "\"}",
		"{\"a\": \"" SECRET "\", \"b\": \"" SECRET "\"}",
		"{\"a\": \"\"}",
		"{\"\": \"" SECRET "\"}",
		"{\"a\": 5}",
		"[\"" SECRET "\"]",
		"{\"a\": \"" SECRET "\xff\"}",
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(texts); i++) {
		write_file("keys.json", texts[i], 0600);
		must_refuse("keys.json");
		if (strlen(texts[i]) > 0)
			assert_file("keys.json", texts[i]);
	}
}

static void
a_file_that_ltpd_does_not_trust_is_left_alone(void **state)
{
	static const mode_t modes[] = { 0644, 0604, 0660, 0602 };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(modes); i++) {
		write_file("keys.json", OLD, modes[i]);
		must_refuse("keys.json");
	}
	write_file("keys.json", OLD, 0600);
	assert_int_equal(truncate(path_of("keys.json"), 100 << 20), 0);
	must_refuse("keys.json");
	unlink(path_of("keys.json"));
	assert_int_equal(mkfifo(path_of("keys.json"), 0600), 0);
	must_refuse("keys.json");
	unlink(path_of("keys.json"));
	assert_int_equal(mkdir(path_of("keys.json"), 0700), 0);
	must_refuse("keys.json");
	rmdir(path_of("keys.json"));
	assert_int_equal(symlink("keys.json", path_of("keys.json")), 0);
	must_refuse("keys.json");
	unlink(path_of("keys.json"));
}

static void
a_way_that_ltpd_does_not_trust_is_not_gone(void **state)
{
	(void)state;
	make_directory("open");
	write_file("open/keys.json", OLD, 0600);
	assert_int_equal(chmod(path_of("open"), 0777), 0);
	must_refuse("open/keys.json");
	assert_int_equal(symlink("open/keys.json", path_of("link")), 0);
	must_refuse("link");
	assert_int_equal(apply(KEYEDIT_ADD, "open/new.json", "a", "1"), -1);
	assert_non_null(strstr(error, "is writable by others (mode 0777)"));
	assert_int_equal(files_in("open"), 1);
	unlink(path_of("link"));
}

static void
only_an_added_id_makes_a_file(void **state)
{
	(void)state;
	make_directory("new");
	assert_int_equal(apply(KEYEDIT_ROTATE, "new/keys.json", "a", "1"), -1);
	assert_error("new/keys.json", strerror(ENOENT));
	assert_int_equal(apply(KEYEDIT_REMOVE, "new/keys.json", "a", NULL), -1);
	assert_error("new/keys.json", strerror(ENOENT));
	assert_null(keyedit_list(path_of("new/keys.json"), error));
	assert_error("new/keys.json", strerror(ENOENT));
	assert_int_equal(apply(KEYEDIT_ADD, "new/not/keys.json", "a", "1"), -1);
	assert_non_null(strstr(error, strerror(ENOENT)));
	assert_int_equal(apply(KEYEDIT_ADD, "new/not/", "a", "1"), -1);
	assert_int_equal(files_in("new"), 0);
}

/* ---- owner, group, mode ---- */

static void
owner_group_and_mode_stay(void **state)
{
	static const mode_t modes[] = { 0400, 0440, 0600, 0640, 0700 };
	struct stat before, after;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(modes); i++) {
		write_file("keys.json", OLD, modes[i]);
		if (getuid() == 0)
			assert_int_equal(
			    chown(path_of("keys.json"), 54321, 54322), 0);
		before = stat_of("keys.json");
		must_apply(KEYEDIT_ROTATE, "keys.json", "b", "3");
		after = stat_of("keys.json");
		assert_int_equal(after.st_mode, before.st_mode);
		assert_int_equal(after.st_uid, before.st_uid);
		assert_int_equal(after.st_gid, before.st_gid);
		assert_int_not_equal(after.st_ino, before.st_ino);
	}
}

static void
a_new_file_is_0640_in_the_group_of_its_directory(void **state)
{
	mode_t masks[] = { 0, 022, 077, 0777 };
	struct stat st;
	size_t i;

	(void)state;
	make_directory("new");
	if (getuid() == 0)
		assert_int_equal(chown(path_of("new"), 0, 54322), 0);
	for (i = 0; i < COUNT_OF(masks); i++) {
		umask(masks[i]);
		must_apply(KEYEDIT_ADD, "new/keys.json", "a", "1");
		umask(022);
		st = stat_of("new/keys.json");
		assert_int_equal(st.st_mode, S_IFREG | 0640);
		assert_int_equal(st.st_nlink, 1);
		assert_int_equal(st.st_uid, getuid());
		assert_int_equal(st.st_gid, stat_of("new").st_gid);
		assert_file("new/keys.json", "{\n    \"a\": \"1\"\n}\n");
		assert_int_equal(files_in("new"), 1);
		unlink(path_of("new/keys.json"));
	}
}

/* Who is not root stands for the user of ltpd. */
static void
root_acts_for_the_owner(void **state)
{
	uid_t owner = getuid() == 0 ? 54321 : getuid();

	(void)state;
	make_directory("home");
	stage.pretend_root = true;
	assert_int_equal(chown(path_of("home"), owner, -1), 0);
	must_apply(KEYEDIT_ADD, "home/keys.json", "a", "1");
	assert_int_equal(stat_of("home/keys.json").st_uid, owner);
	must_apply(KEYEDIT_ROTATE, "home/keys.json", "a", "2");
	assert_int_equal(stat_of("home/keys.json").st_uid, owner);
	keyset_free(keyedit_list(path_of("home/keys.json"), error));
	stage.pretend_root = false;
}

/* To replace the file of one user in the directory of a third is not. */
static void
root_does_not_act_for_others(void **state)
{
	(void)state;
	make_directory("home");
	write_file("home/keys.json", OLD, 0600);
	if (getuid() == 0)
		assert_int_equal(chown(path_of("home"), 54321, -1), 0);
	else
		assert_int_equal(chmod(path_of("home"), 0770), 0);
	must_refuse("home/keys.json");
}

/* ---- links ---- */

static void
links_stay_and_what_they_lead_to_is_replaced(void **state)
{
	(void)state;
	make_mount();
	must_apply(KEYEDIT_ADD, "mount/keys.json", "new", "3");
	assert_true(S_ISLNK(stat_of("mount/keys.json").st_mode));
	assert_true(S_ISLNK(stat_of("mount/..data").st_mode));
	assert_file("mount/..1/keys.json",
	    "{\n    \"one\": \"1\",\n    \"new\": \"3\"\n}\n");
	assert_file("mount/..2/keys.json", "{\"two\": \"2\"}");
	assert_int_equal(files_in("mount"), 4);
	assert_int_equal(files_in("mount/..1"), 1);
}

static void
a_link_may_lead_to_a_new_file(void **state)
{
	(void)state;
	make_mount();
	unlink(path_of("mount/..1/keys.json"));
	must_apply(KEYEDIT_ADD, "mount/keys.json", "new", "3");
	assert_true(S_ISLNK(stat_of("mount/keys.json").st_mode));
	assert_file("mount/..1/keys.json", "{\n    \"new\": \"3\"\n}\n");
}

static void
a_path_may_be_relative(void **state)
{
	const struct keyedit k = { KEYEDIT_ADD, "c", "3" };
	struct keyset *set;

	(void)state;
	make_directory("here");
	assert_int_equal(chdir(path_of("here")), 0);
	assert_int_equal(keyedit_apply("keys.json", &k, error), 0);
	assert_int_equal(keyedit_apply("../here/keys.json", &k, error), -1);
	assert_string_equal(
	    error, "keys: ../here/keys.json: id 'c' is there already");
	set = keyedit_list("./keys.json", error);
	assert_non_null(set);
	assert_int_equal(set->count, 1);
	keyset_free(set);
	assert_int_equal(chdir("/"), 0);
}

/* ---- list ---- */

static void
what_is_in_the_file_is_listed_in_its_order(void **state)
{
	static const char *const ids[] = { "b", "a" };
	uint8_t digest[DIGEST_SIZE];
	const struct key *k;
	struct keyset *set;
	size_t i = 0;

	(void)state;
	write_file("keys.json", OLD, 0600);
	set = keyedit_list(path_of("keys.json"), error);
	assert_non_null(set);
	assert_true(set->count == COUNT_OF(ids));
	TAILQ_FOREACH(k, &set->keys, entry)
		/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): its count */
		assert_string_equal(k->id, ids[i++]);
	digest_sha256(digest, SECRET, strlen(SECRET));
	assert_memory_equal(
	    TAILQ_FIRST(&set->keys)->digest, digest, sizeof(digest));
	keyset_free(set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    a_key_is_256_random_bits_in_url_safe_characters),
		cmocka_unit_test(an_id_is_added_behind_the_others),
		cmocka_unit_test(a_rotated_key_stays_where_it_was),
		cmocka_unit_test(a_removed_id_leaves_the_others),
		cmocka_unit_test(what_makes_no_sense_changes_nothing),
		cmocka_unit_test(a_file_does_not_outgrow_what_ltpd_reads),
		cmocka_unit_test(a_broken_file_is_never_replaced),
		cmocka_unit_test(a_file_that_ltpd_does_not_trust_is_left_alone),
		cmocka_unit_test(a_way_that_ltpd_does_not_trust_is_not_gone),
		cmocka_unit_test(only_an_added_id_makes_a_file),
		cmocka_unit_test(owner_group_and_mode_stay),
		cmocka_unit_test(
		    a_new_file_is_0640_in_the_group_of_its_directory),
		cmocka_unit_test(root_acts_for_the_owner),
		cmocka_unit_test(root_does_not_act_for_others),
		cmocka_unit_test(links_stay_and_what_they_lead_to_is_replaced),
		cmocka_unit_test(a_link_may_lead_to_a_new_file),
		cmocka_unit_test(a_path_may_be_relative),
		cmocka_unit_test(what_is_in_the_file_is_listed_in_its_order),
	};

	return cmocka_run_group_tests(tests, stage_set_up, stage_strike);
}
