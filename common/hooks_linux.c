/*
 * The steps that a sandbox must not allow, really taken, each with arguments
 * that would do harm if it did.  What a call answered is logged; of a process
 * that dies of it the supervisor has the last word.
 */
#include "hooks.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <linux/openat2.h>
#include <linux/sched.h>
#include <netinet/in.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

#define FILE_READ    "/etc/passwd"
#define FILE_WRITTEN "/tmp/ltpd-regress-hook"

/* What a step needs and could not get when it is taken. */
static struct {
	pid_t parent;
	int pidfd; /* of the parent */
	int inet; /* TCP */
	int local; /* AF_UNIX */
} armed;

/* Each returns -1 with errno when it was refused. */

static long
step_open(void)
{
	return open(FILE_READ, O_RDONLY | O_CLOEXEC);
}

static long
step_openat2(void)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC };

	return syscall(SYS_openat2, AT_FDCWD, FILE_READ, &how, sizeof(how));
}

static long
step_create(void)
{
	return open(FILE_WRITTEN, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static long
step_read_parents_memory(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%ld/mem", (long)armed.parent);
	return open(path, O_RDWR | O_CLOEXEC);
}

static long
step_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long
step_with_address(int (*fn)(int, const struct sockaddr *, socklen_t), int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr = { htonl(INADDR_LOOPBACK) } };

	return fn(armed.inet, (const struct sockaddr *)&sin, sizeof(sin));
}

static long
step_connect(void)
{
	return step_with_address(connect, 9);
}

static long
step_bind(void)
{
	return step_with_address(bind, 0);
}

/* The test listens there. */
static long
step_abstract_socket(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int n;

	n = snprintf(
	    sun.sun_path + 1, sizeof(sun.sun_path) - 1, "ltpd-regress-hook");
	return connect(armed.local, (const struct sockaddr *)&sun,
	    offsetof(struct sockaddr_un, sun_path) + 1 + (socklen_t)n);
}

/* Only what returns from execve(2) can tell; who does not is gone. */
static long
step_execve(void)
{
	char name[] = "true";
	char *argv[] = { name, NULL }, *envp[] = { NULL };

	return execve("/bin/true", argv, envp);
}

static long
step_child(long pid)
{
	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, 0);
	return pid;
}

static long
step_fork(void)
{
	return step_child(fork());
}

static long
step_clone3(void)
{
	struct clone_args args = { .exit_signal = SIGCHLD };

	return step_child(syscall(SYS_clone3, &args, sizeof(args)));
}

static long
step_kill_parent(void)
{
	return kill(armed.parent, 0);
}

static long
step_ptrace_parent(void)
{
	return ptrace(PTRACE_SEIZE, armed.parent, 0, 0);
}

static long
step_write_parents_memory(void)
{
	char bytes[16] = "x";
	struct iovec local = { bytes, sizeof(bytes) };
	struct iovec remote = { environ, sizeof(bytes) };

	return process_vm_writev(armed.parent, &local, 1, &remote, 1, 0);
}

static long
step_steal_parents_descriptor(void)
{
	return syscall(SYS_pidfd_getfd, armed.pidfd, 0, 0);
}

static long
step_mmap_executable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : 0;
}

static long
step_mprotect_executable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static long
step_io_uring(void)
{
	char params[256] = "";

	return syscall(SYS_io_uring_setup, 1, params);
}

static long
step_userfaultfd(void)
{
	return syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* user mode only */);
}

static long
step_memfd(void)
{
	return syscall(SYS_memfd_create, "hook", 0);
}

static long
step_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long
step_unshare(void)
{
	return unshare(CLONE_NEWUSER);
}

static long
step_terminal_input(void)
{
	return ioctl(STDIN_FILENO, TIOCSTI, "x");
}

static long
step_sigaction(void)
{
	return signal(SIGSYS, SIG_IGN) == SIG_ERR ? -1 : 0;
}

#ifdef __x86_64__
/* getpid() by the numbers of other architectures. */
static long
step_i386(void)
{
	long rv;

	__asm__ volatile("int $0x80" : "=a"(rv) : "a"(20) : "memory");
	return rv;
}

static long
step_x32(void)
{
	return syscall(0x40000000L | SYS_getpid);
}
#endif

/* Not forbidden; the watchdog is there for it. */
static long
step_spin(void)
{
	volatile bool forever = true;

	while (forever)
		continue;
	return 0;
}

static const struct step {
	const char *name;
	long (*take)(void);
} steps[] = {
	{ "open", step_open },
	{ "openat2", step_openat2 },
	{ "create", step_create },
	{ "read_parents_memory", step_read_parents_memory },
	{ "socket", step_socket },
	{ "connect", step_connect },
	{ "bind", step_bind },
	{ "abstract_socket", step_abstract_socket },
	{ "execve", step_execve },
	{ "fork", step_fork },
	{ "clone3", step_clone3 },
	{ "kill_parent", step_kill_parent },
	{ "ptrace_parent", step_ptrace_parent },
	{ "write_parents_memory", step_write_parents_memory },
	{ "steal_parents_descriptor", step_steal_parents_descriptor },
	{ "mmap_executable", step_mmap_executable },
	{ "mprotect_executable", step_mprotect_executable },
	{ "io_uring", step_io_uring },
	{ "userfaultfd", step_userfaultfd },
	{ "memfd", step_memfd },
	{ "dumpable", step_dumpable },
	{ "unshare", step_unshare },
	{ "terminal_input", step_terminal_input },
	{ "sigaction", step_sigaction },
#ifdef __x86_64__
	{ "i386", step_i386 },
	{ "x32", step_x32 },
#endif
	{ "spin", step_spin },
};

#define STEPS (sizeof(steps) / sizeof(steps[0]))

static void
hooks_take(int sig, short what, void *arg)
{
	const struct step *step = arg;

	(void)sig;
	(void)what;
	if (step->take() == -1)
		log_warn("hook: %s: refused", step->name);
	else
		log_warnx("hook: %s: done", step->name);
}

void
hooks_arm(struct event_base *base)
{
	struct event *ev;
	size_t i;

	armed.parent = getppid();
	armed.pidfd = (int)syscall(SYS_pidfd_open, armed.parent, 0);
	armed.inet = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	armed.local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	for (i = 0; i < STEPS; i++) {
		ev = evsignal_new(base, SIGRTMIN + (int)i, hooks_take,
		    (void *)(uintptr_t)&steps[i]);
		if (ev == NULL || evsignal_add(ev, NULL) == -1)
			fatal("hook: %s", steps[i].name);
	}
}

const char *
hooks_text(void)
{
	static char text[512];
	size_t i;

	text[0] = '\0';
	for (i = 0; i < STEPS; i++) {
		if (i > 0)
			strlcat(text, " ", sizeof(text));
		strlcat(text, steps[i].name, sizeof(text));
	}
	return text;
}
