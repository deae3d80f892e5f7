/*
 * doctor: the node that runs: what holds its processes, whether its limits
 * suffice, whether its metrics can be had; and without one, whether it could
 * start.
 */
#include "config.h"

#include <sys/socket.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "addr.h"
#include "doctor.h"
#include "ltpctl.h"
#include "monotime.h"
#include "output.h"
#include "sandbox.h"

#define HTTP_TIMEOUT_MS 2000
#define HTTP_HEAD_MAX   512
#define HTTP_VERSION    "HTTP/1.1 "
#define RESERVE         64 /* descriptors of a process beside clients */
#define HOOKS           "+regress-hooks"

/* ---- is there one? ---- */

void
doctor_check_node(const struct doctor *d, struct finding *f)
{
	const struct nodeview *n = &d->node;
	const struct msg_stat *stat = &n->summary.stat;

	if (n->stuck) {
		finding_error(f,
		    "see the log, and restart ltpd; of another version, use "
		    "its own ltpctl",
		    "%s: sandbox, descriptors and metrics were not checked",
		    n->text);
		return;
	}
	if (n->denied) {
		finding_warn(f,
		    "run doctor as the user of ltpd, as root, or as a member "
		    "of control_group",
		    "%s: sandbox, descriptors and metrics were not checked",
		    n->text);
		return;
	}
	if (!n->up) {
		finding_warn(f, "start ltpd",
		    "not running: sandbox, descriptors and metrics were not "
		    "checked");
		return;
	}
	if (strcmp(n->version, LTPD_VERSION) != 0)
		finding_warn(f, "restart ltpd, or use its own ltpctl",
		    "version %s, this ltpctl %s", n->version, LTPD_VERSION);
	if (stat->gauges[GAUGE_WORKERS] < stat->workers_configured)
		finding_warn(f, "see the log",
		    "%" PRIu64 " of %u workers are ready",
		    stat->gauges[GAUGE_WORKERS],
		    (unsigned)stat->workers_configured);
	if (stat->auth_configured && !stat->keys_usable)
		finding_error(f, "see the log: the keys cannot be read",
		    "no key is in use, nobody is let in");
	finding_ok(f, "pid %u, version %s, %u workers",
	    (unsigned)n->summary.pid, n->version,
	    (unsigned)stat->workers_configured);
}

/* ---- what holds its processes ---- */

/*
 * What the kernel says of a process by a line "name:\tvalue" in a file below
 * /proc; -1 where there is none, or it is hidden.
 */
static int64_t
proc_value(uint32_t pid, const char *file, const char *name)
{
	char path[64], line[256];
	int64_t value = -1;
	size_t len = strlen(name);
	FILE *fp;

	snprintf(path, sizeof(path), "/proc/%u/%s", (unsigned)pid, file);
	if ((fp = fopen(path, "re")) == NULL)
		return -1;
	while (value == -1 && fgets(line, sizeof(line), fp) != NULL) {
		if (strncmp(line, name, len) == 0)
			value = strtoll(line + len, NULL, 10);
	}
	fclose(fp);
	return value;
}

/* Seen from another namespace its pid may be somebody else's. */
static bool
proc_is_ours(const struct doctor *d, const struct msg_process *p)
{
	return p->role != ROLE_PARENT &&
	       proc_value(p->pid, "status", "PPid:") == d->node.summary.pid;
}

static bool
is_confined(const struct doctor *d, const struct msg_process *p)
{
	/* A filter would be inherited by those that it starts. */
	int64_t want = p->role == ROLE_PARENT ? 0 : 2;
	int64_t seccomp = p->seccomp, nnp = p->no_new_privs;

	if (p->mechanism == SANDBOX_PLEDGE)
		return true;
	if (proc_is_ours(d, p)) {
		seccomp = proc_value(p->pid, "status", "Seccomp:");
		nnp = proc_value(p->pid, "status", "NoNewPrivs:");
	}
	return p->mechanism != SANDBOX_NONE && seccomp >= want && nnp == 1 &&
	       p->dumpable == 0;
}

static void
judge_process(
    const struct doctor *d, const struct msg_process *p, struct finding *f)
{
	char name[OUTPUT_NUM_MAX], sandbox[OUTPUT_LINE_MAX];

	output_process_name(name, p);
	output_sandbox(sandbox, p);
	if (p->pid == 0 || p->state == CHILD_STARTING)
		finding_warn(f, "see the log", "%s is not running", name);
	else if (!is_confined(d, p))
		finding_error(f, "install a build with its sandbox",
		    "%s is not in its sandbox: %s", name, sandbox);
	else if (p->mechanism != SANDBOX_PLEDGE && p->landlock_abi == 0)
		finding_warn(f,
		    d->conf->landlock_optional ? "use a kernel with Landlock"
					       : "restart ltpd",
		    "%s has no Landlock", name);
}

void
doctor_check_sandbox(const struct doctor *d, struct finding *f)
{
	const struct nodeview_process *p;
	size_t n = 0;

	if (strstr(d->node.version, HOOKS) != NULL)
		finding_error(f, "install a build without them",
		    "built with regress hooks, for tests alone");
	TAILQ_FOREACH(p, &d->node.processes, entry) {
		judge_process(d, &p->p, f);
		n++;
	}
	if (d->conf->landlock_optional)
		finding_warn(f, "unset landlock_optional",
		    "landlock_optional: a kernel without Landlock would do");
	finding_ok(f, "all %zu processes", n);
}

/* ---- descriptors ---- */

void
doctor_check_descriptors(const struct doctor *d, struct finding *f)
{
	const char *advice = "raise the limit (ulimit -n, LimitNOFILE=), or "
			     "lower max_connections";
	const struct nodeview_process *p;
	int64_t limit = -1, wanted, workers = d->conf->workers;

	TAILQ_FOREACH(p, &d->node.processes, entry) {
		if (p->p.role == ROLE_WORKER && limit == -1 &&
		    proc_is_ours(d, &p->p))
			limit =
			    proc_value(p->p.pid, "limits", "Max open files");
	}
	if (limit == -1) {
		finding_ok(f, "the system does not tell the limit");
		return;
	}
	wanted = d->conf->max_connections;
	if (d->conf->distributed.enabled)
		wanted += d->conf->distributed.max_connections;
	if ((limit - RESERVE) * workers < wanted)
		finding_warn(f, advice,
		    "%" PRId64 " for each of %" PRId64 " workers, %" PRId64
		    " connections allowed",
		    limit, workers, wanted);
	else
		finding_ok(f,
		    "%" PRId64 " for each of %" PRId64 " workers, %" PRId64
		    " connections allowed",
		    limit, workers, wanted);
}

/* ---- metrics ---- */

bool
doctor_wait(int fd, short events, struct monotime deadline)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	int64_t left = monotime_diff_ms(deadline, monotime_now());

	return poll(&pfd, 1, left > 0 ? (int)left : 0) == 1;
}

int
doctor_dial(const char *text, struct monotime deadline)
{
	struct sockaddr_storage ss;
	socklen_t len, size = sizeof(int);
	struct addr addr;
	int error = 0, fd;

	if (addr_parse(&addr, text) == -1) {
		errno = EINVAL;
		return -1;
	}
	len = addr_to_sockaddr(&addr, &ss);
	fd =
	    socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1 || connect(fd, (struct sockaddr *)&ss, len) == 0)
		return fd;
	error = errno;
	if (error == EINPROGRESS && !doctor_wait(fd, POLLOUT, deadline))
		error = ETIMEDOUT;
	else if (error == EINPROGRESS)
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error == 0)
		return fd;
	close(fd);
	errno = error;
	return -1;
}

/* The status of an answer to GET; -1 with errno. */
static int
http_status(const char *address, const char *path)
{
	struct monotime deadline;
	char buf[HTTP_HEAD_MAX] = "";
	int fd, n, status = -1;
	size_t len = 0;
	ssize_t got;

	deadline = monotime_add_ms(monotime_now(), HTTP_TIMEOUT_MS);
	if ((fd = doctor_dial(address, deadline)) == -1)
		return -1;
	n = snprintf(buf, sizeof(buf),
	    "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path,
	    address);
	errno = ETIMEDOUT;
	if (send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
		goto done;
	while (len < strlen(HTTP_VERSION "200 ")) {
		if (!doctor_wait(fd, POLLIN, deadline))
			goto done;
		got = recv(fd, buf + len, sizeof(buf) - 1 - len, 0);
		if (got <= 0)
			goto done;
		len += (size_t)got;
		buf[len] = '\0';
	}
	errno = EPROTO;
	if (strncmp(buf, HTTP_VERSION, strlen(HTTP_VERSION)) == 0 &&
	    strspn(buf + strlen(HTTP_VERSION), "0123456789") == 3)
		status = (int)strtol(buf + strlen(HTTP_VERSION), NULL, 10);
done:
	close(fd);
	return status;
}

void
doctor_check_metrics(const struct doctor *d, struct finding *f)
{
	const char *scheme = "http://", *address = d->conf->metrics_addr;
	const struct nodeview_listener *l;
	int status;

	TAILQ_FOREACH(l, &d->node.listeners, entry) {
		if (strcmp(l->kind, "metrics") == 0 &&
		    strncmp(l->url, scheme, strlen(scheme)) == 0)
			address = l->url + strlen(scheme);
	}
	status = http_status(address, "/health");
	if (status == -1)
		finding_error(f, "see the log, and show processes", "%s: %s",
		    address, strerror(errno));
	else if (status != 200)
		finding_error(f, "GET /health there tells why",
		    "%s: the node is not healthy: %d", address, status);
	else
		finding_ok(f, "%s: healthy", address);
}

/* ---- could it start? ---- */

static void
judge_port(struct finding *f, const char *text)
{
	struct sockaddr_storage ss;
	struct addr addr;
	socklen_t len;
	int fd, on = 1;

	if (text == NULL || addr_parse(&addr, text) == -1)
		return;
	len = addr_to_sockaddr(&addr, &ss);
	if ((fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    bind(fd, (struct sockaddr *)&ss, len) == -1)
		finding_error(f, "end what has it, or listen elsewhere",
		    "%s: %s", text, strerror(errno));
	else
		finding_ok(f, "%s", text);
	if (fd != -1)
		close(fd);
}

void
doctor_check_ports(const struct doctor *d, struct finding *f)
{
	size_t i;

	for (i = 0; i < d->conf->addr.count; i++)
		judge_port(f, d->conf->addr.item[i]);
	judge_port(f, d->conf->metrics_addr);
	if (d->conf->distributed.enabled)
		judge_port(f, d->conf->distributed.bind_addr);
}
