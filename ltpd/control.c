/*
 * The control socket.  Who may connect: root, our own uid, or a member of
 * control_group, as the kernel says.
 */
#include "control.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "caller.h"
#include "log.h"
#include "parent.h"

#define CONTROL_BACKLOG    16
#define CONTROL_GROUPS_MAX 128

struct control {
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	gid_t group;
	bool has_group;
	int fd;
	int spare; /* closed to refuse a client when descriptors run out */
	struct event *readable;
	struct callers callers;
};

/* ---- the socket ---- */

/*
 * The directory of the socket: made if it is not there; ours or root's, and
 * nobody else may write to it.
 */
static int
control_check_dir(const char *path, char error[CONTROL_ERROR_MAX])
{
	char copy[PATH_MAX], *dir;
	struct stat st;

	strlcpy(copy, path, sizeof(copy));
	dir = dirname(copy);
	if (mkdir(dir, 0755) == -1 && errno != EEXIST) {
		snprintf(error, CONTROL_ERROR_MAX, "control_socket: %s: %s",
		    dir, strerror(errno));
		return -1;
	}
	if (lstat(dir, &st) == -1) {
		snprintf(error, CONTROL_ERROR_MAX, "control_socket: %s: %s",
		    dir, strerror(errno));
		return -1;
	}
	if (!S_ISDIR(st.st_mode) || (st.st_uid != 0 && st.st_uid != getuid()) ||
	    (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		snprintf(error, CONTROL_ERROR_MAX, "control_socket: %s: %s",
		    dir, "not a directory that only we or root can write to");
		return -1;
	}
	return 0;
}

/* A socket that nobody listens on is what a killed supervisor left. */
static int
control_remove_stale(const struct sockaddr_un *sun)
{
	int fd, live;

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	live = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0;
	if (!live && errno == ECONNREFUSED)
		unlink(sun->sun_path);
	close(fd);
	if (live) {
		errno = EADDRINUSE;
		return -1;
	}
	return 0;
}

static int
control_bind(struct control *c, const struct sockaddr_un *sun)
{
	mode_t old;
	int rv;

	if (control_remove_stale(sun) == -1)
		return -1;
	c->fd =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd == -1)
		return -1;
	old = umask(0117);
	rv = bind(c->fd, (const struct sockaddr *)sun, sizeof(*sun));
	umask(old);
	if (rv == -1) {
		c->path[0] = '\0';
		return -1;
	}
	if (c->has_group && chown(c->path, -1, c->group) == -1)
		log_warn("control_group: %s keeps its group", c->path);
	return listen(c->fd, CONTROL_BACKLOG);
}

struct control *
control_open(const char *path, const char *group, char error[CONTROL_ERROR_MAX])
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct control *c;
	struct group *gr;

	if ((c = calloc(1, sizeof(*c))) == NULL) {
		strlcpy(error, strerror(errno), CONTROL_ERROR_MAX);
		return NULL;
	}
	c->fd = -1;
	c->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	callers_init(&c->callers);
	if (strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) >=
	    sizeof(sun.sun_path)) {
		snprintf(error, CONTROL_ERROR_MAX,
		    "control_socket: %s: longer than %zu bytes", path,
		    sizeof(sun.sun_path) - 1);
		goto fail;
	}
	if (group != NULL) {
		if ((gr = getgrnam(group)) == NULL) {
			snprintf(error, CONTROL_ERROR_MAX,
			    "control_group: no group %s", group);
			goto fail;
		}
		c->group = gr->gr_gid;
		c->has_group = true;
	}
	if (control_check_dir(path, error) == -1)
		goto fail;
	strlcpy(c->path, path, sizeof(c->path));
	if (control_bind(c, &sun) == -1) {
		snprintf(error, CONTROL_ERROR_MAX, "control_socket: %s: %s",
		    path, strerror(errno));
		/* A live socket of that name is not ours to remove. */
		if (errno == EADDRINUSE)
			c->path[0] = '\0';
		goto fail;
	}
	return c;
fail:
	control_free(c);
	return NULL;
}

void
control_free(struct control *c)
{
	if (c == NULL)
		return;
	callers_free(&c->callers);
	if (c->readable != NULL)
		event_free(c->readable);
	if (c->fd != -1)
		close(c->fd);
	if (c->spare != -1)
		close(c->spare);
	if (c->path[0] != '\0')
		unlink(c->path);
	free(c);
}

/* ---- accepting ---- */

static bool
control_is_member(const struct control *c, uid_t uid, gid_t gid)
{
	gid_t groups[CONTROL_GROUPS_MAX];
	int i, n = CONTROL_GROUPS_MAX;
	struct passwd *pw;

	if (!c->has_group)
		return false;
	if (gid == c->group)
		return true;
	if ((pw = getpwuid(uid)) == NULL)
		return false;
	if (getgrouplist(pw->pw_name, pw->pw_gid, groups, &n) == -1)
		n = CONTROL_GROUPS_MAX;
	for (i = 0; i < n; i++) {
		if (groups[i] == c->group)
			return true;
	}
	return false;
}

/*
 * Out of descriptors: a client that nobody accepts would keep the loop busy,
 * so it is accepted in the place of the spare one and let go.
 */
static void
control_shed(struct control *c)
{
	if (c->spare != -1)
		close(c->spare);
	c->spare = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC);
	if (c->spare != -1)
		close(c->spare);
	c->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void
control_accept(int lfd, short what, void *arg)
{
	struct control *c = arg;
	uid_t uid;
	gid_t gid;
	int fd;

	(void)what;
	fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd == -1) {
		if (errno == EMFILE || errno == ENFILE)
			control_shed(c);
		return;
	}
	if (getpeereid(fd, &uid, &gid) == -1 ||
	    (uid != 0 && uid != getuid() && !control_is_member(c, uid, gid))) {
		log_warnx("control: uid %u refused", (unsigned)uid);
		close(fd);
		return;
	}
	caller_new(&c->callers, fd, uid);
}

int
control_start(struct control *c, struct parent *p)
{
	c->callers.parent = p;
	c->readable =
	    event_new(p->base, c->fd, EV_READ | EV_PERSIST, control_accept, c);
	if (c->readable == NULL)
		return -1;
	return event_add(c->readable, NULL);
}

struct callers *
control_callers(struct control *c)
{
	return &c->callers;
}
