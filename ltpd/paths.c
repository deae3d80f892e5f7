/*
 * The directories that the supervisor reaches once it is in its sandbox.
 * Directories, not files: a key file is replaced by another one, a log is
 * renamed and made anew.
 */
#include "paths.h"

#include <sys/queue.h>

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"
#include "conf.h"
#include "sandbox.h"

struct place {
	SLIST_ENTRY(place) entry;
	const char *permissions; /* of sandbox_unveil() */
	char dir[PATH_MAX];
};

struct paths {
	SLIST_HEAD(, place) places;
};

/* The files that a configuration names. */
static const struct {
	const char *keyword;
	size_t offset; /* of a char * in struct conf */
	const char *permissions;
} files[] = {
	{ "auth_keys_file", offsetof(struct conf, auth_keys_file), "r" },
	{ "log_file", offsetof(struct conf, log_file), "rwc" },
	{ "audit_log_file", offsetof(struct conf, audit_log_file), "rwc" },
	{ "node_signing_key_file", offsetof(struct conf, node_signing_key_file),
	    "r" },
	{ "distributed.token_path",
	    offsetof(struct conf, distributed.token_path), "r" },
	{ "distributed.token_prev_path",
	    offsetof(struct conf, distributed.token_prev_path), "r" },
	{ "distributed.tls.cert_path",
	    offsetof(struct conf, distributed.tls.cert_path), "r" },
	{ "distributed.tls.key_path",
	    offsetof(struct conf, distributed.tls.key_path), "r" },
	{ "distributed.tls.client_ca_path",
	    offsetof(struct conf, distributed.tls.client_ca_path), "r" },
	{ "distributed.tls.client_crl_path",
	    offsetof(struct conf, distributed.tls.client_crl_path), "r" },
	{ "control_socket", offsetof(struct conf, control_socket), "wc" },
};

#define FILES (sizeof(files) / sizeof(files[0]))

static const char *
paths_of(const struct conf *conf, size_t i)
{
	return *(char *const *)((const char *)conf + files[i].offset);
}

/* 0, or -1 with errno.  A directory that is not there is passed over. */
static int
paths_add_directory(
    struct paths *paths, const char *path, const char *permissions)
{
	struct place *place;
	char copy[PATH_MAX];

	if ((place = calloc(1, sizeof(*place))) == NULL)
		return -1;
	place->permissions = permissions;
	strlcpy(copy, path, sizeof(copy));
	strlcpy(place->dir, dirname(copy), sizeof(place->dir));
	SLIST_INSERT_HEAD(&paths->places, place, entry);
	if (sandbox_unveil(place->dir, permissions) == -1 && errno != ENOENT)
		return -1;
	return 0;
}

/* The directory of a file and, if it is a link, that of what it is now. */
static int
paths_add(struct paths *paths, const char *path, const char *permissions)
{
	char real[PATH_MAX];

	if (paths_add_directory(paths, path, permissions) == -1)
		return -1;
	if (realpath(path, real) == NULL)
		return 0;
	return paths_add_directory(paths, real, permissions);
}

struct paths *
paths_new(
    const struct conf *conf, const char *conf_path, char error[PATHS_ERROR_MAX])
{
	struct paths *paths;
	const char *path = conf_path;
	size_t i;

	if ((paths = calloc(1, sizeof(*paths))) == NULL)
		goto fail;
	SLIST_INIT(&paths->places);
	if (path != NULL && paths_add(paths, path, "r") == -1)
		goto fail;
	for (i = 0; i < FILES; i++) {
		path = paths_of(conf, i);
		if (path != NULL &&
		    paths_add(paths, path, files[i].permissions) == -1)
			goto fail;
	}
	for (i = 0; (path = child_path(i)) != NULL; i++) {
		if (paths_add(paths, path, "rx") == -1)
			goto fail;
	}
	return paths;
fail:
	snprintf(error, PATHS_ERROR_MAX, "%s: %s",
	    path == NULL ? "paths" : path, strerror(errno));
	paths_free(paths);
	return NULL;
}

void
paths_free(struct paths *paths)
{
	struct place *place;

	if (paths == NULL)
		return;
	while ((place = SLIST_FIRST(&paths->places)) != NULL) {
		SLIST_REMOVE_HEAD(&paths->places, entry);
		free(place);
	}
	free(paths);
}

static bool
paths_reach(
    const struct paths *paths, const char *path, const char *permissions)
{
	const struct place *place;
	char copy[PATH_MAX], *dir;

	strlcpy(copy, path, sizeof(copy));
	dir = dirname(copy);
	SLIST_FOREACH(place, &paths->places, entry)
	{
		if (strcmp(place->dir, dir) == 0 &&
		    strspn(permissions, place->permissions) ==
			strlen(permissions))
			return true;
	}
	return false;
}

int
paths_check(const struct paths *paths, const struct conf *next,
    char error[PATHS_ERROR_MAX])
{
	const char *path;
	size_t i;

	for (i = 0; i < FILES; i++) {
		path = paths_of(next, i);
		if (path == NULL ||
		    paths_reach(paths, path, files[i].permissions))
			continue;
		snprintf(error, PATHS_ERROR_MAX,
		    "%s: %s is in a directory that was not in use at the "
		    "start: it takes a restart",
		    files[i].keyword, path);
		return -1;
	}
	return 0;
}
