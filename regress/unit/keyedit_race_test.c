/*
 * keyedit.c: what is in the file and beside it when something fails on the
 * way, or somebody else is at it.
 */
#include "unit.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "keyedit_stage.h"

#define WRITER 50 /* changes of each process that competes */
#define ROUNDS 20

/* ---- what fails ---- */

static void
whatever_fails_leaves_the_old_file_and_no_other(void **state)
{
	static const struct {
		const char *call;
		int how;
		const char *why;
	} rows[] = {
		{ "write", ENOSPC, "cannot write a new one: " },
		{ "write", EDQUOT, "cannot write a new one: " },
		{ "write", EFBIG, "cannot write a new one: " },
		{ "fsync", EIO, "cannot write a new one: " },
		{ "fchmod", EPERM,
		    "cannot give a new one its owner and mode: " },
		{ "rename", EACCES, "cannot be replaced: " },
	};
	char why[128];
	size_t i, parts;

	(void)state;
	make_directory("disk");
	for (i = 0; i < COUNT_OF(rows); i++) {
		/* At once, or after the first part of the file. */
		for (parts = 0; parts < 2; parts++) {
			write_file("disk/keys.json", OLD, 0600);
			stage.write_max = 16;
			stage.broken.call = rows[i].call;
			stage.broken.after =
			    strcmp(rows[i].call, "write") == 0 ? (int)parts : 0;
			stage.broken.how = rows[i].how;
			assert_int_equal(
			    apply(KEYEDIT_ROTATE, "disk/keys.json", "a", "3"),
			    -1);
			snprintf(why, sizeof(why), "%s%s", rows[i].why,
			    strerror(rows[i].how));
			assert_error("disk/keys.json", why);
			assert_file("disk/keys.json", OLD);
			assert_int_equal(files_in("disk"), 1);
		}
	}
	stage.write_max = 0;
}

static void
a_new_file_that_fails_is_not_there(void **state)
{
	static const char *const calls[] = { "write", "fsync", "fchmod",
		"link" };
	size_t i;

	(void)state;
	make_directory("disk");
	for (i = 0; i < COUNT_OF(calls); i++) {
		stage.broken.call = calls[i];
		stage.broken.after = 0;
		stage.broken.how = ENOSPC;
		assert_int_equal(
		    apply(KEYEDIT_ADD, "disk/keys.json", "a", "1"), -1);
		assert_non_null(strstr(error, strerror(ENOSPC)));
		assert_int_equal(files_in("disk"), 0);
	}
}

static void
who_cannot_be_sure_that_it_lasts_says_so(void **state)
{
	(void)state;
	write_file("keys.json", OLD, 0600);
	stage.broken.call = "fsync directory";
	stage.broken.how = EIO;
	assert_int_equal(apply(KEYEDIT_REMOVE, "keys.json", "b", NULL), -1);
	assert_non_null(strstr(error, "is changed, but a power cut may undo"));
	assert_file("keys.json", "{\n    \"a\": \"2\"\n}\n");
	/* There are file systems that cannot do it. */
	stage.broken.call = "fsync directory";
	stage.broken.how = EINVAL;
	must_apply(KEYEDIT_REMOVE, "keys.json", "a", NULL);
}

static void
a_write_may_come_in_pieces(void **state)
{
	(void)state;
	write_file("keys.json", OLD, 0600);
	stage.write_max = 1;
	stage.broken.call = "write";
	stage.broken.after = 5;
	stage.broken.how = EINTR;
	must_apply(KEYEDIT_REMOVE, "keys.json", "a", NULL);
	stage.write_max = 0;
	assert_file("keys.json", "{\n    \"b\": \"" SECRET "\"\n}\n");
}

/* ---- others at the same time ---- */

static int lock_fd;

static void
lock(const char *name)
{
	lock_fd = open(path_of(name), O_RDONLY);
	assert_int_not_equal(lock_fd, -1);
	assert_int_equal(flock(lock_fd, LOCK_EX), 0);
}

static void
replace_and_unlock(void)
{
	put_file("keys.json", "{\"other\": \"5\"}");
	close(lock_fd);
}

static void
who_had_to_wait_changes_the_file_that_is_there_then(void **state)
{
	(void)state;
	write_file("keys.json", OLD, 0600);
	lock("keys.json");
	stage.meanwhile.call = "poll";
	stage.meanwhile.act = replace_and_unlock;
	must_apply(KEYEDIT_ADD, "keys.json", "new", "3");
	assert_file(
	    "keys.json", "{\n    \"other\": \"5\",\n    \"new\": \"3\"\n}\n");
}

static void
remove_and_unlock(void)
{
	unlink(path_of("keys.json"));
	close(lock_fd);
}

static void
a_file_that_is_gone_after_the_wait_is_not_brought_back(void **state)
{
	(void)state;
	write_file("keys.json", OLD, 0600);
	lock("keys.json");
	stage.meanwhile.call = "poll";
	stage.meanwhile.act = remove_and_unlock;
	assert_int_equal(apply(KEYEDIT_ROTATE, "keys.json", "a", "3"), -1);
	assert_error("keys.json", strerror(ENOENT));
}

static void
wait_too_long(void)
{
	stage.clock_ahead += KEYEDIT_LOCK_MS / 1000 + 1;
}

static void
nobody_waits_for_ever(void **state)
{
	(void)state;
	write_file("keys.json", OLD, 0600);
	lock("keys.json");
	stage.meanwhile.call = "poll";
	stage.meanwhile.act = wait_too_long;
	assert_int_equal(apply(KEYEDIT_ADD, "keys.json", "new", "3"), -1);
	assert_error("keys.json", "another program keeps it locked");
	assert_file("keys.json", OLD);
	close(lock_fd);
	stage.clock_ahead = 0;
}

static void
put_other(void)
{
	put_file("keys.json", "{\"other\": \"5\"}");
}

/* A deployment knows nothing of locks. */
static void
what_was_replaced_meanwhile_is_read_again(void **state)
{
	(void)state;
	write_file("keys.json", OLD, 0600);
	stage.meanwhile.call = "fsync";
	stage.meanwhile.act = put_other;
	must_apply(KEYEDIT_ADD, "keys.json", "new", "3");
	assert_file(
	    "keys.json", "{\n    \"other\": \"5\",\n    \"new\": \"3\"\n}\n");
}

static void
a_link_that_was_turned_meanwhile_is_followed_again(void **state)
{
	(void)state;
	make_mount();
	stage.meanwhile.call = "fsync";
	stage.meanwhile.act = turn_mount;
	must_apply(KEYEDIT_ADD, "mount/keys.json", "new", "3");
	assert_file("mount/..1/keys.json", "{\"one\": \"1\"}");
	assert_file("mount/..2/keys.json",
	    "{\n    \"two\": \"2\",\n    \"new\": \"3\"\n}\n");
	assert_int_equal(files_in("mount/..1"), 1);
	assert_int_equal(files_in("mount/..2"), 1);
}

static void
a_new_file_does_not_replace_one_that_appears(void **state)
{
	static const char *const calls[] = { "fsync", "link" };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(calls); i++) {
		unlink(path_of("keys.json"));
		stage.meanwhile.call = calls[i];
		stage.meanwhile.act = put_other;
		must_apply(KEYEDIT_ADD, "keys.json", "new", "3");
		assert_file("keys.json",
		    "{\n    \"other\": \"5\",\n    \"new\": \"3\"\n}\n");
	}
}

/* Another process adds ids, its own, and gives each a second key. */
static pid_t
spawn_writer(const char *name, char who, int count)
{
	char id[16], key[32];
	pid_t pid;
	int i;

	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid != 0)
		return pid;
	for (i = 0; i < count; i++) {
		snprintf(id, sizeof(id), "%c%d", who, i);
		snprintf(key, sizeof(key), "first-%s", id);
		if (apply(KEYEDIT_ADD, name, id, key) == -1)
			break;
		snprintf(key, sizeof(key), "second-%s", id);
		if (apply(KEYEDIT_ROTATE, name, id, key) == -1)
			break;
	}
	if (i < count)
		fprintf(stderr, "# %c: %s\n", who, error);
	_exit(i < count);
}

static bool
is_running(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, WNOHANG) == 0)
		return true;
	assert_int_equal(status, 0);
	return false;
}

static void
wait_for(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
no_change_of_two_processes_is_lost(void **state)
{
	bool first = true, second = true;
	pid_t a, b;

	(void)state;
	make_directory("busy");
	write_file("busy/keys.json", OLD, 0640);
	a = spawn_writer("busy/keys.json", 'x', WRITER);
	b = spawn_writer("busy/keys.json", 'y', WRITER);
	/* Whoever reads meanwhile sees one content or another, whole. */
	while (first || second) {
		assert_in_range(
		    count_keys("busy/keys.json"), 2, 2 + 2 * WRITER);
		if (first)
			first = is_running(a);
		if (second)
			second = is_running(b);
	}
	assert_int_equal(count_keys("busy/keys.json"), 2 + 2 * WRITER);
	assert_int_equal(files_in("busy"), 1);
	assert_int_equal(stat_of("busy/keys.json").st_mode, S_IFREG | 0640);
}

static void
two_processes_make_one_file(void **state)
{
	pid_t a, b;
	int i;

	(void)state;
	make_directory("busy");
	for (i = 0; i < ROUNDS; i++) {
		a = spawn_writer("busy/keys.json", 'x', 1);
		b = spawn_writer("busy/keys.json", 'y', 1);
		wait_for(a);
		wait_for(b);
		assert_int_equal(count_keys("busy/keys.json"), 2);
		assert_int_equal(files_in("busy"), 1);
		unlink(path_of("busy/keys.json"));
	}
}

static void
a_list_does_not_wait_for_a_lock(void **state)
{
	(void)state;
	write_file("keys.json", OLD, 0600);
	lock("keys.json");
	stage.meanwhile.call = "poll";
	stage.meanwhile.act = replace_and_unlock;
	keyset_free(keyedit_list(path_of("keys.json"), error));
	assert_string_equal(stage.meanwhile.call, "poll");
	stage.meanwhile.call = NULL;
	close(lock_fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    whatever_fails_leaves_the_old_file_and_no_other),
		cmocka_unit_test(a_new_file_that_fails_is_not_there),
		cmocka_unit_test(who_cannot_be_sure_that_it_lasts_says_so),
		cmocka_unit_test(a_write_may_come_in_pieces),
		cmocka_unit_test(
		    who_had_to_wait_changes_the_file_that_is_there_then),
		cmocka_unit_test(
		    a_file_that_is_gone_after_the_wait_is_not_brought_back),
		cmocka_unit_test(nobody_waits_for_ever),
		cmocka_unit_test(what_was_replaced_meanwhile_is_read_again),
		cmocka_unit_test(
		    a_link_that_was_turned_meanwhile_is_followed_again),
		cmocka_unit_test(a_new_file_does_not_replace_one_that_appears),
		cmocka_unit_test(no_change_of_two_processes_is_lost),
		cmocka_unit_test(two_processes_make_one_file),
		cmocka_unit_test(a_list_does_not_wait_for_a_lock),
	};

	return cmocka_run_group_tests(tests, stage_set_up, stage_strike);
}
