/*
 * The sandbox: every forbidden call is really made, in a child that entered
 * the sandbox of a role, and must kill it (or be refused, where the policy
 * says so); what a role lives on must work.  Run as root, the children become
 * nobody first.
 */
#include "unit.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "digest.h"
#include "filter.h"
#include "sandbox.h"

#define NOBODY       65534
#define PLAIN_CALLS  61 /* rows of a worker's list */
#define TIMEOUT_SECS 30 /* a child that hangs dies of SIGALRM */

/*
 * A sanitizer asks for the signal stack wherever a process may end, and looks
 * for leaks from another process, both of which the sandbox forbids.  So the
 * children leave by call; what is about libc's own ways to allocate and to end
 * is left to other builds.
 */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#endif

#define ALL (ROLE_WORKER | ROLE_AUTH | ROLE_METRICS | ROLE_AUDIT | ROLE_SIGN)

static const struct {
	enum role role;
	const char *name;
} roles[] = {
	{ ROLE_WORKER, "worker" },
	{ ROLE_AUTH, "auth" },
	{ ROLE_METRICS, "metrics" },
	{ ROLE_AUDIT, "audit" },
	{ ROLE_SIGN, "sign" },
};

/* What a process has before it enters. */
struct before {
	struct event_base *base; /* left by SIGUSR1 */
	struct event *usr1;
	pid_t parent;
	int channel[2]; /* SOCK_SEQPACKET, [0] is the child's */
	int stream[2]; /* SOCK_STREAM, likewise */
	int listener; /* TCP, on loopback */
	int dialled; /* TCP, connected to it */
	int outside; /* AF_UNIX datagrams, on an abstract name */
	int datagram; /* AF_UNIX datagrams, not connected */
	int memory; /* a memfd of a page */
	void *page;
	struct sockaddr_in address; /* of the listener */
	struct sockaddr_un abstract;
};

/* ---- running a child ---- */

static void
leave(int code)
{
	syscall(SYS_exit_group, code);
}

static void
drop_privileges(void)
{
	if (getuid() != 0)
		return;
	if (setresgid(NOBODY, NOBODY, NOBODY) == -1 ||
	    setresuid(NOBODY, NOBODY, NOBODY) == -1)
		leave(99);
}

static int
before_sockets(struct before *b)
{
	socklen_t len = sizeof(b->address);

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, b->channel) == -1 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, b->stream) == -1)
		return -1;
	b->listener = socket(AF_INET, SOCK_STREAM, 0);
	b->dialled = socket(AF_INET, SOCK_STREAM, 0);
	b->address.sin_family = AF_INET;
	b->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(b->listener, (struct sockaddr *)&b->address, len) == -1 ||
	    listen(b->listener, 8) == -1 ||
	    getsockname(b->listener, (struct sockaddr *)&b->address, &len) ==
		-1 ||
	    connect(b->dialled, (struct sockaddr *)&b->address, len) == -1)
		return -1;

	/* No name: the kernel chooses one. */
	b->outside = socket(AF_UNIX, SOCK_DGRAM, 0);
	b->datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
	b->abstract.sun_family = AF_UNIX;
	len = sizeof(sa_family_t);
	if (bind(b->outside, (struct sockaddr *)&b->abstract, len) == -1)
		return -1;
	len = sizeof(b->abstract);
	return getsockname(b->outside, (struct sockaddr *)&b->abstract, &len);
}

static void
loop_signal(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

static void
before_enter(struct before *b)
{
	uint8_t buf[EVP_MAX_MD_SIZE];

	drop_privileges();
	memset(b, 0, sizeof(*b));
	b->parent = getppid();
	b->base = event_base_new();
	b->usr1 = evsignal_new(b->base, SIGUSR1, loop_signal, b->base);
	signal(SIGXFSZ, SIG_IGN);
	b->memory = memfd_create("test", MFD_ALLOW_SEALING);
	b->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (event_add(b->usr1, NULL) == -1 || b->memory == -1 ||
	    b->page == MAP_FAILED || ftruncate(b->memory, 4096) == -1 ||
	    before_sockets(b) == -1 ||
	    EVP_Digest("x", 1, buf, NULL, EVP_sha256(), NULL) != 1)
		leave(98);
	tzset();
}

/*
 * Fork, let the child enter the sandbox of a role (or none) and call fn; the
 * child exits with what fn returns.  Returns the wait status.
 */
static int
run(enum role role, int (*fn)(struct before *, const void *), const void *arg)
{
	struct before b;
	const char *why;
	pid_t pid;
	int status;

	fflush(NULL);
	if ((pid = fork()) == -1)
		fail_msg("fork");
	if (pid == 0) {
		alarm(TIMEOUT_SECS);
		before_enter(&b);
		if (sandbox_harden(0) == -1)
			leave(97);
		if (role != ROLE_NONE && sandbox_enter(role, &why) == -1)
			leave(96);
		leave(fn(&b, arg));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
assert_exit(int status, int code)
{
	if (WIFSIGNALED(status))
		fail_msg("killed by signal %d", WTERMSIG(status));
	assert_int_equal(WEXITSTATUS(status), code);
}

static void
assert_signal(int status, int sig)
{
	if (WIFEXITED(status))
		fail_msg("exit code %d", WEXITSTATUS(status));
	assert_int_equal(WTERMSIG(status), sig);
}

/* ---- the forbidden ---- */

/* Arguments that are known in the child only. */
enum {
	A_PARENT = -70000,
	A_SELF,
	A_MEMORY, /* descriptors */
	A_CHANNEL,
	A_STREAM,
	A_LISTENER,
	A_DIALLED,
	A_DATAGRAM,
	A_FILE, /* a path */
	A_NOWHERE, /* a path that does not exist */
	A_ADDRESS, /* struct sockaddr_in of the listener */
	A_ABSTRACT, /* struct sockaddr_un of an outside socket */
	A_PAGE, /* a page of memory, all zero */
	A_LENGTH, /* a socklen_t of 16 */
	A_CLONE, /* struct clone_args of a plain fork */
	A_PARENTS_CLOCK,
	A__MAX
};

struct attempt {
	const char *name;
	unsigned killed; /* roles */
	unsigned refused; /* roles that get EACCES instead */
	long nr;
	long args[6];
};

#define BUT_WORKER  (ALL & ~ROLE_WORKER)
#define BUT_METRICS (ALL & ~ROLE_METRICS)
#define BUT_AUDIT   (ALL & ~ROLE_AUDIT)
#define NO_STREAM   (ROLE_AUTH | ROLE_AUDIT | ROLE_SIGN)

#define PROT_ALL    (PROT_READ | PROT_WRITE | PROT_EXEC)
#define PRIVATE     (MAP_PRIVATE | MAP_ANONYMOUS)

static const struct attempt attempts[] = {
	/* files */
	{ "openat", ALL, 0, SYS_openat, { AT_FDCWD, A_FILE, O_RDONLY } },
	{ "openat_to_create", ALL, 0, SYS_openat,
	    { A_MEMORY, A_NOWHERE, O_RDWR | O_CREAT, 0600 } },
	{ "openat2", ALL, 0, SYS_openat2, { AT_FDCWD, A_FILE, A_PAGE, 24 } },
	{ "newfstatat", 0, ALL, SYS_newfstatat, { AT_FDCWD, A_FILE, A_PAGE } },
	{ "statx", ALL, 0, SYS_statx, { AT_FDCWD, A_FILE, 0, 0, A_PAGE } },
	{ "readlinkat", ALL, 0, SYS_readlinkat,
	    { AT_FDCWD, A_FILE, A_PAGE, 64 } },
	{ "faccessat", ALL, 0, SYS_faccessat, { AT_FDCWD, A_FILE, R_OK } },
	{ "unlinkat", ALL, 0, SYS_unlinkat, { AT_FDCWD, A_NOWHERE } },
	{ "mkdirat", ALL, 0, SYS_mkdirat, { AT_FDCWD, A_NOWHERE, 0700 } },
	{ "mknodat", ALL, 0, SYS_mknodat, { AT_FDCWD, A_NOWHERE, S_IFIFO } },
	{ "renameat2", ALL, 0, SYS_renameat2,
	    { AT_FDCWD, A_NOWHERE, AT_FDCWD, A_NOWHERE } },
	{ "fchmod", ALL, 0, SYS_fchmod, { A_MEMORY, 0777 } },
	{ "ftruncate", BUT_AUDIT, 0, SYS_ftruncate, { A_MEMORY, 0 } },
	{ "fsync", BUT_AUDIT, 0, SYS_fsync, { A_MEMORY } },
	{ "pread64", BUT_AUDIT, 0, SYS_pread64, { A_MEMORY, A_PAGE, 1 } },
	{ "pwrite64", ALL, 0, SYS_pwrite64, { A_MEMORY, A_PAGE, 1 } },
	{ "fallocate", ALL, 0, SYS_fallocate, { A_MEMORY, 0, 0, 1 } },
	{ "getdents64", ALL, 0, SYS_getdents64, { A_MEMORY, A_PAGE, 64 } },
	{ "sendfile", ALL, 0, SYS_sendfile, { A_STREAM, A_MEMORY, 0, 1 } },
	{ "chdir", ALL, 0, SYS_chdir, { A_NOWHERE } },
	{ "chroot", ALL, 0, SYS_chroot, { A_NOWHERE } },
	{ "mount", ALL, 0, SYS_mount, { A_NOWHERE, A_NOWHERE, A_NOWHERE } },
	{ "inotify_init1", ALL, 0, SYS_inotify_init1, { 0 } },

	/* the network */
	{ "socket_inet", BUT_METRICS, ROLE_METRICS, SYS_socket,
	    { AF_INET, SOCK_STREAM } },
	{ "socket_unix", BUT_METRICS, ROLE_METRICS, SYS_socket,
	    { AF_UNIX, SOCK_DGRAM } },
	{ "socket_netlink", BUT_METRICS, ROLE_METRICS, SYS_socket,
	    { AF_NETLINK, SOCK_RAW } },
	{ "socketpair", ALL, 0, SYS_socketpair,
	    { AF_UNIX, SOCK_STREAM, 0, A_PAGE } },
	{ "connect", ALL, 0, SYS_connect, { A_DIALLED, A_ADDRESS, 16 } },
	{ "bind", ALL, 0, SYS_bind, { A_DIALLED, A_ADDRESS, 16 } },
	{ "listen", ALL, 0, SYS_listen, { A_LISTENER, 1 } },
	{ "accept", ALL, 0, SYS_accept, { A_LISTENER } },
	{ "accept4", BUT_METRICS, 0, SYS_accept4, { A_LISTENER } },
	{ "getpeername", BUT_METRICS, 0, SYS_getpeername,
	    { A_DIALLED, A_PAGE, A_LENGTH } },
	{ "sendto_an_address", ALL, 0, SYS_sendto,
	    { A_DATAGRAM, A_PAGE, 1, 0, A_ABSTRACT, 8 } },
	{ "sendto_with_fast_open", ALL, 0, SYS_sendto,
	    { A_DIALLED, A_PAGE, 1, MSG_FASTOPEN } },
	{ "sendmsg_with_fast_open", ALL, 0, SYS_sendmsg,
	    { A_DIALLED, A_PAGE, MSG_FASTOPEN } },
	{ "sendmmsg", ALL, 0, SYS_sendmmsg, { A_DIALLED, A_PAGE, 1 } },
	{ "setsockopt_of_a_filter", ALL, 0, SYS_setsockopt,
	    { A_DIALLED, SOL_SOCKET, SO_ATTACH_FILTER, A_PAGE, 16 } },
	{ "setsockopt_to_linger", ALL, 0, SYS_setsockopt,
	    { A_DIALLED, SOL_SOCKET, SO_LINGER, A_PAGE, 8 } },
	{ "setsockopt_of_nodelay", ALL, 0, SYS_setsockopt,
	    { A_DIALLED, IPPROTO_TCP, TCP_NODELAY, A_PAGE, 4 } },
	{ "getsockopt_of_the_peer", ALL, 0, SYS_getsockopt,
	    { A_CHANNEL, SOL_SOCKET, SO_PEERCRED, A_PAGE, A_LENGTH } },
	{ "shutdown", NO_STREAM, 0, SYS_shutdown, { A_DIALLED, SHUT_WR } },

	/* other processes */
	{ "execve", ALL, 0, SYS_execve, { A_NOWHERE, A_PAGE, A_PAGE } },
	{ "execveat", ALL, 0, SYS_execveat,
	    { A_MEMORY, A_NOWHERE, A_PAGE, A_PAGE } },
	{ "clone", ALL, 0, SYS_clone, { SIGCHLD } },
	{ "clone3", ALL, 0, SYS_clone3, { A_CLONE, 64 } },
	{ "wait4", ALL, 0, SYS_wait4, { -1, 0, WNOHANG } },
	{ "kill_of_the_parent", ALL, 0, SYS_kill, { A_PARENT, 0 } },
	{ "kill_of_itself", ALL, 0, SYS_kill, { A_SELF, 0 } },
	{ "tgkill_of_the_parent", ALL, 0, SYS_tgkill,
	    { A_PARENT, A_PARENT, 0 } },
	{ "tkill", ALL, 0, SYS_tkill, { A_PARENT, 0 } },
	{ "rt_sigqueueinfo", ALL, 0, SYS_rt_sigqueueinfo,
	    { A_PARENT, 0, A_PAGE } },
	{ "pidfd_open", ALL, 0, SYS_pidfd_open, { A_PARENT, 0 } },
	{ "pidfd_getfd", ALL, 0, SYS_pidfd_getfd, { A_MEMORY, 0 } },
	{ "pidfd_send_signal", ALL, 0, SYS_pidfd_send_signal, { A_MEMORY, 0 } },
	{ "ptrace", ALL, 0, SYS_ptrace, { PTRACE_SEIZE, A_PARENT } },
	{ "process_vm_readv", ALL, 0, SYS_process_vm_readv,
	    { A_PARENT, A_PAGE, 1, A_PAGE, 1 } },
	{ "process_vm_writev", ALL, 0, SYS_process_vm_writev,
	    { A_PARENT, A_PAGE, 1, A_PAGE, 1 } },
	{ "setpriority", ALL, 0, SYS_setpriority,
	    { PRIO_PROCESS, A_PARENT, 19 } },
	{ "clock_gettime_of_the_parent", ALL, 0, SYS_clock_gettime,
	    { A_PARENTS_CLOCK, A_PAGE } },
	{ "prlimit64_of_the_parent", ALL, 0, SYS_prlimit64,
	    { A_PARENT, RLIMIT_NOFILE, 0, A_PAGE } },
	{ "rt_sigaction", ALL, 0, SYS_rt_sigaction, { SIGSYS, A_PAGE, 0, 8 } },
	{ "fcntl_of_an_owner", ALL, 0, SYS_fcntl,
	    { A_DIALLED, F_SETOWN, A_PARENT } },
	{ "fcntl_of_signals", ALL, 0, SYS_fcntl,
	    { A_DIALLED, F_SETFL, O_ASYNC } },

	/* memory */
	{ "mmap_writable_and_executable", ALL, 0, SYS_mmap,
	    { 0, 4096, PROT_ALL, PRIVATE, -1 } },
	{ "mmap_executable_of_a_descriptor", ALL, 0, SYS_mmap,
	    { 0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, A_MEMORY } },
	{ "mprotect_executable", ALL, 0, SYS_mprotect,
	    { A_PAGE, 4096, PROT_READ | PROT_EXEC } },
	{ "pkey_mprotect", ALL, 0, SYS_pkey_mprotect,
	    { A_PAGE, 4096, PROT_READ, -1 } },
	{ "shmat", ALL, 0, SYS_shmat, { -1 } },
	{ "memfd_create", ALL, 0, SYS_memfd_create, { A_NOWHERE } },
	{ "madvise_of_another_kind", ALL, 0, SYS_madvise,
	    { A_PAGE, 4096, MADV_DOFORK } },
	{ "userfaultfd", ALL, 0, SYS_userfaultfd, { 0 } },

	/* descriptors of other kinds */
	{ "dup", ALL, 0, SYS_dup, { A_MEMORY } },
	{ "dup3", ALL, 0, SYS_dup3, { A_MEMORY, 50 } },
	{ "fcntl_to_duplicate", ALL, 0, SYS_fcntl, { A_MEMORY, F_DUPFD } },
	{ "pipe2", ALL, 0, SYS_pipe2, { A_PAGE } },
	{ "eventfd2", ALL, 0, SYS_eventfd2, { 0 } },
	{ "timerfd_create", ALL, 0, SYS_timerfd_create, { CLOCK_MONOTONIC } },
	{ "epoll_create1", ALL, 0, SYS_epoll_create1, { 0 } },
	{ "io_uring_setup", ALL, 0, SYS_io_uring_setup, { 1, A_PAGE } },
	{ "io_uring_enter", ALL, 0, SYS_io_uring_enter, { A_MEMORY } },
	{ "io_uring_register", ALL, 0, SYS_io_uring_register, { A_MEMORY } },
	{ "io_setup", ALL, 0, SYS_io_setup, { 1, A_PAGE } },

	/* the kernel */
	{ "bpf", ALL, 0, SYS_bpf, { 0, A_PAGE, 0 } },
	{ "perf_event_open", ALL, 0, SYS_perf_event_open, { A_PAGE, 0, -1 } },
	{ "keyctl", ALL, 0, SYS_keyctl, { 0 } },
	{ "add_key", ALL, 0, SYS_add_key, { A_NOWHERE, A_NOWHERE } },
	{ "syslog", ALL, 0, SYS_syslog, { 10 } },
	{ "uname", ALL, 0, SYS_uname, { A_PAGE } },
	{ "clock_settime", ALL, 0, SYS_clock_settime, { 99, A_PAGE } },
	{ "ioctl_of_terminal_input", ALL, 0, SYS_ioctl,
	    { A_MEMORY, TIOCSTI, A_PAGE } },
	{ "ioctl_of_interfaces", ALL, 0, SYS_ioctl,
	    { A_DIALLED, 0x8910, A_PAGE } },
	{ "futex_to_requeue", ALL, 0, SYS_futex,
	    { A_PAGE, FUTEX_CMP_REQUEUE_PI, 1, 1, A_PAGE } },
	{ "a_call_that_does_not_exist", ALL, 0, 4095, { 0 } },

	/* the sandbox itself */
	{ "setuid", ALL, 0, SYS_setuid, { NOBODY } },
	{ "capset", ALL, 0, SYS_capset, { 0 } },
	{ "unshare", ALL, 0, SYS_unshare, { CLONE_NEWUSER } },
	{ "setns", ALL, 0, SYS_setns, { A_MEMORY } },
	{ "personality", ALL, 0, SYS_personality, { 0xffffffffL } },
	{ "prctl_to_be_dumpable", ALL, 0, SYS_prctl, { PR_SET_DUMPABLE, 1 } },
	{ "prctl_to_outlive_the_parent", ALL, 0, SYS_prctl,
	    { PR_SET_PDEATHSIG, 0 } },
	{ "seccomp", ALL, 0, SYS_seccomp, { 1 } },
	{ "landlock", ALL, 0, 444, { 0, 0, 1 } },
	{ "prlimit64_of_processes", ALL, 0, SYS_prlimit64,
	    { 0, RLIMIT_NPROC, 0, A_PAGE } },
	{ "prlimit64_of_descriptors", BUT_WORKER, 0, SYS_prlimit64,
	    { 0, RLIMIT_NOFILE, 0, A_PAGE } },
#ifdef __x86_64__
	{ "modify_ldt", ALL, 0, SYS_modify_ldt, { 0 } },
	{ "getpid_of_x32", ALL, 0, 0x40000000L | SYS_getpid, { 0 } },
#endif
};

static long
attempt_argument(const struct before *b, long arg)
{
	static const char file[] = "/etc/passwd", nowhere[] = "/nowhere/x";
	static socklen_t length = 16;
	static uint64_t clone_args[8] = { 0, 0, 0, 0, SIGCHLD };

	switch (arg) {
	case A_PARENT:
		return b->parent;
	case A_SELF:
		return getpid();
	case A_MEMORY:
		return b->memory;
	case A_CHANNEL:
		return b->channel[0];
	case A_STREAM:
		return b->stream[0];
	case A_LISTENER:
		return b->listener;
	case A_DIALLED:
		return b->dialled;
	case A_DATAGRAM:
		return b->datagram;
	case A_FILE:
		return (long)file;
	case A_NOWHERE:
		return (long)nowhere;
	case A_ADDRESS:
		return (long)&b->address;
	case A_ABSTRACT:
		return (long)&b->abstract;
	case A_PAGE:
		return (long)b->page;
	case A_LENGTH:
		return (long)&length;
	case A_CLONE:
		return (long)clone_args;
	case A_PARENTS_CLOCK: /* see clock_getcpuclockid(3) */
		return (int)(~(unsigned)b->parent << 3 | 2);
	default:
		return arg;
	}
}

#define GOT_THROUGH 50 /* else the errno */

static int
attempt_make(struct before *b, const void *arg)
{
	const struct attempt *a = arg;
	pid_t self = getpid();
	long args[6];
	size_t i;

	for (i = 0; i < COUNT_OF(args); i++)
		args[i] = attempt_argument(b, a->args[i]);
	errno = 0;
	if (syscall(a->nr, args[0], args[1], args[2], args[3], args[4],
		args[5]) == -1)
		return errno < GOT_THROUGH ? errno : GOT_THROUGH - 1;
	if (getpid() != self)
		leave(0);
	return GOT_THROUGH;
}

struct trial {
	char name[96];
	enum role role;
	const struct attempt *attempt;
};

static void
trial_kills(void **state)
{
	const struct trial *t = *state;

	assert_signal(run(t->role, attempt_make, t->attempt), SIGSYS);
}

static void
trial_is_refused(void **state)
{
	const struct trial *t = *state;

	assert_exit(run(t->role, attempt_make, t->attempt), EACCES);
}

/* Or the trials would prove nothing. */
static void
without_a_sandbox_no_attempt_is_killed(void **state)
{
	size_t i;
	int status;

	(void)state;
	for (i = 0; i < COUNT_OF(attempts); i++) {
		status = run(ROLE_NONE, attempt_make, &attempts[i]);
		if (!WIFEXITED(status) || WEXITSTATUS(status) > GOT_THROUGH)
			fail_msg("%s: status %x", attempts[i].name, status);
	}
}

#ifdef __x86_64__
/* Number 20 is getpid(2) for i386, and writev(2) here, which is allowed. */
static int
call_i386(struct before *b, const void *arg)
{
	long ret = 20;

	(void)b;
	(void)arg;
	__asm__ volatile("int $0x80"
			 : "+a"(ret)
			 :
			 : "memory", "r8", "r9", "r10", "r11");
	return 0;
}

static void
a_call_by_the_numbers_of_i386_kills(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(roles); i++)
		assert_signal(run(roles[i].role, call_i386, NULL), SIGSYS);
}
#endif

/* ---- what must work ---- */

static void
loop_read(evutil_socket_t fd, short what, void *arg)
{
	char buf[8];

	if ((what & EV_READ) != 0 && recv(fd, buf, sizeof(buf), 0) == 5)
		event_base_loopbreak(arg);
}

static void
loop_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	if (send((int)fd, "hello", 5, MSG_NOSIGNAL) != 5)
		event_base_loopbreak(arg);
}

static int
do_event_loop(struct before *b, const void *arg)
{
	struct timeval soon = { 0, 1000 };
	struct event *reader, *timer;

	(void)arg;
	if (evutil_make_socket_nonblocking(b->channel[0]) == -1 ||
	    evutil_make_socket_closeonexec(b->channel[0]) == -1)
		return 1;
	reader = event_new(
	    b->base, b->channel[0], EV_READ | EV_PERSIST, loop_read, b->base);
	timer = event_new(b->base, b->channel[1], 0, loop_timer, b->base);
	if (event_add(reader, NULL) == -1 || event_add(timer, &soon) == -1 ||
	    event_base_dispatch(b->base) == -1 ||
	    !event_base_got_break(b->base))
		return 2;
	event_free(reader);
	event_free(timer);
	return 0;
}

static int
do_signal(struct before *b, const void *arg)
{
	(void)arg;
	if (raise(SIGUSR1) != 0 || event_base_dispatch(b->base) == -1)
		return 1;
	return event_base_got_break(b->base) ? 0 : 2;
}

static int
send_descriptor(int socket, int fd)
{
	char space[CMSG_SPACE(sizeof(int))] = "", byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr mh = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = space,
		.msg_controllen = sizeof(space) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&mh);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(socket, &mh, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

/* The descriptor, or -1; *cut is set when the kernel kept it back. */
static int
receive_descriptor(int socket, bool *cut)
{
	char space[CMSG_SPACE(sizeof(int))] = "", byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr mh = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = space,
		.msg_controllen = sizeof(space) };
	struct cmsghdr *cmsg;
	int fd = -1;

	if (recvmsg(socket, &mh, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	*cut = (mh.msg_flags & MSG_CTRUNC) != 0;
	cmsg = CMSG_FIRSTHDR(&mh);
	if (cmsg != NULL && cmsg->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

static int
do_passed_descriptor(struct before *b, const void *arg)
{
	char buf[4];
	bool cut;
	int fd;

	(void)arg;
	if (send_descriptor(b->channel[1], b->stream[0]) == -1 ||
	    (fd = receive_descriptor(b->channel[0], &cut)) == -1 || cut)
		return 1;
	if (write(fd, "abc", 3) != 3 || read(b->stream[1], buf, 4) != 3 ||
	    memcmp(buf, "abc", 3) != 0)
		return 2;
	return close(fd) == 0 ? 0 : 3;
}

static int
do_shared_memory(struct before *b, const void *arg)
{
	uint8_t *p;

	(void)arg;
	if (fcntl(b->memory, F_GET_SEALS) == -1 ||
	    lseek(b->memory, 0, SEEK_END) != 4096)
		return 1;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, b->memory, 0);
	if (p == MAP_FAILED)
		return 2;
	p[0] = 1;
	return munmap(p, 4096) == 0 ? 0 : 3;
}

static int
do_file(struct before *b, const void *arg)
{
	char text[3];

	(void)arg;
	if (lseek(b->memory, 0, SEEK_END) != 4096 ||
	    write(b->memory, "abc", 3) != 3 ||
	    pread(b->memory, text, 3, 4096) != 3 || memcmp(text, "abc", 3) != 0)
		return 1;
	return ftruncate(b->memory, 4096) == 0 && fsync(b->memory) == 0 ? 0 : 2;
}

/* As the audit log does it, with a key that was loaded before. */
static int
do_signature(struct before *b, const void *arg)
{
	static const uint8_t seed[32] = { 1 };
	uint8_t signature[64];
	size_t len = sizeof(signature);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY *key;

	(void)b;
	(void)arg;
	key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	if (ctx == NULL || key == NULL ||
	    EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1)
		return 1;
	return EVP_DigestSign(ctx, signature, &len, seed, 32) == 1 ? 0 : 2;
}

static int
do_random(struct before *b, const void *arg)
{
	uint32_t all = 0;
	int i;

	(void)b;
	(void)arg;
	/* Beyond what the generator makes of one seed. */
	for (i = 0; i < 500000; i++)
		all |= arc4random();
	return all == UINT32_MAX ? 0 : 1;
}

static int
do_digest(struct before *b, const void *arg)
{
	static const uint8_t abc[] = { 0xba, 0x78, 0x16, 0xbf };
	uint8_t digest[DIGEST_SIZE];

	(void)b;
	(void)arg;
	digest_sha256(digest, "abc", 3);
	return memcmp(digest, abc, sizeof(abc)) == 0 ? 0 : 1;
}

static int
do_text(struct before *b, const void *arg)
{
	char buf[512];
	struct tm tm;
	time_t now = time(NULL);

	(void)b;
	(void)arg;
	snprintf(buf, sizeof(buf), "%.17g %f", 0.1, 1e300);
	if (strtod(buf, NULL) != 0.1)
		return 1;
	if (gmtime_r(&now, &tm) == NULL || localtime_r(&now, &tm) == NULL ||
	    strftime(buf, sizeof(buf), "%a, %d %b %Y", &tm) == 0)
		return 2;
	fprintf(stderr, "%s", "");
	return strerror(EACCES) == NULL;
}

static int
do_clocks_and_poll(struct before *b, const void *arg)
{
	struct pollfd pfd = { b->channel[0], POLLIN, 0 };
	struct timespec ts;

	(void)arg;
	/* By call, as where the vDSO knows no clock. */
	if (syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts) == -1 ||
	    syscall(SYS_clock_gettime, CLOCK_REALTIME, &ts) == -1)
		return 1;
	return poll(&pfd, 1, 1) == 0 && getuid() == geteuid() ? 0 : 2;
}

/* A first use of stdio asks for the type of the file, and gets no answer. */
static int
do_stdio(struct before *b, const void *arg)
{
	FILE *f;
	char buf[8] = "";

	(void)arg;
	if ((f = fdopen(b->stream[0], "w")) == NULL ||
	    fprintf(f, "%d", 42) != 2 || fclose(f) == EOF)
		return 1;
	return read(b->stream[1], buf, sizeof(buf)) == 2 &&
		       strcmp(buf, "42") == 0
		   ? 0
		   : 2;
}

#ifndef SANITIZED
static int
compare_bytes(const void *a, const void *b)
{
	return memcmp(a, b, 8);
}

static int
do_memory(struct before *b, const void *arg)
{
	void *many[2000], *block, *grown;
	size_t i;

	(void)b;
	(void)arg;
	if ((block = malloc(64 << 20)) == NULL)
		return 1;
	memset(block, 1, 64 << 20);
	grown = realloc(block, 96 << 20);
	if (grown == NULL) {
		free(block);
		return 2;
	}
	free(grown);
	for (i = 0; i < COUNT_OF(many); i++) {
		if ((many[i] = malloc(5000)) == NULL)
			return 3; /* NOLINT(clang-analyzer-unix.Malloc): it ends */
	}
	for (i = 0; i < COUNT_OF(many); i++)
		free(many[i]);
	/* Large enough for qsort(3) to ask how much memory there is. */
	if ((block = calloc(100000, 8)) == NULL)
		return 4;
	arc4random_buf(block, 800000);
	qsort(block, 100000, 8, compare_bytes);
	free(block);
	return 0;
}

/* Not _exit(2): what the libraries registered runs, too. */
static int
do_exit(struct before *b, const void *arg)
{
	(void)b;
	(void)arg;
	exit(0);
}
#endif

static int
do_stream(struct before *b, const void *arg)
{
	struct iovec iov[2];
	int error = 1;
	socklen_t len = sizeof(error);
	char buf[8] = "";

	(void)arg;
	iov[0].iov_base = iov[1].iov_base = buf;
	iov[0].iov_len = iov[1].iov_len = 2;
	if (getsockopt(b->dialled, SOL_SOCKET, SO_ERROR, &error, &len) == -1 ||
	    error != 0 || ioctl(b->stream[0], FIONREAD, &error) == -1)
		return 1;
	if (writev(b->stream[0], iov, 2) != 4 ||
	    readv(b->stream[1], iov, 2) != 4)
		return 2;
	return shutdown(b->dialled, SHUT_WR) == 0 && close(b->dialled) == 0 ? 0
									    : 3;
}

static void
listener_accepted(struct evconnlistener *l, evutil_socket_t fd,
    struct sockaddr *sa, int len, void *arg)
{
	char host[64], port[8];

	(void)arg;
	if (getnameinfo(sa, (socklen_t)len, host, sizeof(host), port,
		sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		leave(2);
	evutil_closesocket(fd);
	event_base_loopbreak(evconnlistener_get_base(l));
}

static int
do_listener(struct before *b, const void *arg)
{
	struct evconnlistener *l;
	struct sockaddr_in6 sin6;
	socklen_t len = sizeof(sin6);
	char host[128], port[8];

	(void)arg;
	if (evutil_make_socket_nonblocking(b->listener) == -1 ||
	    getsockname(b->listener, (struct sockaddr *)&sin6, &len) == -1)
		return 1;
	l = evconnlistener_new(b->base, listener_accepted, NULL,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, b->listener);
	if (l == NULL || event_base_dispatch(b->base) == -1 ||
	    !event_base_got_break(b->base))
		return 3;
	evconnlistener_free(l);

	/* A link-local peer, whose scope would be looked up. */
	memset(&sin6, 0, sizeof(sin6));
	sin6.sin6_family = AF_INET6;
	sin6.sin6_addr.s6_addr[0] = 0xfe;
	sin6.sin6_addr.s6_addr[1] = 0x80;
	sin6.sin6_scope_id = 1;
	return getnameinfo((struct sockaddr *)&sin6, sizeof(sin6), host,
	    sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
}

static const struct {
	const char *name;
	unsigned roles;
	int (*fn)(struct before *, const void *);
} duties[] = {
	{ "run_an_event_loop", ALL, do_event_loop },
	{ "take_a_signal_of_its_own", ALL, do_signal },
	{ "use_a_descriptor_it_was_passed", ALL, do_passed_descriptor },
	{ "map_shared_memory", ALL, do_shared_memory },
	{ "make_random_numbers", ALL, do_random },
	{ "make_digests", ALL, do_digest },
	{ "print_and_parse_text", ALL, do_text },
	{ "write_through_stdio", ALL, do_stdio },
	{ "read_clocks_and_poll", ALL, do_clocks_and_poll },
#ifndef SANITIZED
	{ "use_large_and_many_blocks", ALL, do_memory },
	{ "exit_cleanly", ALL, do_exit },
#endif
	{ "serve_a_stream", ROLE_WORKER | ROLE_METRICS, do_stream },
	{ "accept_connections", ROLE_METRICS, do_listener },
	{ "append_to_a_file_and_cut_it", ROLE_AUDIT, do_file },
	{ "sign", ROLE_AUDIT | ROLE_SIGN, do_signature },
};

struct duty {
	char name[96];
	enum role role;
	int (*fn)(struct before *, const void *);
};

static void
duty_works(void **state)
{
	const struct duty *d = *state;

	assert_exit(run(d->role, d->fn, NULL), 0);
}

#ifndef SANITIZED
static int
do_abort(struct before *b, const void *arg)
{
	(void)b;
	(void)arg;
	abort();
}

static void
abort_still_dies_of_its_own_signal(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(roles); i++)
		assert_signal(run(roles[i].role, do_abort, NULL), SIGABRT);
}
#endif

/* ---- limits, reports, Landlock ---- */

/*
 * What it took to serve plain connections; TLS may take a few more, and takes
 * none.
 */
static void
a_workers_list_is_as_short_as_before_it_spoke_tls(void **state)
{
	(void)state;
	assert_int_equal(filter_size(ROLE_NONE), 0);
	assert_in_range(filter_size(ROLE_WORKER), 1, PLAIN_CALLS);
}

static int
check_report(struct before *b, const void *arg)
{
	struct sandbox_state state;
	const int *abi = arg;

	(void)b;
	sandbox_report(&state);
	return state.mechanism == SANDBOX_SECCOMP &&
		       state.landlock_abi == *abi && state.no_new_privs == 1 &&
		       state.dumpable == 0
		   ? 0
		   : 1;
}

static void
a_sandboxed_child_reports_what_it_has(void **state)
{
	int abi = (int)syscall(444, NULL, 0, 1);
	size_t i;

	(void)state;
	assert_true(abi > 0);
	if (abi > 10)
		abi = 10;
	for (i = 0; i < COUNT_OF(roles); i++)
		assert_exit(run(roles[i].role, check_report, &abi), 0);
}

static int
check_report_of_nothing(struct before *b, const void *arg)
{
	struct sandbox_state state;

	(void)b;
	(void)arg;
	sandbox_report(&state);
	return state.mechanism == SANDBOX_NONE && state.landlock_abi == 0 &&
		       state.dumpable == 0
		   ? 0
		   : 1;
}

static void
a_child_without_a_sandbox_does_not_report_one(void **state)
{
	(void)state;
	assert_exit(run(ROLE_NONE, check_report_of_nothing, NULL), 0);
}

static void
a_role_without_a_policy_cannot_enter(void **state)
{
	const char *why = NULL;

	(void)state;
	errno = 0;
	assert_int_equal(sandbox_enter(ROLE_NONE, &why), -1);
	assert_int_equal(errno, EINVAL);
	assert_non_null(why);
}

struct poor_kernel {
	int nr; /* a system call that fails */
	int error;
	int expected; /* errno of entering; libseccomp has its own */
	const char *why; /* what entering must say */
};

/* Above all it must be able to say so, even to a file. */
static int
enter_on_a_poor_kernel(struct before *b, const void *arg)
{
	const struct poor_kernel *k = arg;
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	const char *why = NULL;

	if (seccomp_rule_add(
		ctx, SCMP_ACT_ERRNO((unsigned)k->error), k->nr, 0) != 0 ||
	    seccomp_load(ctx) != 0)
		return 1;
	errno = 0;
	if (sandbox_enter(ROLE_WORKER, &why) != -1)
		return 2;
	if (errno != k->expected || strcmp(why, k->why) != 0)
		return 3;
	return write(b->memory, why, strlen(why)) > 0 ? 0 : 4;
}

static void
a_kernel_without_landlock_is_a_failure(void **state)
{
	struct poor_kernel k = {
		444, ENOSYS, ENOSYS,
		"the kernel has no Landlock, and landlock_optional is not set"
	};

	(void)state;
	assert_exit(run(ROLE_NONE, enter_on_a_poor_kernel, &k), 0);
	k.error = k.expected = EOPNOTSUPP;
	assert_exit(run(ROLE_NONE, enter_on_a_poor_kernel, &k), 0);
}

static void
a_kernel_without_seccomp_is_a_failure(void **state)
{
	struct poor_kernel k = { SCMP_SYS(seccomp), EPERM, ECANCELED,
		"seccomp filter" };

	(void)state;
	assert_exit(run(ROLE_NONE, enter_on_a_poor_kernel, &k), 0);
}

/* seccomp cannot see the address of a message, so this is Landlock's. */
static int
send_to_abstract_name(struct before *b, const void *arg)
{
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr mh = { .msg_name = &b->abstract,
		.msg_namelen = sizeof(sa_family_t) + 6,
		.msg_iov = &iov,
		.msg_iovlen = 1 };

	(void)arg;
	return sendmsg(b->datagram, &mh, 0) == 1 ? 0 : errno;
}

static void
landlock_hides_abstract_sockets_from_every_child(void **state)
{
	size_t i;

	(void)state;
	assert_exit(run(ROLE_NONE, send_to_abstract_name, NULL), 0);
	for (i = 0; i < COUNT_OF(roles); i++)
		assert_exit(
		    run(roles[i].role, send_to_abstract_name, NULL), EPERM);
}

static int
write_to_a_file(struct before *b, const void *arg)
{
	(void)arg;
	return write(b->memory, "x", 1) == 1 ? 0 : errno;
}

static void
no_child_but_audit_writes_to_a_regular_file(void **state)
{
	size_t i;

	(void)state;
	assert_exit(run(ROLE_NONE, write_to_a_file, NULL), 0);
	for (i = 0; i < COUNT_OF(roles); i++)
		assert_exit(run(roles[i].role, write_to_a_file, NULL),
		    roles[i].role == ROLE_AUDIT ? 0 : EFBIG);
}

static int
tighten_and_receive(struct before *b, const void *arg)
{
	struct pollfd pfd = { b->channel[0], POLLIN, 0 };
	const char *why;
	char buf[4];
	bool cut = false;

	(void)arg;
	if (sandbox_tighten(ROLE_WORKER, &why) == -1)
		return 1;
	if (send_descriptor(b->channel[1], b->stream[0]) == -1 ||
	    receive_descriptor(b->channel[0], &cut) != -1 || !cut)
		return 2;
	/* All else goes on. */
	if (write(b->stream[0], "abc", 3) != 3 ||
	    read(b->stream[1], buf, 4) != 3 || poll(&pfd, 1, 1) != 0)
		return 3;
	return 0;
}

static void
a_draining_worker_takes_no_descriptors(void **state)
{
	(void)state;
	assert_exit(run(ROLE_WORKER, tighten_and_receive, NULL), 0);
}

static int
tighten_the_others(struct before *b, const void *arg)
{
	const enum role *role = arg;
	const char *why;

	if (sandbox_tighten(*role, &why) == -1)
		return 1;
	return do_passed_descriptor(b, NULL);
}

static void
the_other_roles_tighten_without_loss(void **state)
{
	enum role role = ROLE_AUTH;

	(void)state;
	assert_exit(run(role, tighten_the_others, &role), 0);
	role = ROLE_METRICS;
	assert_exit(run(role, tighten_the_others, &role), 0);
	role = ROLE_AUDIT;
	assert_exit(run(role, tighten_the_others, &role), 0);
	role = ROLE_SIGN;
	assert_exit(run(role, tighten_the_others, &role), 0);
}

/* ---- the supervisor and ltpctl ---- */

static int
parent_does_its_work(struct before *b, const void *arg)
{
	int fd, status;
	pid_t pid;

	(void)b;
	(void)arg;
	/* A library's directory is unveiled with the libraries. */
	if ((fd = open("/etc/ld.so.cache", O_RDONLY)) == -1)
		return 1;
	close(fd);
	if (open("/etc/passwd", O_RDONLY) != -1 || errno != EACCES)
		return 2;
	if ((pid = fork()) == 0) {
		execl("/bin/true", "true", (char *)NULL);
		leave(1);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		return 3;
	if ((pid = fork()) == 0) {
		for (;;)
			pause();
	}
	if (kill(pid, SIGTERM) == -1 || waitpid(pid, &status, 0) != pid)
		return 4;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM ? 0 : 5;
}

static void
the_supervisor_can_do_its_work(void **state)
{
	(void)state;
	assert_int_equal(sandbox_unveil("/bin", "rx"), 0);
	assert_exit(run(ROLE_PARENT, parent_does_its_work, NULL), 0);
}

static int
connect_again(struct before *b, const void *arg)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)arg;
	if (connect(fd, (struct sockaddr *)&b->address, sizeof(b->address)) ==
	    -1)
		return errno;
	return 0;
}

static void
the_supervisor_connects_to_nothing(void **state)
{
	(void)state;
	assert_exit(run(ROLE_NONE, connect_again, NULL), 0);
	assert_exit(run(ROLE_PARENT, connect_again, NULL), EACCES);
}

static int
make_a_pipe(struct before *b, const void *arg)
{
	char name[64];

	(void)b;
	(void)arg;
	snprintf(name, sizeof(name), "/tmp/sandbox_test.%ld", (long)getpid());
	if (mkfifo(name, 0600) == -1)
		return errno;
	unlink(name);
	return 0;
}

static void
the_supervisor_makes_no_special_files(void **state)
{
	(void)state;
	assert_exit(run(ROLE_NONE, make_a_pipe, NULL), 0);
	assert_exit(run(ROLE_PARENT, make_a_pipe, NULL), EACCES);
}

/* One uid on both sides, so only Landlock stands between them. */
static int
signal_a_neighbour(struct before *b, const void *arg)
{
	const pid_t *pid = arg;

	(void)b;
	return kill(*pid, 0) == 0 ? 0 : errno;
}

static void
the_supervisor_signals_nobody_outside(void **state)
{
	pid_t pid;
	int ends[2], inside, outside;
	char byte;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	if ((pid = fork()) == 0) {
		drop_privileges();
		if (write(ends[1], "x", 1) != 1)
			leave(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ends[0], &byte, 1), 1);
	outside = run(ROLE_NONE, signal_a_neighbour, &pid);
	inside = run(ROLE_PARENT, signal_a_neighbour, &pid);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ends[0]);
	close(ends[1]);
	assert_exit(outside, 0);
	assert_exit(inside, EPERM);
}

static int
nested_child(struct before *b, const void *arg)
{
	const char *why;
	pid_t pid;
	int status;

	(void)arg;
	if ((pid = fork()) == 0) {
		if (sandbox_harden(getppid()) == -1 ||
		    sandbox_enter(ROLE_WORKER, &why) == -1)
			leave(1);
		leave(send_to_abstract_name(b, NULL) == EPERM ? 0 : 2);
	}
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

static void
a_child_adds_its_sandbox_to_the_supervisors(void **state)
{
	(void)state;
	assert_exit(run(ROLE_PARENT, nested_child, NULL), 0);
}

static int
ctl_does_its_work(struct before *b, const void *arg)
{
	int fd;

	(void)arg;
	if (sandbox_pledge("stdio rpath inet") == -1)
		return 9;
	if (connect_again(b, NULL) != 0 ||
	    (fd = open("/etc/passwd", O_RDONLY)) == -1)
		return 1;
	close(fd);
	if (make_a_pipe(b, NULL) != EACCES)
		return 2;
	if (open("/dev/null", O_WRONLY) != -1 || errno != EACCES)
		return 3;
	if (execl("/bin/true", "true", (char *)NULL) != -1 || errno != EACCES)
		return 4;
	return 0;
}

static void
ltpctl_connects_and_reads_and_changes_nothing(void **state)
{
	(void)state;
	assert_exit(run(ROLE_NONE, ctl_does_its_work, NULL), 0);
}

/* ---- hardening ---- */

static int
harden_an_orphan(struct before *b, const void *arg)
{
	(void)b;
	(void)arg;
	if (sandbox_harden(getpid()) != -1)
		return 1;
	return errno == ESRCH ? 0 : 2;
}

static void
a_child_whose_parent_has_gone_is_told(void **state)
{
	(void)state;
	assert_exit(run(ROLE_NONE, harden_an_orphan, NULL), 0);
}

static int
check_core_limit(struct before *b, const void *arg)
{
	struct rlimit rl;

	(void)b;
	(void)arg;
	if (getrlimit(RLIMIT_CORE, &rl) == -1)
		return 1;
	return rl.rlim_cur == 0 && rl.rlim_max == 0 ? 0 : 2;
}

static void
a_hardened_process_leaves_no_core(void **state)
{
	(void)state;
	assert_exit(run(ROLE_NONE, check_core_limit, NULL), 0);
}

/*
 * A parent starts a child in the sandbox and dies of a signal; the pipe that
 * both hold ends when the child has gone, too.
 */
static void
a_child_dies_with_its_parent(void **state)
{
	const char *why;
	char byte;
	pid_t pid, parent;
	int ends[2], status;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	fflush(NULL);
	if ((pid = fork()) == 0) {
		drop_privileges();
		close(ends[0]);
		parent = getpid();
		if (fork() == 0) {
			if (sandbox_harden(parent) == -1 ||
			    sandbox_enter(ROLE_WORKER, &why) == -1)
				leave(1);
			if (write(ends[1], "x", 1) != 1)
				leave(1);
			for (;;)
				poll(NULL, 0, -1);
		}
		for (;;)
			pause();
	}
	close(ends[1]);
	alarm(TIMEOUT_SECS);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	alarm(0);
	close(ends[0]);
}

/* ---- all of them ---- */

static const struct CMUnitTest plain[] = {
	cmocka_unit_test(without_a_sandbox_no_attempt_is_killed),
#ifdef __x86_64__
	cmocka_unit_test(a_call_by_the_numbers_of_i386_kills),
#endif
#ifndef SANITIZED
	cmocka_unit_test(abort_still_dies_of_its_own_signal),
#endif
	cmocka_unit_test(a_workers_list_is_as_short_as_before_it_spoke_tls),
	cmocka_unit_test(a_sandboxed_child_reports_what_it_has),
	cmocka_unit_test(a_child_without_a_sandbox_does_not_report_one),
	cmocka_unit_test(a_role_without_a_policy_cannot_enter),
	cmocka_unit_test(a_kernel_without_landlock_is_a_failure),
	cmocka_unit_test(a_kernel_without_seccomp_is_a_failure),
	cmocka_unit_test(landlock_hides_abstract_sockets_from_every_child),
	cmocka_unit_test(no_child_but_audit_writes_to_a_regular_file),
	cmocka_unit_test(a_draining_worker_takes_no_descriptors),
	cmocka_unit_test(the_other_roles_tighten_without_loss),
	cmocka_unit_test(the_supervisor_can_do_its_work),
	cmocka_unit_test(the_supervisor_connects_to_nothing),
	cmocka_unit_test(the_supervisor_makes_no_special_files),
	cmocka_unit_test(the_supervisor_signals_nobody_outside),
	cmocka_unit_test(a_child_adds_its_sandbox_to_the_supervisors),
	cmocka_unit_test(ltpctl_connects_and_reads_and_changes_nothing),
	cmocka_unit_test(a_child_whose_parent_has_gone_is_told),
	cmocka_unit_test(a_hardened_process_leaves_no_core),
	cmocka_unit_test(a_child_dies_with_its_parent),
};

#define MAX_TRIALS (COUNT_OF(roles) * COUNT_OF(attempts))
#define MAX_DUTIES (COUNT_OF(roles) * COUNT_OF(duties))

static struct trial trials[MAX_TRIALS];
static struct duty works[MAX_DUTIES];
static struct CMUnitTest tests[COUNT_OF(plain) + MAX_TRIALS + MAX_DUTIES];

/* A test for each role and attempt; returns how many there are. */
static size_t
add_trials(struct CMUnitTest *test)
{
	const struct attempt *a;
	struct trial *t = trials;
	size_t i, j;
	bool killed;

	for (i = 0; i < COUNT_OF(roles); i++) {
		for (j = 0; j < COUNT_OF(attempts); j++) {
			a = &attempts[j];
			if (((a->killed | a->refused) & roles[i].role) == 0)
				continue;
			killed = (a->killed & roles[i].role) != 0;
			t->role = roles[i].role;
			t->attempt = a;
			snprintf(t->name, sizeof(t->name), "%s_is_%s_%s",
			    roles[i].name, killed ? "killed_by" : "refused",
			    a->name);
			test->name = t->name;
			test->test_func =
			    killed ? trial_kills : trial_is_refused;
			test->initial_state = t;
			test++;
			t++;
		}
	}
	return (size_t)(t - trials);
}

/* A test for each role and duty; returns how many there are. */
static size_t
add_duties(struct CMUnitTest *test)
{
	struct duty *d = works;
	size_t i, j;

	for (i = 0; i < COUNT_OF(roles); i++) {
		for (j = 0; j < COUNT_OF(duties); j++) {
			if ((duties[j].roles & roles[i].role) == 0)
				continue;
			d->role = roles[i].role;
			d->fn = duties[j].fn;
			snprintf(d->name, sizeof(d->name), "%s_can_%s",
			    roles[i].name, duties[j].name);
			test->name = d->name;
			test->test_func = duty_works;
			test->initial_state = d;
			test++;
			d++;
		}
	}
	return (size_t)(d - works);
}

int
main(void)
{
	size_t n = COUNT_OF(plain);

	memcpy(tests, plain, sizeof(plain));
	n += add_duties(tests + n);
	n += add_trials(tests + n);
	return _cmocka_run_group_tests("sandbox", tests, n, NULL, NULL);
}
