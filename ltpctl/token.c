/*
 * token generate: make a token for the remote listener, into a new file that
 * nobody else can read.  What is there is never overwritten: to rotate,
 * rename the new file over the old one.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keyedit.h"
#include "keyfile.h"
#include "ltpctl.h"
#include "output_json.h"
#include "token.h"

#define TOKEN_MODE       0600
#define TOKEN_MODE_GROUP 0640
#define TOKEN_MAX        (LTP_ID_MAX + 1 + KEYEDIT_KEY_SIZE + 1)

/*
 * Root makes it for whom the directory belongs to, and in a directory of root's
 * own for its group.  The umask may have taken away what is needed.
 */
static int
token_give(int fd, const char *path)
{
	mode_t mode = TOKEN_MODE;
	char copy[PATH_MAX];
	struct stat st;

	if (geteuid() == 0) {
		strlcpy(copy, path, sizeof(copy));
		if (stat(dirname(copy), &st) == -1 ||
		    fchown(fd, st.st_uid, st.st_gid) == -1)
			return -1;
		if (st.st_uid == 0)
			mode = TOKEN_MODE_GROUP;
	}
	return fchmod(fd, mode);
}

static int
token_put(int fd, const char *token, size_t len)
{
	ssize_t n = write(fd, token, len);

	if (n >= 0 && (size_t)n < len) {
		errno = ENOSPC;
		return -1;
	}
	return n == -1 ? -1 : fsync(fd);
}

/* 0, or -1 with errno and no file. */
static int
token_write(const char *path, const char *token, size_t len)
{
	int fd, saved;

	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, TOKEN_MODE);
	if (fd == -1)
		return -1;
	if (token_give(fd, path) == -1 || token_put(fd, token, len) == -1) {
		saved = errno;
		close(fd);
		unlink(path);
		errno = saved;
		return -1;
	}
	close(fd);
	return 0;
}

static int
token_print_json(const char *id, const char *path, char *token, size_t len)
{
	json_t *o = output_json_object();

	output_json_bool(o, "ok", true);
	if (id != NULL)
		output_json_str(o, "id", id);
	/* A secret in a file need not be on a screen, too. */
	if (path != NULL) {
		output_json_str(o, "file", path);
	} else {
		token[len - 1] = '\0';
		output_json_str(o, "token", token);
	}
	output_json_print(stdout, o);
	putchar('\n');
	json_decref(o);
	return LTPCTL_OK;
}

/* "id:secret" or "secret", and a newline.  The length, 0 with errno. */
static size_t
token_make(const char *id, char token[TOKEN_MAX])
{
	char secret[KEYEDIT_KEY_SIZE];
	int n;

	if (keyedit_generate(secret) == -1)
		return 0;
	n = snprintf(token, TOKEN_MAX, "%s%s%s\n", id == NULL ? "" : id,
	    id == NULL ? "" : ":", secret);
	explicit_bzero(secret, sizeof(secret));
	return (size_t)n;
}

/* It travels in a header, and its end is the first colon. */
static bool
id_is_good(const char *id)
{
	size_t i;

	for (i = 0; id[i] != '\0'; i++) {
		if (id[i] <= ' ' || id[i] > '~' || id[i] == ':')
			return false;
	}
	return i > 0 && i <= LTP_ID_MAX;
}

int
token_generate_run(struct ltpctl *ctl)
{
	const char *path = ctl->key_output, *id = ctl->id;
	char token[TOKEN_MAX];
	int status = LTPCTL_OK;
	size_t len;

	if (id != NULL && !id_is_good(id))
		return ltpctl_fail(ctl,
		    "the id of a token is printable, without blanks and "
		    "colons");
	if ((len = token_make(id, token)) == 0)
		return ltpctl_fail(ctl, "no random bytes: %s", strerror(errno));
	/* No buffer of stdio keeps it. */
	setvbuf(stdout, NULL, _IONBF, 0);
	/* A limit on the size of files is an error like any other. */
	signal(SIGXFSZ, SIG_IGN);
	if (path != NULL && token_write(path, token, len) == -1)
		status = ltpctl_fail(ctl, "%s: %s", path, strerror(errno));
	else if (ctl->json)
		status = token_print_json(id, path, token, len);
	else if (path == NULL && fwrite(token, 1, len, stdout) != len)
		status = ltpctl_fail(ctl, "stdout: %s", strerror(errno));
	explicit_bzero(token, sizeof(token));
	return status;
}
