/*
 * Reading files that hold secrets.  What counts is the open descriptor; the
 * way to it is checked because who may write a directory on it decides which
 * file that is, next time.
 */
#include <sys/types.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "secretfile.h"

#define LINKS_MAX 32 /* symbolic links on the way to a file */

static int secret_error(char *why, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));

/* Always -1. */
static int
secret_error(char *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, SECRETFILE_ERROR_MAX, fmt, ap);
	va_end(ap);
	return -1;
}

static bool
is_trusted(const struct stat *st, uid_t us)
{
	return st->st_uid == 0 || st->st_uid == us;
}

int
secretfile_check(int fd, size_t max, uid_t us, char why[SECRETFILE_ERROR_MAX])
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return secret_error(why, "%s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return secret_error(why, "not a regular file");
	if (st.st_size > (off_t)max)
		return secret_error(why, "larger than %zu bytes", max);
	if (!is_trusted(&st, us))
		return secret_error(why,
		    "belongs to uid %lu, must be root's or ours",
		    (unsigned long)st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IROTH | S_IWOTH))
		return secret_error(why, "mode %04o is too open",
		    (unsigned)(st.st_mode & 07777));
	return 0;
}

/*
 * A walk along a path the way the kernel goes, link by link, so that every
 * directory is seen in which somebody could put another file in place.
 */
struct walk {
	char done[PATH_MAX]; /* no links in it; empty: the root */
	char todo[PATH_MAX];
	unsigned links;
	uid_t us; /* trusted beside root */
};

static int
walk_check_directory(
    const struct walk *w, char *why, const char *path, const struct stat *st)
{
	if (!is_trusted(st, w->us))
		return secret_error(why,
		    "directory %s belongs to uid %lu, must be root's or ours",
		    path, (unsigned long)st->st_uid);
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) && !(st->st_mode & S_ISVTX))
		return secret_error(why,
		    "directory %s is writable by others (mode %04o)", path,
		    (unsigned)(st->st_mode & 07777));
	return 0;
}

/*
 * Move the first name of todo to done.  1, or 0 when there is none, or -1
 * with errno.
 */
static int
walk_step(struct walk *w)
{
	size_t start, len, used = strlen(w->done);

	start = strspn(w->todo, "/");
	len = strcspn(w->todo + start, "/");
	if (len == 0)
		return 0;
	if (used + 1 + len >= sizeof(w->done)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	w->done[used] = '/';
	memcpy(w->done + used + 1, w->todo + start, len);
	w->done[used + 1 + len] = '\0';
	start += len;
	memmove(w->todo, w->todo + start, strlen(w->todo + start) + 1);
	return 1;
}

/* done is a link: put what it says in place of it.  0 or -1 with errno. */
static int
walk_follow(struct walk *w)
{
	char target[PATH_MAX];
	ssize_t n;

	n = readlink(w->done, target, sizeof(target) - 1);
	if (n == -1)
		return -1;
	target[n] = '\0';
	if (++w->links > LINKS_MAX) {
		errno = ELOOP;
		return -1;
	}
	/* What is left begins with a slash, if there is any. */
	if (strlcat(target, w->todo, sizeof(target)) >= sizeof(target)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strlcpy(w->todo, target, sizeof(w->todo));
	if (target[0] == '/')
		w->done[0] = '\0';
	else
		*strrchr(w->done, '/') = '\0';
	return 0;
}

/* Nothing but slashes is left to go. */
static bool
walk_ends(const struct walk *w)
{
	return w->todo[strspn(w->todo, "/")] == '\0';
}

/* What done is: a directory, a link or the file.  0 or -1. */
static int
walk_look(struct walk *w, char *why)
{
	struct stat st;

	if (lstat(w->done, &st) == -1) {
		if (errno == ENOENT && walk_ends(w))
			return 0;
		return secret_error(why, "%s: %s", w->done, strerror(errno));
	}
	if (S_ISDIR(st.st_mode))
		return walk_check_directory(w, why, w->done, &st);
	if (!S_ISLNK(st.st_mode))
		return 0;
	if (!is_trusted(&st, w->us))
		return secret_error(why,
		    "link %s belongs to uid %lu, must be root's or ours",
		    w->done, (unsigned long)st.st_uid);
	if (walk_follow(w) == -1)
		return secret_error(why, "%s: %s", w->done, strerror(errno));
	return 0;
}

int
secretfile_way(const char *path, uid_t us, char real[PATH_MAX],
    char why[SECRETFILE_ERROR_MAX])
{
	struct walk w = { .us = us };
	struct stat st;
	int r;

	if (path[0] != '/')
		return secret_error(why, "not an absolute path");
	if (lstat("/", &st) == -1)
		return secret_error(why, "/: %s", strerror(errno));
	if (walk_check_directory(&w, why, "/", &st) == -1)
		return -1;
	if (strlcpy(w.todo, path, sizeof(w.todo)) >= sizeof(w.todo))
		return secret_error(why, "%s", strerror(ENAMETOOLONG));
	while ((r = walk_step(&w)) == 1) {
		if (walk_look(&w, why) == -1)
			return -1;
	}
	if (r == -1)
		return secret_error(why, "%s: %s", w.done, strerror(errno));
	strlcpy(real, w.done[0] == '\0' ? "/" : w.done, PATH_MAX);
	return 0;
}

ssize_t
secretfile_read_all(int fd, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size) {
		n = read(fd, buf + len, size - len);
		if (n == 0)
			break;
		if (n == -1 && errno != EINTR)
			return -1;
		if (n > 0)
			len += (size_t)n;
	}
	return (ssize_t)len;
}

char *
secretfile_take(int fd, size_t max, size_t *len, char why[SECRETFILE_ERROR_MAX])
{
	ssize_t n = -1;
	char *text;

	/* A byte more tells that it has grown too long. */
	text = calloc(1, max + 1);
	if (text != NULL)
		n = secretfile_read_all(fd, text, max + 1);
	if (n == -1)
		secret_error(why, "%s", strerror(errno));
	else if ((size_t)n > max)
		n = secret_error(why, "larger than %zu bytes", max);
	if (n == -1) {
		freezero(text, max + 1);
		return NULL;
	}
	*len = (size_t)n;
	return text;
}

int
secretfile_open(const char *path)
{
	/* A FIFO must not keep the caller waiting. */
	return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

char *
secretfile_read(
    const char *path, size_t max, size_t *len, char why[SECRETFILE_ERROR_MAX])
{
	char real[PATH_MAX], *text = NULL;
	int fd;

	fd = secretfile_open(path);
	if (fd == -1) {
		secret_error(why, "%s", strerror(errno));
		return NULL;
	}
	if (secretfile_check(fd, max, geteuid(), why) == 0 &&
	    secretfile_way(path, geteuid(), real, why) == 0)
		text = secretfile_take(fd, max, len, why);
	close(fd);
	return text;
}

/* More than a library needs for any file that makes sense. */
#define STACK_WIPED (32 * 1024)

void __attribute__((__noinline__)) secretfile_wipe_stack(void)
{
	char below[STACK_WIPED];

	explicit_bzero(below, sizeof(below));
}
