/*
 * The system calls of keyedit.c, and a directory to call them in.
 */
#include "unit.h"

#include <sys/stat.h>
#include <sys/syscall.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "keyedit_stage.h"

static char dir[] = "/tmp/keyedit-test.XXXXXX";
char error[KEYFILE_ERROR_MAX];

/* ---- the system, made to fail or to be interrupted ---- */

struct system_stage stage = { .entropy = -1 };

static void
about_to(const char *call)
{
	void (*act)(void) = stage.meanwhile.act;

	if (stage.meanwhile.call == NULL ||
	    strcmp(stage.meanwhile.call, call) != 0)
		return;
	stage.meanwhile.call = NULL;
	act();
}

static bool
fails(const char *call)
{
	if (stage.broken.call == NULL || strcmp(stage.broken.call, call) != 0 ||
	    stage.broken.after-- > 0)
		return false;
	stage.broken.call = NULL;
	errno = stage.broken.how;
	return true;
}

ssize_t
write(int fd, const void *p, size_t len)
{
	if (fails("write"))
		return -1;
	if (stage.write_max > 0 && len > stage.write_max)
		len = stage.write_max;
	return syscall(SYS_write, fd, p, len);
}

int
fsync(int fd)
{
	struct stat st;
	const char *what;

	what = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? "fsync directory"
							  : "fsync";
	about_to(what);
	/* Nothing here has to outlive a power cut. */
	return fails(what) ? -1 : 0;
}

int
fchmod(int fd, mode_t mode)
{
	return fails("fchmod") ? -1 : (int)syscall(SYS_fchmod, fd, mode);
}

int
rename(const char *from, const char *to)
{
	if (fails("rename"))
		return -1;
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int
link(const char *from, const char *to)
{
	about_to("link");
	if (fails("link"))
		return -1;
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int
poll(struct pollfd *fds, nfds_t n, int timeout)
{
	struct timespec ts = { 0, (long)timeout * 1000000 };

	assert_int_equal(n, 0);
	about_to("poll");
	return ppoll(fds, n, &ts, NULL);
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = (int)syscall(SYS_clock_gettime, id, ts);

	ts->tv_sec += stage.clock_ahead;
	return r;
}

int
getentropy(void *buf, size_t len)
{
	if (fails("getentropy"))
		return -1;
	if (stage.entropy == -1)
		return (int)syscall(SYS_getrandom, buf, len, 0) == (int)len
			   ? 0
			   : -1;
	memset(buf, stage.entropy, len);
	return 0;
}

uid_t
geteuid(void)
{
	return stage.pretend_root ? 0 : getuid();
}

/* ---- files ---- */

const char *
path_of(const char *name)
{
	static char path[8][256];
	static unsigned next;
	char *p = path[next++ % COUNT_OF(path)];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

void
write_file(const char *name, const char *text, mode_t mode)
{
	const char *path = path_of(name);
	FILE *fp;

	unlink(path);
	fp = fopen(path, "wx");
	assert_non_null(fp);
	assert_int_equal(fputs(text, fp), 1);
	assert_int_equal(fclose(fp), 0);
	assert_int_equal(chmod(path, mode), 0);
}

void
put_file(const char *name, const char *text)
{
	write_file("fresh", text, 0600);
	assert_int_equal(
	    renameat(AT_FDCWD, path_of("fresh"), AT_FDCWD, path_of(name)), 0);
}

void
assert_file(const char *name, const char *expected)
{
	char text[4096];
	size_t n;
	FILE *fp;

	fp = fopen(path_of(name), "r");
	if (fp == NULL)
		fail_msg("%s: %s", name, strerror(errno));
	n = fread(text, 1, sizeof(text) - 1, fp);
	text[n] = '\0';
	fclose(fp);
	assert_string_equal(text, expected);
}

struct stat
stat_of(const char *name)
{
	struct stat st;

	assert_int_equal(lstat(path_of(name), &st), 0);
	return st;
}

unsigned
files_in(const char *name)
{
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	d = opendir(path_of(name));
	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			n++;
	}
	closedir(d);
	return n;
}

void
make_directory(const char *name)
{
	char command[512];

	snprintf(command, sizeof(command), "rm -rf '%s'", path_of(name));
	/* NOLINTNEXTLINE(cert-env33-c): its words are the test's own */
	assert_int_equal(system(command), 0);
	assert_int_equal(mkdir(path_of(name), 0755), 0);
}

/* ---- changes ---- */

int
apply(enum keyedit_op op, const char *name, const char *id, const char *key)
{
	const struct keyedit k = { op, id, key };

	error[0] = '\0';
	return keyedit_apply(path_of(name), &k, error);
}

void
must_apply(
    enum keyedit_op op, const char *name, const char *id, const char *key)
{
	if (apply(op, name, id, key) == -1)
		fail_msg("%s", error);
}

void
assert_error(const char *name, const char *why)
{
	char expected[KEYFILE_ERROR_MAX];

	snprintf(
	    expected, sizeof(expected), "keys: %s: %s", path_of(name), why);
	assert_string_equal(error, expected);
	assert_null(strstr(error, SECRET));
}

void
must_refuse(const char *name)
{
	static const enum keyedit_op ops[] = { KEYEDIT_ADD, KEYEDIT_ROTATE,
		KEYEDIT_REMOVE };
	char expected[KEYFILE_ERROR_MAX] = "";
	struct stat before, after;
	unsigned files;
	size_t i;

	assert_null(keyfile_load(path_of(name), expected));
	before = stat_of(name);
	files = files_in("");
	for (i = 0; i < COUNT_OF(ops); i++) {
		assert_int_equal(apply(ops[i], name, "a", "key"), -1);
		assert_string_equal(error, expected);
		assert_null(strstr(error, SECRET));
	}
	assert_null(keyedit_list(path_of(name), error));
	assert_string_equal(error, expected);
	after = stat_of(name);
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(after.st_size, before.st_size);
	assert_int_equal(files_in(""), files);
}

size_t
count_keys(const char *name)
{
	struct keyset *set;
	size_t n;

	set = keyfile_load(path_of(name), error);
	if (set == NULL)
		fail_msg("%s", error);
	n = set->count;
	keyset_free(set);
	return n;
}

void
make_mount(void)
{
	make_directory("mount");
	assert_int_equal(mkdir(path_of("mount/..1"), 0755), 0);
	assert_int_equal(mkdir(path_of("mount/..2"), 0755), 0);
	write_file("mount/..1/keys.json", "{\"one\": \"1\"}", 0600);
	write_file("mount/..2/keys.json", "{\"two\": \"2\"}", 0600);
	assert_int_equal(symlink("..1", path_of("mount/..data")), 0);
	assert_int_equal(
	    symlink("..data/keys.json", path_of("mount/keys.json")), 0);
}

void
turn_mount(void)
{
	assert_int_equal(symlink("..2", path_of("mount/..next")), 0);
	assert_int_equal(renameat(AT_FDCWD, path_of("mount/..next"), AT_FDCWD,
			     path_of("mount/..data")),
	    0);
}

int
stage_set_up(void **state)
{
	(void)state;
	umask(022);
	return mkdtemp(dir) != NULL ? 0 : -1;
}

int
stage_strike(void **state)
{
	char command[sizeof(dir) + 16];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	/* NOLINTNEXTLINE(cert-env33-c): its words are the test's own */
	return system(command);
}
