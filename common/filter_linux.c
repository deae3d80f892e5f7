/*
 * The seccomp filter of a child.  Policies are data: a class is a list of
 * system calls under one promise, a role is a list of classes.  Where a call
 * can do more than its promise, its arguments are tested; what a filter cannot
 * see (the text of a path, the address in a msghdr) is left to Landlock, or
 * the call is on no list.
 *
 * A call that is on no list is not made, and the process dies of it.  The
 * kernel kills at once what comes by another architecture's numbers.
 * Otherwise it sends SIGSYS, once, to a handler that tells the supervisor
 * which call it was and falls: the disposition is back to killing before the
 * handler's first instruction, and nothing in the process can change it, since
 * sigaction(2) is on no list either.  A blocked SIGSYS kills as well.
 *
 * A call is refused with an error, rather than killed, only where libc is
 * known to try it and to live without; the list says where.
 */
#include "filter.h"

#include <sys/types.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <linux/futex.h>

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"

#define NITEMS(a) (sizeof(a) / sizeof((a)[0]))

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
	ALLOW_2(setsockopt, IS(1, SOL_SOCKET), IS(2, SO_RCVBUF)),
	ALLOW_2(setsockopt, IS(1, SOL_SOCKET), IS(2, SO_SNDBUF)),
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

/* The key file is read as any descriptor is. */
static const struct class sign_classes[] = {
	CLASS(libc),
	CLASS(memory),
	CLASS(loop),
	CLASS(bytes),
};

struct policy {
	enum role role;
	const struct class *classes;
	size_t nclasses;
};

static const struct policy policies[] = {
	{ ROLE_WORKER, worker_classes, NITEMS(worker_classes) },
	{ ROLE_AUTH, auth_classes, NITEMS(auth_classes) },
	{ ROLE_METRICS, metrics_classes, NITEMS(metrics_classes) },
	{ ROLE_AUDIT, audit_classes, NITEMS(audit_classes) },
	{ ROLE_SIGN, sign_classes, NITEMS(sign_classes) },
};

/* ---- the last word ---- */

/* As one datagram, so it cannot fall into another message. */
static void
filter_trapped(int sig, siginfo_t *info, void *context)
{
	struct {
		struct msg_hdr hdr;
		struct msg_trapped trapped;
	} m = {
		{ MSG_TRAPPED, 0, sizeof(struct msg_trapped) },
		{ info->si_syscall },
	};

	(void)context;
	send(CHILD_CHANNEL_FD, &m, sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL);
	raise(sig);
	_exit(1);
}

static int
filter_catch(void)
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = filter_trapped;
	sa.sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER;
	return sigaction(SIGSYS, &sa, NULL);
}

/* ---- loading ---- */

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
filter_enter(enum role role, bool only_log)
{
	const struct policy *policy = policy_find(role);
	const struct class *class;
	scmp_filter_ctx ctx;
	size_t i, j;
	int error;

	if (policy == NULL) {
		errno = EINVAL;
		return -1;
	}
	if (filter_catch() == -1)
		return -1;
	ctx = seccomp_init(only_log ? SCMP_ACT_LOG : SCMP_ACT_TRAP);
	if (ctx == NULL) {
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

size_t
filter_size(enum role role)
{
	const struct policy *policy = policy_find(role);
	size_t i, n = 0;

	for (i = 0; policy != NULL && i < policy->nclasses; i++)
		n += policy->classes[i].ncalls;
	return n;
}

char *
filter_call_name(char buf[FILTER_CALL_MAX], int nr)
{
	char *name;

	name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
	if (name == NULL)
		snprintf(buf, FILTER_CALL_MAX, "call %d", nr);
	else
		strlcpy(buf, name, FILTER_CALL_MAX);
	free(name);
	return buf;
}
