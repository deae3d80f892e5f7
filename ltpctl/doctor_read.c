/*
 * doctor: files as ltpd would read them: by its rules, and with the eyes of
 * its user.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"

bool
doctor_is_other(const struct doctor *d)
{
	return !d->node.up || geteuid() != d->us;
}

void
doctor_cannot_open(
    const struct doctor *d, struct finding *f, const char *path, int error)
{
	if (error == EACCES && geteuid() != 0 && doctor_is_other(d))
		finding_warn(f, DOCTOR_ADVISE_USER,
		    "%s: uid %lu may not read it", path,
		    (unsigned long)geteuid());
	else
		finding_error(f,
		    error == ENOENT ? "put it there, or correct the path"
				    : DOCTOR_ADVISE_OPEN,
		    "%s: %s", path, strerror(error));
}

/*
 * Root reads everything, so a child tries it as that user, which knows about
 * groups, directories and access control lists.  Returns an errno, 0: it can,
 * or nobody knows.
 */
static int
open_as(uid_t uid, const char *path)
{
	const struct passwd *pw = getpwuid(uid);
	gid_t gid = pw == NULL ? (gid_t)uid : pw->pw_gid;
	int status;
	pid_t pid;

	if ((pid = fork()) == -1)
		return 0;
	if (pid == 0) {
		if ((pw == NULL ? setgroups(1, &gid)
				: initgroups(pw->pw_name, gid)) == -1 ||
		    setgid(gid) == -1 || setuid(uid) == -1)
			_exit(0);
		_exit(secretfile_open(path) == -1 ? errno : 0);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 0;
	return WEXITSTATUS(status);
}

/*
 * The user of the node.  Of one that is down root does not know it: the owner
 * of the file, or of its directory, as for the verbs that write such files.
 */
static uid_t
user_of(const struct doctor *d, int fd, const char *path)
{
	char buf[PATH_MAX];
	struct stat st;

	if (d->us != 0)
		return d->us;
	if (fstat(fd, &st) == 0 && st.st_uid != 0)
		return st.st_uid;
	if (strlcpy(buf, path, sizeof(buf)) < sizeof(buf) &&
	    stat(dirname(buf), &st) == 0)
		return st.st_uid;
	return 0;
}

/* What keeps that user from reading what root has opened: an errno, or 0. */
static int
user_cannot_open(uid_t us, int fd, const char *path)
{
	struct stat st;

	if (geteuid() != 0)
		return 0;
	if (us != 0)
		return open_as(us, path);
	/* Whoever it will be, ltpd refuses to be root. */
	if (fstat(fd, &st) == 0 && (st.st_mode & (S_IRGRP | S_IROTH)) == 0)
		return EACCES;
	return 0;
}

char *
doctor_read(const struct doctor *d, struct finding *f, const char *path,
    doctor_rules *check, size_t max, size_t *len)
{
	char why[SECRETFILE_ERROR_MAX], real[PATH_MAX], *text = NULL;
	int error = 0, fd;
	uid_t us;

	if ((fd = secretfile_open(path)) == -1) {
		doctor_cannot_open(d, f, path, errno);
		return NULL;
	}
	us = user_of(d, fd, path);
	if (check(fd, max, us, why) == 0 &&
	    secretfile_way(path, us, real, why) == 0 &&
	    (error = user_cannot_open(us, fd, path)) == 0)
		text = secretfile_take(fd, max, len, why);
	if (error != 0)
		doctor_cannot_open(d, f, path, error);
	else if (text == NULL)
		finding_error(f, DOCTOR_ADVISE_OPEN, "%s: %s", path, why);
	close(fd);
	return text;
}
