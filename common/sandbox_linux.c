/*
 * The sandbox on Linux: no_new_privs, Landlock with an empty rule set, resource
 * limits, then a seccomp filter that kills the process at the first system
 * call that its role does not have.  Either of the last two alone would stop
 * most of what is forbidden; a hole in one is covered by the other.
 *
 * Policies are data.  A class is a list of system calls under one promise, a
 * role is a list of classes.  Where a call can do more than its promise, its
 * arguments are tested; what a filter cannot see (the text of a path, the
 * address in a msghdr) is left to Landlock, or the call is on no list.
 *
 * A call is refused with an error, rather than killed, only where libc is
 * known to try it and to live without; the list says where.
 */
#include <sys/types.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <linux/futex.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <unistd.h>

#include "sandbox.h"

#define NITEMS(a) (sizeof(a) / sizeof((a)[0]))

/* ---- system calls ---- */

#ifndef F_GET_SEALS
#define F_GET_SEALS 1034
#endif

/* An argument, by number, must have this value in the bits of the mask. */
struct test {
	unsigned arg;
	uint64_t mask;
	uint64_t value;
};

#define MAX_TESTS 2

struct call {
	int nr;
	int refusal; /* 0: allowed; else the errno to refuse it with */
	size_t ntests;
	struct test tests[MAX_TESTS]; /* all must hold */
};

struct class {
	const struct call *calls;
	size_t ncalls;
};

/*
 * The kernel looks at 32 bits of an int, whatever libc leaves above them, so
 * IS() does the same.  SELF stands for the pid of the process.
 */
/* clang-format off */
#define ALLOW(name)		{ SCMP_SYS(name), 0, 0, { { 0, 0, 0 } } }
#define ALLOW_1(name, t1)	{ SCMP_SYS(name), 0, 1, { t1 } }
#define ALLOW_2(name, t1, t2)	{ SCMP_SYS(name), 0, 2, { t1, t2 } }
#define REFUSE(name, err)	{ SCMP_SYS(name), err, 0, { { 0, 0, 0 } } }
#define IS(arg, value)		{ arg, UINT32_MAX, value }
#define IS_NULL(arg)		{ arg, UINT64_MAX, 0 }
#define WITHOUT(arg, bits)	{ arg, bits, 0 }
#define CLASS(name)		{ name, NITEMS(name) }
/* clang-format on */
#define SELF UINT32_MAX

/* memory: it grows and shrinks, and never becomes executable. */
static const struct call memory[] = {
	ALLOW(brk),
	ALLOW(mremap),
	ALLOW(munmap),
	ALLOW_1(mmap, WITHOUT(2, PROT_EXEC)),
	ALLOW_1(mprotect, WITHOUT(2, PROT_EXEC)),
	ALLOW_1(madvise, IS(2, MADV_DONTNEED)),
	ALLOW_1(madvise, IS(2, MADV_FREE)),
	ALLOW_1(madvise, IS(2, MADV_DONTDUMP)),
};

/*
 * libc: what it and the libraries do of their own accord, to this process
 * alone: its own signals, its own ids, clocks that can only be read (by call
 * where the vDSO cannot), random bytes, the wake-up after pthread_once(3), the
 * size of memory for qsort(3).  fstat(2) of glibc is fstatat(2), which would
 * also tell whether a file exists; stdio asks, and lives without an answer.
 */
static const struct call libc[] = {
	ALLOW(exit),
	ALLOW(exit_group),
	ALLOW(fstat),
	ALLOW(geteuid),
	ALLOW(getpid),
	ALLOW(getrandom),
	ALLOW(gettid),
	ALLOW(gettimeofday),
	ALLOW(getuid),
	ALLOW(restart_syscall),
	ALLOW(rt_sigaction),
	ALLOW(rt_sigprocmask),
	ALLOW(rt_sigreturn),
	ALLOW(sysinfo),
	ALLOW(time),
	ALLOW_1(clock_gettime, WITHOUT(0, UINT32_MAX & ~7U)),
	ALLOW_1(futex, IS(1, FUTEX_WAIT_PRIVATE)),
	ALLOW_1(futex, IS(1, FUTEX_WAKE_PRIVATE)),
	ALLOW_1(prctl, IS(0, PR_GET_DUMPABLE)),
	ALLOW_1(prctl, IS(0, PR_GET_NAME)),
	ALLOW_1(prctl, IS(0, PR_GET_NO_NEW_PRIVS)),
	ALLOW_1(prctl, IS(0, PR_GET_PDEATHSIG)),
	ALLOW_1(prctl, IS(0, PR_GET_SECCOMP)),
	ALLOW_1(prctl, IS(0, PR_SET_NAME)),
	ALLOW_1(tgkill, IS(0, SELF)),
	REFUSE(newfstatat, EACCES),
};

/* loop: wait for descriptors that are open already. */
static const struct call loop[] = {
	ALLOW(epoll_ctl),
	ALLOW(epoll_pwait),
	ALLOW(epoll_wait),
	ALLOW(poll),
	ALLOW(ppoll),
};

/*
 * bytes: move them through descriptors that are open already, and take the
 * descriptors that come with them; name no address, make no connection
 * (MSG_FASTOPEN would), have no signal sent (O_ASYNC would).
 */
static const struct call bytes[] = {
	ALLOW(close),
	ALLOW(lseek),
	ALLOW(read),
	ALLOW(readv),
	ALLOW(recvfrom),
	ALLOW(recvmsg),
	ALLOW(write),
	ALLOW(writev),
	ALLOW_1(sendmsg, WITHOUT(2, MSG_FASTOPEN)),
	ALLOW_2(sendto, WITHOUT(3, MSG_FASTOPEN), IS_NULL(4)),
	ALLOW_1(fcntl, IS(1, F_GETFD)),
	ALLOW_1(fcntl, IS(1, F_SETFD)),
	ALLOW_1(fcntl, IS(1, F_GETFL)),
	ALLOW_2(fcntl, IS(1, F_SETFL), WITHOUT(2, O_ASYNC)),
	ALLOW_1(fcntl, IS(1, F_GET_SEALS)),
	ALLOW_1(ioctl, IS(1, FIONBIO)),
	ALLOW_1(ioctl, IS(1, FIONREAD)),
};

/* stream: end a connection, and the few options that serving one needs. */
static const struct call stream[] = {
	ALLOW(shutdown),
	ALLOW_2(getsockopt, IS(1, SOL_SOCKET), IS(2, SO_ERROR)),
	ALLOW_2(getsockopt, IS(1, SOL_SOCKET), IS(2, SO_SNDBUF)),
	ALLOW_2(setsockopt, IS(1, SOL_SOCKET), IS(2, SO_LINGER)),
	ALLOW_2(setsockopt, IS(1, SOL_SOCKET), IS(2, SO_RCVBUF)),
	ALLOW_2(setsockopt, IS(1, SOL_SOCKET), IS(2, SO_SNDBUF)),
	ALLOW_2(setsockopt, IS(1, IPPROTO_TCP), IS(2, TCP_NODELAY)),
};

/* draining: lower the number of descriptors, so that no more come in. */
static const struct call draining[] = {
	ALLOW_2(prlimit64, IS(0, 0), IS(1, RLIMIT_NOFILE)),
};

/*
 * listener: accept from a listening socket that was passed.  getnameinfo(3),
 * which evhttp calls, wants a socket to look up the scope of a link-local
 * peer, and prints its number when it gets none.
 */
static const struct call listener[] = {
	ALLOW(accept4),
	ALLOW(getpeername),
	ALLOW(getsockname),
	REFUSE(socket, EACCES),
};

/* file: read back, cut and sync a file that was passed open. */
static const struct call file[] = {
	ALLOW(fsync),
	ALLOW(ftruncate),
	ALLOW(pread64),
};

static const struct class worker_classes[] = {
	CLASS(libc),
	CLASS(memory),
	CLASS(loop),
	CLASS(bytes),
	CLASS(stream),
	CLASS(draining),
};

static const struct class auth_classes[] = {
	CLASS(libc),
	CLASS(memory),
	CLASS(loop),
	CLASS(bytes),
};

static const struct class metrics_classes[] = {
	CLASS(libc),
	CLASS(memory),
	CLASS(loop),
	CLASS(bytes),
	CLASS(stream),
	CLASS(listener),
};

static const struct class audit_classes[] = {
	CLASS(libc),
	CLASS(memory),
	CLASS(loop),
	CLASS(bytes),
	CLASS(file),
};

/* ---- Landlock ---- */

/*
 * By raw system calls and with names of our own: a distribution's header may
 * be years older than its kernel.  A kernel takes a longer struct than it
 * knows as long as the rest is zero.
 */
#define LL_CREATE_RULESET  444 /* on every architecture */
#define LL_RESTRICT_SELF   446
#define LL_VERSION         (1U << 0)

#define LL_FS_EXECUTE      (1ULL << 0)
#define LL_FS_WRITE_FILE   (1ULL << 1)
#define LL_FS_READ_FILE    (1ULL << 2)
#define LL_FS_READ_DIR     (1ULL << 3)
#define LL_FS_REMOVE_DIR   (1ULL << 4)
#define LL_FS_REMOVE_FILE  (1ULL << 5)
#define LL_FS_MAKE_CHAR    (1ULL << 6)
#define LL_FS_MAKE_DIR     (1ULL << 7)
#define LL_FS_MAKE_REG     (1ULL << 8)
#define LL_FS_MAKE_SOCK    (1ULL << 9)
#define LL_FS_MAKE_FIFO    (1ULL << 10)
#define LL_FS_MAKE_BLOCK   (1ULL << 11)
#define LL_FS_MAKE_SYM     (1ULL << 12)
#define LL_FS_REFER        (1ULL << 13)
#define LL_FS_TRUNCATE     (1ULL << 14)
#define LL_FS_IOCTL_DEV    (1ULL << 15)
#define LL_FS_RESOLVE_UNIX (1ULL << 16)

#define LL_NET_BIND_TCP    (1ULL << 0)
#define LL_NET_CONNECT_TCP (1ULL << 1)
#define LL_NET_BIND_UDP    (1ULL << 2)
#define LL_NET_SEND_UDP    (1ULL << 3)

#define LL_SCOPE_ABSTRACT  (1ULL << 0)
#define LL_SCOPE_SIGNAL    (1ULL << 1)

#define LL_FS_FIRST        (LL_FS_MAKE_SYM | (LL_FS_MAKE_SYM - 1))

/* struct landlock_ruleset_attr: the rights that are taken away. */
struct rights {
	uint64_t fs;
	uint64_t net;
	uint64_t scope;
};

/* What each version of the interface brought. */
static const struct {
	int abi;
	struct rights rights;
} ll_versions[] = {
	{ 1, { LL_FS_FIRST, 0, 0 } },
	{ 2, { LL_FS_REFER, 0, 0 } },
	{ 3, { LL_FS_TRUNCATE, 0, 0 } },
	{ 4, { 0, LL_NET_BIND_TCP | LL_NET_CONNECT_TCP, 0 } },
	{ 5, { LL_FS_IOCTL_DEV, 0, 0 } },
	{ 6, { 0, 0, LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL } },
	{ 9, { LL_FS_RESOLVE_UNIX, 0, 0 } },
	{ 10, { 0, LL_NET_BIND_UDP | LL_NET_SEND_UDP, 0 } },
};
#define LL_NEWEST 10

/* Files, addresses, other processes: everything. */
static const struct rights everything = {
	UINT64_MAX,
	UINT64_MAX,
	UINT64_MAX,
};

/*
 * The supervisor opens files, starts programs, binds and signals its
 * children; it makes no device, pipe or link, connects to nothing, and
 * signals nobody else.
 */
static const struct rights parent_lacks = {
	LL_FS_MAKE_CHAR | LL_FS_MAKE_BLOCK | LL_FS_MAKE_FIFO | LL_FS_MAKE_SYM |
	    LL_FS_REMOVE_DIR | LL_FS_REFER | LL_FS_IOCTL_DEV,
	LL_NET_CONNECT_TCP | LL_NET_BIND_UDP | LL_NET_SEND_UDP,
	LL_SCOPE_SIGNAL,
};

/* ltpctl reads files and connects; it changes no file and runs nothing. */
static const struct rights ctl_lacks = {
	LL_FS_EXECUTE | LL_FS_WRITE_FILE | LL_FS_REMOVE_DIR |
	    LL_FS_REMOVE_FILE | LL_FS_MAKE_CHAR | LL_FS_MAKE_DIR |
	    LL_FS_MAKE_REG | LL_FS_MAKE_SOCK | LL_FS_MAKE_FIFO |
	    LL_FS_MAKE_BLOCK | LL_FS_MAKE_SYM | LL_FS_REFER | LL_FS_TRUNCATE,
	LL_NET_BIND_TCP,
	LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL,
};

/* ---- roles ---- */

struct policy {
	enum role role;
	const struct rights *lacks;
	const struct class *classes; /* NULL: neither filter nor limits */
	size_t nclasses;
	bool writes; /* a file, one that was passed */
};

/*
 * The supervisor has no filter, since its children would inherit it through
 * exec; Landlock nests, and each of them adds its own.
 */
static const struct policy policies[] = {
	{ ROLE_PARENT, &parent_lacks, NULL, 0, true },
	{ ROLE_WORKER, &everything, worker_classes, NITEMS(worker_classes),
	    false },
	{ ROLE_AUTH, &everything, auth_classes, NITEMS(auth_classes), false },
	{ ROLE_METRICS, &everything, metrics_classes, NITEMS(metrics_classes),
	    false },
	{ ROLE_AUDIT, &everything, audit_classes, NITEMS(audit_classes), true },
	{ ROLE_CTL, &ctl_lacks, NULL, 0, false },
};

/* No call tells which domain a process is in. */
static uint8_t landlock_abi;

int
sandbox_harden(int parent)
{
	struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    setrlimit(RLIMIT_CORE, &none) == -1)
		return -1;
	if (parent == 0)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1)
		return -1;
	if (getppid() != parent) {
		errno = ESRCH;
		return -1;
	}
	return 0;
}

/*
 * Start no process, write no file.  The hard limits stay: the filter does not
 * let the soft ones be raised, and when it cannot be entered, that must still
 * be said on a stderr that is a file.
 */
static int
limits_set(const struct policy *policy, bool confined)
{
	static const __rlimit_resource_t resources[] = { RLIMIT_CORE,
		RLIMIT_FSIZE, RLIMIT_NPROC };
	struct rlimit rl;
	size_t i;

	for (i = 0; i < NITEMS(resources); i++) {
		if (resources[i] == RLIMIT_FSIZE && policy->writes)
			continue;
		if (getrlimit(resources[i], &rl) == -1)
			return -1;
		rl.rlim_cur = confined ? 0 : rl.rlim_max;
		if (setrlimit(resources[i], &rl) == -1)
			return -1;
	}
	return 0;
}

static int
landlock_enter(const struct rights *lacks, const char **why)
{
	struct rights handled = { 0, 0, 0 };
	long abi;
	size_t i;
	int fd, saved;

	*why = "landlock: the kernel has none";
	abi = syscall(LL_CREATE_RULESET, NULL, (size_t)0, LL_VERSION);
	if (abi == -1)
		return -1;
	for (i = 0; i < NITEMS(ll_versions); i++) {
		if (ll_versions[i].abi > abi)
			break;
		handled.fs |= ll_versions[i].rights.fs & lacks->fs;
		handled.net |= ll_versions[i].rights.net & lacks->net;
		handled.scope |= ll_versions[i].rights.scope & lacks->scope;
	}

	*why = "landlock: rule set";
	fd = (int)syscall(LL_CREATE_RULESET, &handled, sizeof(handled), 0);
	if (fd == -1)
		return -1;
	*why = "landlock: restrict";
	if (syscall(LL_RESTRICT_SELF, fd, 0) == -1) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	close(fd);
	landlock_abi = (uint8_t)(abi < LL_NEWEST ? abi : LL_NEWEST);
	return 0;
}

/* Returns 0 or a negative errno, as libseccomp does. */
static int
filter_add(scmp_filter_ctx ctx, const struct call *call)
{
	struct scmp_arg_cmp cmp[MAX_TESTS];
	uint32_t action;
	size_t i;

	for (i = 0; i < call->ntests; i++) {
		cmp[i].arg = call->tests[i].arg;
		cmp[i].op = SCMP_CMP_MASKED_EQ;
		cmp[i].datum_a = call->tests[i].mask;
		cmp[i].datum_b = call->tests[i].value;
		if (cmp[i].datum_b == SELF)
			cmp[i].datum_b = (scmp_datum_t)getpid();
	}
	action = call->refusal == 0 ? SCMP_ACT_ALLOW
				    : SCMP_ACT_ERRNO((unsigned)call->refusal);
	return seccomp_rule_add_array(
	    ctx, action, call->nr, (unsigned)call->ntests, cmp);
}

static int
filter_enter(const struct policy *policy)
{
	const struct class *class;
	scmp_filter_ctx ctx;
	size_t i, j;
	int error;

	if ((ctx = seccomp_init(SCMP_ACT_KILL_PROCESS)) == NULL) {
		errno = ENOSYS; /* or out of memory; it does not say */
		return -1;
	}
	/* Another architecture has other numbers: i386, x32. */
	error = seccomp_attr_set(
	    ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	for (i = 0; i < policy->nclasses; i++) {
		class = &policy->classes[i];
		for (j = 0; j < class->ncalls && error == 0; j++)
			error = filter_add(ctx, &class->calls[j]);
	}
	if (error == 0)
		error = seccomp_load(ctx);
	seccomp_release(ctx);
	if (error != 0) {
		errno = -error;
		return -1;
	}
	return 0;
}

static const struct policy *
policy_find(enum role role)
{
	size_t i;

	for (i = 0; i < NITEMS(policies); i++) {
		if (policies[i].role == role)
			return &policies[i];
	}
	return NULL;
}

int
sandbox_enter(enum role role, const char **why)
{
	const struct policy *policy;
	int saved;

	*why = "no policy for this role";
	if ((policy = policy_find(role)) == NULL) {
		errno = EINVAL;
		return -1;
	}
	*why = "no_new_privs";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -1;
	if (landlock_enter(policy->lacks, why) == -1)
		return -1;
	if (policy->classes == NULL) {
		*why = NULL;
		return 0;
	}
	/*
	 * Errors go through the channel by now.  Whoever waits for the end of
	 * stderr shall not wait for us, and with a file size limit of 0 a
	 * stray line there would be deadly.
	 */
	*why = "stderr";
	if (dup2(STDOUT_FILENO, STDERR_FILENO) == -1)
		return -1;
	*why = "resource limits";
	if (limits_set(policy, true) == -1)
		return -1;
	*why = "seccomp filter";
	if (filter_enter(policy) == -1) {
		saved = errno;
		limits_set(policy, false);
		errno = saved;
		return -1;
	}
	*why = NULL;
	return 0;
}

/*
 * A filter cannot tell recvmsg(2) with descriptors from recvmsg(2) without;
 * the limit can.  It is 1, not 0, since poll(2) takes no more entries than the
 * limit; descriptor 0 is in use.  The other roles need descriptors all their
 * life (auth: new workers, metrics: connections) and set up nothing with calls
 * that they do not use later, so there is nothing to give up.
 */
int
sandbox_tighten(enum role role, const char **why)
{
	struct rlimit one = { 1, 1 };

	*why = "descriptor limit";
	if (role == ROLE_WORKER && setrlimit(RLIMIT_NOFILE, &one) == -1)
		return -1;
	*why = NULL;
	return 0;
}

void
sandbox_report(struct sandbox_state *state)
{
	state->mechanism = SANDBOX_NONE;
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER)
		state->mechanism = SANDBOX_SECCOMP;
	state->landlock_abi = landlock_abi;
	state->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
	state->dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0;
}
