/*
 * Making a child, and a child's first steps.
 */
#include "config.h"

#include "child.h"

#include <sys/socket.h>
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

#include "hooks.h"
#include "log.h"
#include "procinfo.h"
#include "sandbox.h"

struct child_program {
	const char *name;
	const char *folder; /* of the build tree */
	char path[PATH_MAX];
};

static struct child_program programs[] = {
	{ "ltp-worker", "ltp-worker", "" },
	{ "ltp-auth", "ltp-auth", "" },
	{ "ltp-metrics", "ltp-metrics", "" },
	{ "ltp-audit", "ltp-audit", "" },
#ifdef LTPD_DISTRIBUTED
	{ "ltp-worker-tls", "ltp-worker", "" },
	{ "ltp-sign", "ltp-sign", "" },
#endif
};

#define PROGRAMS (sizeof(programs) / sizeof(programs[0]))

static struct child_program *
child_program(const char *name)
{
	size_t i;

	for (i = 0; i < PROGRAMS; i++) {
		if (strcmp(programs[i].name, name) == 0)
			return &programs[i];
	}
	return NULL;
}

/*
 * The top of the build tree that argv0 lies in, or -1: its folder is called
 * ltpd and has a neighbour ltp-worker with a program of that name.
 */
static int
child_build_tree(const char *argv0, char top[PATH_MAX])
{
	char self[PATH_MAX], probe[PATH_MAX + 32], *dir;

	if (strchr(argv0, '/') == NULL || realpath(argv0, self) == NULL)
		return -1;
	dir = dirname(self);
	if (strlen(dir) < 5 || strcmp(dir + strlen(dir) - 5, "/ltpd") != 0)
		return -1;
	dir[strlen(dir) - 5] = '\0';
	snprintf(probe, sizeof(probe), "%s/ltp-worker/ltp-worker", dir);
	if (access(probe, X_OK) == -1)
		return -1;
	strlcpy(top, dir, PATH_MAX);
	return 0;
}

int
child_paths_init(const char *argv0)
{
	char top[PATH_MAX];
	struct child_program *p;
	bool tree = child_build_tree(argv0, top) == 0;
	size_t i;
	int n;

	for (i = 0; i < PROGRAMS; i++) {
		p = &programs[i];
		if (tree)
			n = snprintf(p->path, sizeof(p->path), "%s/%s/%s", top,
			    p->folder, p->name);
		else
			n = snprintf(p->path, sizeof(p->path), "%s/%s",
			    LIBEXECDIR, p->name);
		if (n < 0 || (size_t)n >= sizeof(p->path)) {
			errno = ENAMETOOLONG;
			return -1;
		}
	}
	return 0;
}

const char *
child_path(size_t i)
{
	return i < PROGRAMS ? programs[i].path : NULL;
}

/*
 * In the child, between fork and exec: descriptors 0 and 1 are /dev/null, 2
 * stays, 3 is the channel, nothing else is open.
 */
static _Noreturn void
child_exec(const struct child_program *p, unsigned slot, int fd, pid_t parent)
{
	char name[32], slot_text[16], parent_text[16], demand[32];
	char *argv[] = { name, slot_text, parent_text, demand, NULL };
	char *envp[] = { NULL };
	sigset_t none;
	int null;

	strlcpy(name, p->name, sizeof(name));
	snprintf(slot_text, sizeof(slot_text), "%u", slot);
	snprintf(parent_text, sizeof(parent_text), "%ld", (long)parent);
	strlcpy(demand, sandbox_demanded(), sizeof(demand));
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(fd, CHILD_CHANNEL_FD) == -1)
		goto fail;
	if (fd == CHILD_CHANNEL_FD && fcntl(fd, F_SETFD, 0) == -1)
		goto fail;
	closefrom(CHILD_CHANNEL_FD + 1);
	if ((null = open("/dev/null", O_RDWR)) == -1)
		goto fail;
	if (dup2(null, STDIN_FILENO) == -1 || dup2(null, STDOUT_FILENO) == -1)
		goto fail;
	close(null);
	execve(p->path, argv, envp);
fail:
	dprintf(STDERR_FILENO, "ltpd: cannot run %s: %s\n", p->path,
	    strerror(errno));
	_exit(127);
}

pid_t
child_spawn(const char *program, unsigned slot, int *chan_fd)
{
	struct child_program *p = child_program(program);
	pid_t pid, parent = getpid();
	int sv[2];

	if (p == NULL) {
		errno = EINVAL;
		return -1;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		0, sv) == -1)
		return -1;
	switch (pid = fork()) {
	case -1:
		close(sv[0]);
		close(sv[1]);
		return -1;
	case 0:
		child_exec(p, slot, sv[1], parent);
	default:
		close(sv[1]);
		*chan_fd = sv[0];
		return pid;
	}
}

unsigned
child_start(enum role role, int argc, char *argv[])
{
	struct stat st;
	const char *error;
	unsigned slot;
	int parent;

	log_init(role_name(role), LEVEL_INFO);
	if (argc != 4 || fstat(CHILD_CHANNEL_FD, &st) == -1 ||
	    !S_ISSOCK(st.st_mode)) {
		fprintf(stderr, "%s: this program is started by ltpd(8)\n",
		    role_name(role));
		exit(1);
	}
	slot = strtonum(argv[1], 0, UINT16_MAX, &error);
	if (error != NULL)
		fatalx("slot is %s: %s", error, argv[1]);
	parent = (int)strtonum(argv[2], 1, INT_MAX, &error);
	if (error != NULL)
		fatalx("parent is %s: %s", error, argv[2]);
	if (sandbox_demand(argv[3]) == -1)
		fatalx("no such sandbox: %s", argv[3]);
	if (sandbox_harden(parent) == -1) {
		if (errno == ESRCH)
			exit(0);
		fatal("cannot harden the process");
	}
	if (fcntl(CHILD_CHANNEL_FD, F_SETFD, FD_CLOEXEC) == -1)
		fatal("channel");
	signal(SIGPIPE, SIG_IGN);
	/*
	 * The supervisor decides when a child ends, neither a terminal nor a
	 * service manager that signals the whole group.
	 */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	return slot;
}

void
child_enter(enum role role, struct chan *parent)
{
	struct sandbox_state state;
	struct msg_ready ready;
	int fds[PROCINFO_FDS];
	const char *why;
	size_t nfds;

	hooks_arm(chan_base(parent));
	nfds = procinfo_open(fds);
	if (sandbox_enter(role, &why) == -1)
		fatal("sandbox: %s", why);
	sandbox_report(&state);
	memset(&ready, 0, sizeof(ready));
	ready.mechanism = state.mechanism;
	ready.landlock_abi = state.landlock_abi;
	ready.no_new_privs = state.no_new_privs;
	ready.dumpable = state.dumpable;
	ready.uid = getuid();
	ready.landlock_fs = state.landlock_fs;
	ready.landlock_net = state.landlock_net;
	ready.landlock_scope = state.landlock_scope;
	if (chan_send_fds(
		parent, MSG_READY, fds, nfds, &ready, sizeof(ready)) == -1)
		fatal("channel");
}

void
child_accuse(struct chan *parent, const struct msg_peer *peer)
{
	chan_send(parent, MSG_PEER_LIED, peer, sizeof(*peer), NULL, 0);
}

void
child_pong(struct chan *parent)
{
	chan_send(parent, MSG_PONG, NULL, 0, NULL, 0);
}

void
child_log_level(const struct msg *m)
{
	struct msg_log_level level;

	memcpy(&level, m->data, sizeof(level));
	log_set_level(level.level);
}

void
child_parent_gone(struct chan *ch, enum chan_end end)
{
	if (end == CHAN_VIOLATION)
		fatalx("supervisor: %s", chan_violation(ch));
	exit(0);
}
