/*
 * Talking to the service manager that started the node, if one did.
 */
#include "notify.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOTIFY_FIRST_FD 3

/* Written once by notify_init(), before any child. */
static struct sockaddr_un notify_addr;
static socklen_t notify_addrlen;
static bool notify_watched;

/* Whether the manager wants signs of life, and from this process. */
static void
notify_init_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	const char *error = NULL;

	if (usec != NULL)
		strtonum(usec, 1, LLONG_MAX, &error);
	notify_watched = usec != NULL && error == NULL;
	if (pid != NULL && strtonum(pid, 1, INT_MAX, &error) != getpid())
		notify_watched = false;
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void
notify_init(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len;

	notify_init_watchdog();
	if (path == NULL)
		return;
	len = strlen(path);
	if ((path[0] == '/' || path[0] == '@') && len > 1 &&
	    len < sizeof(notify_addr.sun_path)) {
		notify_addr.sun_family = AF_UNIX;
		memcpy(notify_addr.sun_path, path, len);
		/* An abstract address begins with a NUL and has no end. */
		if (path[0] == '@')
			notify_addr.sun_path[0] = '\0';
		notify_addrlen = offsetof(struct sockaddr_un, sun_path) + len +
				 (path[0] == '/' ? 1 : 0);
	}
	unsetenv("NOTIFY_SOCKET");
}

bool
notify_expected(void)
{
	return notify_addrlen != 0;
}

void
notify_watchdog(void)
{
	if (notify_watched)
		notify_send("WATCHDOG=1");
}

void
notify_send(const char *fmt, ...)
{
	char state[256];
	va_list ap;
	int fd;

	if (notify_addrlen == 0)
		return;
	va_start(ap, fmt);
	vsnprintf(state, sizeof(state), fmt, ap);
	va_end(ap);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return;
	sendto(fd, state, strlen(state), MSG_NOSIGNAL,
	    (const struct sockaddr *)&notify_addr, notify_addrlen);
	close(fd);
}

static int
notify_check_fd(int fd)
{
	socklen_t len = sizeof(int);
	int listening = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == -1 ||
	    !listening) {
		errno = EBADF;
		return -1;
	}
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)
		return -1;
	return fcntl(fd, F_SETFL, O_NONBLOCK);
}

static int
notify_count(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	const char *error;
	long long n;

	if (pid == NULL || fds == NULL)
		return 0;
	n = strtonum(pid, 1, INT_MAX, &error);
	if (error != NULL || n != getpid())
		return 0;
	n = strtonum(fds, 1, NOTIFY_FDS_MAX, &error);
	if (error != NULL) {
		errno = E2BIG;
		return -1;
	}
	return (int)n;
}

int
notify_listen_fds(int fds[NOTIFY_FDS_MAX], char names[NOTIFY_FDS_MAX][32])
{
	const char *list = getenv("LISTEN_FDNAMES");
	char *copy = NULL, *rest, *name;
	int i, n;

	if ((n = notify_count()) <= 0)
		goto out;
	if (list != NULL && (copy = strdup(list)) == NULL) {
		n = -1;
		goto out;
	}
	rest = copy;
	for (i = 0; i < n; i++) {
		name = rest == NULL ? NULL : strsep(&rest, ":");
		strlcpy(names[i], name == NULL ? "unknown" : name, 32);
		fds[i] = NOTIFY_FIRST_FD + i;
		if (notify_check_fd(fds[i]) == -1) {
			n = -1;
			goto out;
		}
	}
out:
	free(copy);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return n;
}
