/*
 * Changing a key file: read and check the old one, write a new one beside it,
 * rename.  Editors take turns by a lock on the file; since each leaves another
 * file in its place, who gets the lock looks whether it is still the file.
 * Keys are wiped from every buffer of ours, and jansson's (see conf_json()).
 */
#include <sys/types.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf_parse.h"
#include "keyedit.h"
#include "log.h"
#include "monotime.h"
#include "secretfile.h"
#include "text.h"

#define KEY_BYTES     (KEYEDIT_BITS / 8)
#define LOCK_RETRY_MS 10
#define INDENT        4
#define ID_SHOWN      64 /* bytes of an id in an error */
/* Nothing that a pattern for key files finds. */
#define NEW_NAME ".ltpctl.XXXXXXXXXX"

/* A key file on the way from one content to the next. */
struct edit {
	const char *name; /* as the operator gave it, for errors */
	char *error;
	char path[PATH_MAX]; /* absolute */
	char real[PATH_MAX]; /* the same without links */
	char dir[PATH_MAX]; /* of real */
	uid_t us; /* whose files are good beside root's */
	int fd; /* the file, -1 when there is none yet */
	struct stat st;
	json_t *keys;
	struct monotime deadline;
};

enum edit_result {
	EDIT_FAILED = -1, /* error is set */
	EDIT_DONE = 0,
	EDIT_AGAIN, /* somebody came before us */
};

static enum edit_result edit_error(const struct edit *, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));

/* Always EDIT_FAILED, which is -1. */
static enum edit_result
edit_error(const struct edit *e, const char *fmt, ...)
{
	char what[SECRETFILE_ERROR_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(e->error, KEYFILE_ERROR_MAX, "keys: %s: %s", e->name, what);
	return EDIT_FAILED;
}

static void
edit_close(struct edit *e)
{
	json_decref(e->keys);
	e->keys = NULL;
	if (e->fd != -1)
		close(e->fd);
	e->fd = -1;
}

/* ---- keys ---- */

int
keyedit_generate(char key[KEYEDIT_KEY_SIZE])
{
	char text[TEXT_BASE64_SIZE(KEY_BYTES)];
	uint8_t raw[KEY_BYTES];
	size_t i;

	if (getentropy(raw, sizeof(raw)) == -1)
		return -1;
	text_base64_print(text, raw, sizeof(raw));
	for (i = 0; i < KEYEDIT_KEY_SIZE - 1; i++) {
		key[i] = text[i];
		if (key[i] == '+')
			key[i] = '-';
		else if (key[i] == '/')
			key[i] = '_';
	}
	key[i] = '\0';
	explicit_bzero(raw, sizeof(raw));
	explicit_bzero(text, sizeof(text));
	return 0;
}

/* ---- the old file ---- */

static int
edit_set_path(struct edit *e)
{
	char cwd[PATH_MAX] = "";
	int len;

	if (e->name[0] != '/' && getcwd(cwd, sizeof(cwd)) == NULL)
		return edit_error(e, "%s", strerror(errno));
	len = snprintf(e->path, sizeof(e->path), "%s%s%s", cwd,
	    e->name[0] == '/' ? "" : "/", e->name);
	if (len < 0 || (size_t)len >= sizeof(e->path))
		return edit_error(e, "%s", strerror(ENAMETOOLONG));
	return 0;
}

/* The directory of path, with the slash. */
static void
directory_of(char dir[PATH_MAX], const char *path)
{
	strlcpy(dir, path, PATH_MAX);
	strrchr(dir, '/')[1] = '\0';
}

/* Root acts for whom the file, or the place for one, belongs to. */
static int
edit_set_us(struct edit *e)
{
	struct stat st;

	e->us = geteuid();
	if (e->us != 0)
		return 0;
	if (e->fd != -1) {
		e->us = e->st.st_uid;
		return 0;
	}
	directory_of(e->dir, e->path);
	if (stat(e->dir, &st) == -1)
		return edit_error(e, "%s", strerror(errno));
	e->us = st.st_uid;
	return 0;
}

/* Where the file is, and that it and the way to it can be trusted. */
static int
edit_find(struct edit *e, bool may_be_new)
{
	char why[SECRETFILE_ERROR_MAX];

	e->fd = secretfile_open(e->path);
	if (e->fd == -1 && (errno != ENOENT || !may_be_new))
		return edit_error(e, "%s", strerror(errno));
	if (e->fd == -1 && e->path[strlen(e->path) - 1] == '/')
		return edit_error(e, "%s", strerror(EISDIR));
	if (e->fd != -1 && fstat(e->fd, &e->st) == -1)
		return edit_error(e, "%s", strerror(errno));
	if (edit_set_us(e) == -1)
		return -1;
	if ((e->fd != -1 &&
		secretfile_check(e->fd, KEYFILE_MAX_BYTES, e->us, why) == -1) ||
	    secretfile_way(e->path, e->us, e->real, why) == -1)
		return edit_error(e, "%s", why);
	directory_of(e->dir, e->real);
	return 0;
}

/* flock(2) with a deadline. */
static int
edit_lock(struct edit *e)
{
	while (flock(e->fd, LOCK_EX | LOCK_NB) == -1) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return edit_error(
			    e, "cannot be locked: %s", strerror(errno));
		if (monotime_reached(monotime_now(), e->deadline))
			return edit_error(e, "another program keeps it locked");
		poll(NULL, 0, LOCK_RETRY_MS);
	}
	return 0;
}

static bool
edit_is_same(const struct edit *e, int looked, const struct stat *st)
{
	if (looked == -1 || e->fd == -1)
		return looked == -1 && e->fd == -1 && errno == ENOENT;
	return st->st_dev == e->st.st_dev && st->st_ino == e->st.st_ino;
}

/* Nobody has put another file in place, made one, or turned a link. */
static bool
edit_is_current(const struct edit *e)
{
	struct stat st;

	return edit_is_same(e, stat(e->path, &st), &st) &&
	       edit_is_same(e, lstat(e->real, &st), &st);
}

/* The content, checked as ltpd would: as digests, as JSON if wanted. */
static struct keyset *
edit_read(struct edit *e, bool json)
{
	char why[SECRETFILE_ERROR_MAX];
	struct keyset *set;
	size_t len;
	char *text;

	text = secretfile_take(e->fd, KEYFILE_MAX_BYTES, &len, why);
	if (text == NULL) {
		edit_error(e, "%s", why);
		return NULL;
	}
	set = keyfile_parse(e->name, text, len, e->error);
	if (set != NULL && json &&
	    (e->keys = conf_json(text, len, NULL)) == NULL) {
		edit_error(e, "%s", strerror(ENOMEM));
		keyset_free(set);
		set = NULL;
	}
	freezero(text, len);
	return set;
}

/* Lock and read, or begin with nothing. */
static enum edit_result
edit_open(struct edit *e, bool may_be_new)
{
	static const char nothing[] = "{}";
	struct keyset *set;

	if (edit_find(e, may_be_new) == -1)
		return EDIT_FAILED;
	if (e->fd == -1) {
		e->keys = conf_json(nothing, strlen(nothing), NULL);
		if (e->keys == NULL)
			return edit_error(e, "%s", strerror(ENOMEM));
		return EDIT_DONE;
	}
	if (edit_lock(e) == -1)
		return EDIT_FAILED;
	if (!edit_is_current(e))
		return EDIT_AGAIN;
	if ((set = edit_read(e, true)) == NULL)
		return EDIT_FAILED;
	keyset_free(set);
	return EDIT_DONE;
}

/* ---- the new file ---- */

static int
edit_change(struct edit *e, const struct keyedit *k)
{
	bool there = json_object_get(e->keys, k->id) != NULL;
	char id[4 * ID_SHOWN + 1];
	int r;

	log_vis(id, sizeof(id), k->id, strnlen(k->id, ID_SHOWN));
	if (k->op == KEYEDIT_ADD && there)
		return edit_error(e, "id '%s' is there already", id);
	if (k->op != KEYEDIT_ADD && !there)
		return edit_error(e, "there is no id '%s'", id);
	if (k->op == KEYEDIT_REMOVE)
		r = json_object_del(e->keys, k->id);
	else
		r = json_object_set_new(
		    e->keys, k->id, conf_json_string(k->key, strlen(k->key)));
	return r == 0 ? 0 : edit_error(e, "%s", strerror(ENOMEM));
}

/*
 * The new content, to be freed with freezero(3); NULL with the error set.
 * ltpd must not find anything in it that it would refuse.
 */
static char *
edit_print(const struct edit *e, size_t *len)
{
	const size_t flags = JSON_INDENT(INDENT);
	struct keyset *set;
	char *text;

	*len = json_dumpb(e->keys, NULL, 0, flags) + 1;
	if (*len == 1 || (text = malloc(*len)) == NULL) {
		edit_error(e, "%s", strerror(ENOMEM));
		return NULL;
	}
	json_dumpb(e->keys, text, *len, flags);
	text[*len - 1] = '\n';
	set = keyfile_parse(e->name, text, *len, e->error);
	if (set != NULL && *len <= KEYFILE_MAX_BYTES) {
		keyset_free(set);
		return text;
	}
	if (set != NULL)
		edit_error(
		    e, "would be larger than %d bytes", KEYFILE_MAX_BYTES);
	keyset_free(set);
	freezero(text, *len);
	return NULL;
}

static int
write_all(int fd, const char *p, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, p, len);
		if (n == -1 && errno != EINTR)
			return -1;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* Owner, group and mode, of the old file if there is one. */
static int
edit_set_owner(const struct edit *e, int fd)
{
	uid_t nobody = (uid_t)-1;
	struct stat st;

	if (fstat(fd, &st) == -1)
		return -1;
	if (e->fd != -1) {
		if ((st.st_uid != e->st.st_uid || st.st_gid != e->st.st_gid) &&
		    fchown(fd, e->st.st_uid, e->st.st_gid) == -1)
			return -1;
		return fchmod(fd, e->st.st_mode & 07777);
	}
	/* As BSD does it: ltpd may be in the directory's group. */
	if (stat(e->dir, &st) == -1)
		return -1;
	if (fchown(fd, geteuid() == 0 ? e->us : nobody, st.st_gid) == -1 &&
	    errno != EPERM)
		return -1;
	return fchmod(fd, KEYEDIT_NEW_MODE);
}

/* Put the file at fresh in place.  A new one must not replace another. */
static enum edit_result
edit_replace(const struct edit *e, const char *fresh)
{
	if (!edit_is_current(e))
		return EDIT_AGAIN;
	if (e->fd != -1)
		return rename(fresh, e->real) == 0 ? EDIT_DONE : EDIT_FAILED;
	if (link(fresh, e->real) == -1)
		return errno == EEXIST ? EDIT_AGAIN : EDIT_FAILED;
	unlink(fresh);
	return EDIT_DONE;
}

/* The replacement must outlive a power cut, too. */
static int
edit_sync_directory(const struct edit *e)
{
	int fd, r;

	fd = open(e->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Who may only search it, or a file system that cannot, did its best. */
	if (fd == -1)
		return errno == EACCES ? 0 : -1;
	r = fsync(fd);
	if (r == -1 && errno == EINVAL)
		r = 0;
	close(fd);
	return r;
}

static enum edit_result
edit_write(const struct edit *e, const char *text, size_t len)
{
	enum edit_result r = EDIT_FAILED;
	char fresh[PATH_MAX];
	int fd;

	if (strlcpy(fresh, e->dir, sizeof(fresh)) >= sizeof(fresh) ||
	    strlcat(fresh, NEW_NAME, sizeof(fresh)) >= sizeof(fresh)) {
		edit_error(e, "%s", strerror(ENAMETOOLONG));
		return EDIT_FAILED;
	}
	fd = mkostemp(fresh, O_CLOEXEC);
	if (fd == -1) {
		edit_error(
		    e, "cannot make a file in %s: %s", e->dir, strerror(errno));
		return EDIT_FAILED;
	}
	if (edit_set_owner(e, fd) == -1)
		edit_error(e, "cannot give a new one its owner and mode: %s",
		    strerror(errno));
	else if (write_all(fd, text, len) == -1 || fsync(fd) == -1)
		edit_error(e, "cannot write a new one: %s", strerror(errno));
	else if ((r = edit_replace(e, fresh)) == EDIT_FAILED)
		edit_error(e, "cannot be replaced: %s", strerror(errno));
	close(fd);
	if (r != EDIT_DONE)
		unlink(fresh);
	else if (edit_sync_directory(e) == -1)
		r = edit_error(e, "is changed, but a power cut may undo it: %s",
		    strerror(errno));
	return r;
}

/* An interrupt must not leave a file with keys lying about. */
static enum edit_result
edit_commit(const struct edit *e)
{
	enum edit_result r = EDIT_FAILED;
	sigset_t all, old;
	size_t len;
	char *text;

	if ((text = edit_print(e, &len)) == NULL)
		return EDIT_FAILED;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	r = edit_write(e, text, len);
	sigprocmask(SIG_SETMASK, &old, NULL);
	freezero(text, len);
	return r;
}

/* ---- both ---- */

int
keyedit_apply(
    const char *path, const struct keyedit *k, char error[KEYFILE_ERROR_MAX])
{
	struct edit e = { .name = path, .error = error, .fd = -1 };
	enum edit_result r;

	e.deadline = monotime_add_ms(monotime_now(), KEYEDIT_LOCK_MS);
	if (edit_set_path(&e) == -1)
		return -1;
	do {
		r = edit_open(&e, k->op == KEYEDIT_ADD);
		if (r == EDIT_DONE && edit_change(&e, k) == -1)
			r = EDIT_FAILED;
		if (r == EDIT_DONE)
			r = edit_commit(&e);
		edit_close(&e);
		secretfile_wipe_stack();
		if (r == EDIT_AGAIN &&
		    monotime_reached(monotime_now(), e.deadline))
			r = edit_error(&e, "others change it all the time");
	} while (r == EDIT_AGAIN);
	return r == EDIT_DONE ? 0 : -1;
}

struct keyset *
keyedit_list(const char *path, char error[KEYFILE_ERROR_MAX])
{
	struct edit e = { .name = path, .error = error, .fd = -1 };
	struct keyset *set = NULL;

	if (edit_set_path(&e) == 0 && edit_find(&e, false) == 0)
		set = edit_read(&e, false);
	edit_close(&e);
	return set;
}
