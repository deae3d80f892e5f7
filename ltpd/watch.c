/*
 * Which directories lie on the way to a file.
 */
#include "watch.h"

#include <sys/stat.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* As many links as the system itself would follow. */
#define WATCH_LINKS_MAX 32

/* The path that a link at prefix stands for, with the rest behind it. */
static int
watch_follow(char path[PATH_MAX], const char *prefix, const char *rest)
{
	char target[PATH_MAX], whole[PATH_MAX];
	const char *slash;
	ssize_t n;
	int len;

	if ((n = readlink(prefix, target, sizeof(target) - 1)) == -1)
		return -1;
	target[n] = '\0';
	slash = strrchr(prefix, '/');
	if (target[0] == '/' || slash == NULL)
		len = snprintf(whole, sizeof(whole), "%s%s", target, rest);
	else
		len = snprintf(whole, sizeof(whole), "%.*s/%s%s",
		    (int)(slash - prefix), prefix, target, rest);
	if (len < 0 || (size_t)len >= sizeof(whole)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(path, whole, len + 1);
	return 0;
}

/* The directory that holds the last name of prefix. */
static int
watch_parent(const char *prefix, watch_dir *fn, void *arg)
{
	const char *slash = strrchr(prefix, '/');
	char dir[PATH_MAX];

	if (slash == NULL)
		strlcpy(dir, ".", sizeof(dir));
	else if (slash == prefix)
		strlcpy(dir, "/", sizeof(dir));
	else
		snprintf(
		    dir, sizeof(dir), "%.*s", (int)(slash - prefix), prefix);
	return fn(dir, arg);
}

/*
 * The first link on the way, if any: its directory is reported, and path
 * becomes what it points to.  Returns 1 when there was one, 0 when path is
 * the file itself, -1 on an error of fn.
 */
static int
watch_step(char path[PATH_MAX], watch_dir *fn, void *arg)
{
	char prefix[PATH_MAX], rest[PATH_MAX];
	struct stat st;
	size_t end;

	for (end = 1; end <= strlen(path); end++) {
		if (path[end] != '/' && path[end] != '\0')
			continue;
		snprintf(prefix, sizeof(prefix), "%.*s", (int)end, path);
		if (lstat(prefix, &st) == -1)
			break;
		if (!S_ISLNK(st.st_mode))
			continue;
		if (watch_parent(prefix, fn, arg) == -1)
			return -1;
		strlcpy(rest, path + end, sizeof(rest));
		return watch_follow(path, prefix, rest) == -1 ? 0 : 1;
	}
	return 0;
}

int
watch_each_dir(const char *path, watch_dir *fn, void *arg)
{
	char way[PATH_MAX];
	int i, more = 1;

	if (strlcpy(way, path, sizeof(way)) >= sizeof(way)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (i = 0; i < WATCH_LINKS_MAX && more == 1; i++)
		more = watch_step(way, fn, arg);
	if (more == -1)
		return -1;
	return watch_parent(way, fn, arg);
}
