/*
 * The sandbox: every forbidden call is really made, in a child that entered
 * the sandbox of a role, and must kill it (or be refused, where the policy
 * says so); what a role lives on must work.  Run as root, the children become
 * nobody first.
 */
#include "unit.h"

#include <sys/epoll.h>
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
#include <openssl/rand.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sandbox.h"

#define NOBODY	     65534
#define TIMEOUT_SECS 20 /* a child that hangs dies of SIGALRM */

/* Leak checks start a process at exit, which a sandbox forbids. */
#if defined(__SANITIZE_ADDRESS__)
#define HAVE_LEAK_CHECK 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_LEAK_CHECK 1
#endif
#endif
#ifndef HAVE_LEAK_CHECK
#define HAVE_LEAK_CHECK 0
#endif

/* Of architectures that lack it: no system call has this number. */
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup    425
#define SYS_io_uring_enter    426
#define SYS_io_uring_register 427
#endif

/* What a process has before it enters. */
struct before {
	struct event_base *base;
	pid_t parent;
	int channel[2];	 /* SOCK_SEQPACKET, [0] is the child's */
	int stream[2];	 /* SOCK_STREAM, likewise */
	int listener;	 /* TCP, on loopback */
	int dialled;	 /* TCP, connected to it */
	int abstract;	 /* bound to an abstract name, outside */
	int datagram;	 /* AF_UNIX, not connected */
	int memory;	 /* a memfd of a page */
	int passed[2];	 /* a pipe whose write end is passed */
	struct sockaddr_un abstract_addr;
	struct sockaddr_in listener_addr;
};

static volatile sig_atomic_t signalled;

/* ---- the forbidden ---- */

static long
forbid_open(struct before *b)
{
	(void)b;
	return syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
}

static long
forbid_openat2(struct before *b)
{
	uint64_t how[3] = { O_RDONLY, 0, 0 };

	(void)b;
	return syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", how, sizeof(how));
}

static long
forbid_openat_beside_a_descriptor(struct before *b)
{
	return syscall(SYS_openat, b->memory, "x", O_RDWR | O_CREAT, 0600);
}

static long
forbid_stat(struct before *b)
{
	struct stat st;

	(void)b;
	return syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &st, 0);
}

static long
forbid_statx(struct before *b)
{
	char buf[256];

	(void)b;
	return syscall(SYS_statx, AT_FDCWD, "/etc/passwd", 0, 0, buf);
}

static long
forbid_readlink(struct before *b)
{
	char buf[64];

	(void)b;
	return syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", buf,
	    sizeof(buf));
}

static long
forbid_access(struct before *b)
{
	(void)b;
	return syscall(SYS_faccessat, AT_FDCWD, "/etc/passwd", R_OK);
}

static long
forbid_unlink(struct before *b)
{
	(void)b;
	return syscall(SYS_unlinkat, AT_FDCWD, "/nonexistent/x", 0);
}

static long
forbid_mkdir(struct before *b)
{
	(void)b;
	return syscall(SYS_mkdirat, AT_FDCWD, "/nonexistent/x", 0700);
}

static long
forbid_rename(struct before *b)
{
	(void)b;
	return syscall(SYS_renameat2, AT_FDCWD, "/nonexistent/x", AT_FDCWD,
	    "/nonexistent/y", 0);
}

static long
forbid_chmod(struct before *b)
{
	return syscall(SYS_fchmod, b->memory, 0777);
}

static long
forbid_chdir(struct before *b)
{
	(void)b;
	return syscall(SYS_chdir, "/");
}

static long
forbid_chroot(struct before *b)
{
	(void)b;
	return syscall(SYS_chroot, "/nonexistent");
}

static long
forbid_mount(struct before *b)
{
	(void)b;
	return syscall(SYS_mount, "none", "/nonexistent", "tmpfs", 0, NULL);
}

static long
forbid_getdents(struct before *b)
{
	char buf[64];

	return syscall(SYS_getdents64, b->memory, buf, sizeof(buf));
}

static long
forbid_truncate(struct before *b)
{
	return syscall(SYS_ftruncate, b->memory, 0);
}

static long
forbid_sendfile(struct before *b)
{
	return syscall(SYS_sendfile, b->stream[0], b->memory, NULL, 1);
}

static long
forbid_socket(struct before *b)
{
	(void)b;
	return syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static long
forbid_socket_unix(struct before *b)
{
	(void)b;
	return syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
}

static long
forbid_socket_netlink(struct before *b)
{
	(void)b;
	return syscall(SYS_socket, AF_NETLINK, SOCK_RAW, 0);
}

static long
forbid_socketpair(struct before *b)
{
	int sv[2];

	(void)b;
	return syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, sv);
}

static long
forbid_connect(struct before *b)
{
	return syscall(SYS_connect, b->dialled, &b->listener_addr,
	    sizeof(b->listener_addr));
}

static long
forbid_bind(struct before *b)
{
	return syscall(SYS_bind, b->dialled, &b->listener_addr,
	    sizeof(b->listener_addr));
}

static long
forbid_listen(struct before *b)
{
	return syscall(SYS_listen, b->listener, 1);
}

static long
forbid_accept(struct before *b)
{
	return syscall(SYS_accept, b->listener, NULL, NULL);
}

static long
forbid_accept4(struct before *b)
{
	return syscall(SYS_accept4, b->listener, NULL, NULL, 0);
}

static long
forbid_getpeername(struct before *b)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);

	return syscall(SYS_getpeername, b->dialled, &sin, &len);
}

static long
forbid_sendto_an_address(struct before *b)
{
	return syscall(SYS_sendto, b->datagram, "x", 1, 0, &b->abstract_addr,
	    sizeof(b->abstract_addr));
}

static long
forbid_send_with_fast_open(struct before *b)
{
	return syscall(SYS_sendto, b->dialled, "x", 1, MSG_FASTOPEN, NULL, 0);
}

static long
forbid_sendmsg_with_fast_open(struct before *b)
{
	struct msghdr mh;

	memset(&mh, 0, sizeof(mh));
	return syscall(SYS_sendmsg, b->dialled, &mh, MSG_FASTOPEN);
}

static long
forbid_attaching_a_filter(struct before *b)
{
	return syscall(SYS_setsockopt, b->dialled, SOL_SOCKET,
	    SO_ATTACH_FILTER, "", 0);
}

static long
forbid_asking_for_the_peer(struct before *b)
{
	char buf[16];
	socklen_t len = sizeof(buf);

	return syscall(SYS_getsockopt, b->channel[0], SOL_SOCKET, SO_PEERCRED,
	    buf, &len);
}

static long
forbid_nodelay(struct before *b)
{
	int one = 1;

	return syscall(SYS_setsockopt, b->dialled, IPPROTO_TCP, TCP_NODELAY,
	    &one, sizeof(one));
}

static long
forbid_shutdown(struct before *b)
{
	return syscall(SYS_shutdown, b->dialled, SHUT_WR);
}

static long
forbid_exec(struct before *b)
{
	char *argv[] = { NULL };

	(void)b;
	return syscall(SYS_execve, "/nonexistent", argv, argv);
}

static long
forbid_execveat(struct before *b)
{
	char *argv[] = { NULL };

	return syscall(SYS_execveat, b->memory, "", argv, argv,
	    AT_EMPTY_PATH);
}

static long
forbid_fork(struct before *b)
{
	long pid;

	(void)b;
	pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		_exit(0);
	return pid;
}

static long
forbid_clone3(struct before *b)
{
	uint64_t args[8] = { 0 };
	long pid;

	(void)b;
	args[4] = SIGCHLD;
	pid = syscall(SYS_clone3, args, sizeof(args));
	if (pid == 0)
		_exit(0);
	return pid;
}

static long
forbid_wait(struct before *b)
{
	(void)b;
	return syscall(SYS_wait4, -1, NULL, WNOHANG, NULL);
}

static long
forbid_kill_of_the_parent(struct before *b)
{
	return syscall(SYS_kill, b->parent, SIGTERM);
}

static long
forbid_kill_of_itself(struct before *b)
{
	(void)b;
	return syscall(SYS_kill, getpid(), 0);
}

static long
forbid_tgkill_of_the_parent(struct before *b)
{
	return syscall(SYS_tgkill, b->parent, b->parent, SIGTERM);
}

static long
forbid_tkill(struct before *b)
{
	return syscall(SYS_tkill, b->parent, SIGTERM);
}

static long
forbid_sigqueue(struct before *b)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_code = SI_QUEUE;
	return syscall(SYS_rt_sigqueueinfo, b->parent, SIGTERM, &info);
}

static long
forbid_pidfd_open(struct before *b)
{
	return syscall(SYS_pidfd_open, b->parent, 0);
}

static long
forbid_pidfd_getfd(struct before *b)
{
	return syscall(SYS_pidfd_getfd, b->memory, 0, 0);
}

static long
forbid_pidfd_signal(struct before *b)
{
	return syscall(SYS_pidfd_send_signal, b->memory, 0, NULL, 0);
}

static long
forbid_ptrace(struct before *b)
{
	return syscall(SYS_ptrace, PTRACE_SEIZE, b->parent, NULL, NULL);
}

static long
forbid_reading_other_memory(struct before *b)
{
	char buf[8];
	struct iovec local = { buf, sizeof(buf) }, remote = { buf, 1 };

	return syscall(SYS_process_vm_readv, b->parent, &local, 1, &remote, 1,
	    0);
}

static long
forbid_writing_other_memory(struct before *b)
{
	char buf[8] = "";
	struct iovec local = { buf, 1 }, remote = { buf, 1 };

	return syscall(SYS_process_vm_writev, b->parent, &local, 1, &remote, 1,
	    0);
}

static long
forbid_setpriority(struct before *b)
{
	return syscall(SYS_setpriority, PRIO_PROCESS, b->parent, 19);
}

static long
forbid_getppid(struct before *b)
{
	(void)b;
	return syscall(SYS_getppid);
}

static long
forbid_writable_and_executable_memory(struct before *b)
{
	(void)b;
	return syscall(SYS_mmap, NULL, 4096,
	    PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
	    -1, 0);
}

static long
forbid_executable_mapping(struct before *b)
{
	return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED,
	    b->memory, 0);
}

static long
forbid_making_memory_executable(struct before *b)
{
	void *p;

	(void)b;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return syscall(SYS_mprotect, p, 4096, PROT_READ | PROT_EXEC);
}

static long
forbid_pkey_mprotect(struct before *b)
{
	(void)b;
	return syscall(SYS_pkey_mprotect, NULL, 0, PROT_READ | PROT_EXEC, -1);
}

static long
forbid_shmat(struct before *b)
{
	(void)b;
	return syscall(SYS_shmat, -1, NULL, 0);
}

static long
forbid_memfd(struct before *b)
{
	(void)b;
	return syscall(SYS_memfd_create, "x", 0);
}

static long
forbid_odd_madvise(struct before *b)
{
	(void)b;
	return syscall(SYS_madvise, NULL, 0, MADV_DOFORK);
}

static long
forbid_userfaultfd(struct before *b)
{
	(void)b;
	return syscall(SYS_userfaultfd, 0);
}

static long
forbid_io_uring_setup(struct before *b)
{
	char params[120] = "";

	(void)b;
	return syscall(SYS_io_uring_setup, 1, params);
}

static long
forbid_io_uring_enter(struct before *b)
{
	return syscall(SYS_io_uring_enter, b->memory, 0, 0, 0, NULL, 0);
}

static long
forbid_io_uring_register(struct before *b)
{
	return syscall(SYS_io_uring_register, b->memory, 0, NULL, 0);
}

static long
forbid_aio(struct before *b)
{
	unsigned long context = 0;

	(void)b;
	return syscall(SYS_io_setup, 1, &context);
}

static long
forbid_bpf(struct before *b)
{
	(void)b;
	return syscall(SYS_bpf, 0, NULL, 0);
}

static long
forbid_perf_event_open(struct before *b)
{
	(void)b;
	return syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0);
}

static long
forbid_keyctl(struct before *b)
{
	(void)b;
	return syscall(SYS_keyctl, 0, 0, 0, 0, 0);
}

static long
forbid_unshare(struct before *b)
{
	(void)b;
	return syscall(SYS_unshare, CLONE_NEWUSER);
}

static long
forbid_setns(struct before *b)
{
	return syscall(SYS_setns, b->memory, 0);
}

static long
forbid_setuid(struct before *b)
{
	(void)b;
	return syscall(SYS_setuid, NOBODY);
}

static long
forbid_capset(struct before *b)
{
	(void)b;
	return syscall(SYS_capset, NULL, NULL);
}

static long
forbid_becoming_dumpable(struct before *b)
{
	(void)b;
	return syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long
forbid_outliving_the_parent(struct before *b)
{
	(void)b;
	return syscall(SYS_prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0);
}

static long
forbid_another_filter(struct before *b)
{
	(void)b;
	return syscall(SYS_seccomp, 1, 0, NULL);
}

static long
forbid_landlock(struct before *b)
{
	(void)b;
	return syscall(444, NULL, 0, 1);
}

static long
forbid_personality(struct before *b)
{
	(void)b;
	return syscall(SYS_personality, 0xffffffffUL);
}

static long
forbid_arch_prctl_or_modify(struct before *b)
{
	(void)b;
#ifdef SYS_modify_ldt
	return syscall(SYS_modify_ldt, 0, NULL, 0);
#else
	return syscall(SYS_personality, 0);
#endif
}

static long
forbid_tty_injection(struct before *b)
{
	return syscall(SYS_ioctl, b->memory, TIOCSTI, "x");
}

static long
forbid_interface_ioctl(struct before *b)
{
	char buf[64] = "";

	return syscall(SYS_ioctl, b->dialled, 0x8910 /* SIOCGIFNAME */, buf);
}

static long
forbid_owner_of_a_descriptor(struct before *b)
{
	return syscall(SYS_fcntl, b->dialled, F_SETOWN, b->parent);
}

static long
forbid_signals_from_a_descriptor(struct before *b)
{
	return syscall(SYS_fcntl, b->dialled, F_SETFL, O_ASYNC);
}

static long
forbid_fcntl_dup(struct before *b)
{
	return syscall(SYS_fcntl, b->memory, F_DUPFD, 0);
}

static long
forbid_dup(struct before *b)
{
	return syscall(SYS_dup, b->memory);
}

static long
forbid_dup3(struct before *b)
{
	return syscall(SYS_dup3, b->memory, 50, 0);
}

static long
forbid_pipe(struct before *b)
{
	int fds[2];

	(void)b;
	return syscall(SYS_pipe2, fds, 0);
}

static long
forbid_eventfd(struct before *b)
{
	(void)b;
	return syscall(SYS_eventfd2, 0, 0);
}

static long
forbid_timerfd(struct before *b)
{
	(void)b;
	return syscall(SYS_timerfd_create, CLOCK_MONOTONIC, 0);
}

static long
forbid_epoll_create(struct before *b)
{
	(void)b;
	return syscall(SYS_epoll_create1, 0);
}

static long
forbid_inotify(struct before *b)
{
	(void)b;
	return syscall(SYS_inotify_init1, 0);
}

static long
forbid_futex_requeue(struct before *b)
{
	uint32_t word = 0;

	(void)b;
	return syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE_PI, 1, 1, &word, 0);
}

static long
forbid_setting_the_clock(struct before *b)
{
	struct timespec ts = { 0, 0 };

	(void)b;
	return syscall(SYS_clock_settime, 99, &ts);
}

static long
forbid_clock_of_the_parent(struct before *b)
{
	struct timespec ts;

	return syscall(SYS_clock_gettime, (int)(~(unsigned)b->parent << 3 | 2),
	    &ts);
}

static long
forbid_limit_of_processes(struct before *b)
{
	struct rlimit rl = { 0, 0 };

	(void)b;
	return syscall(SYS_prlimit64, 0, RLIMIT_NPROC, NULL, &rl);
}

static long
forbid_limit_of_the_parent(struct before *b)
{
	struct rlimit rl;

	return syscall(SYS_prlimit64, b->parent, RLIMIT_NOFILE, NULL, &rl);
}

static long
forbid_limit_of_descriptors(struct before *b)
{
	struct rlimit rl;

	(void)b;
	return syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &rl);
}

static long
forbid_uname(struct before *b)
{
	char buf[512];

	(void)b;
	return syscall(SYS_uname, buf);
}

static long
forbid_syslog(struct before *b)
{
	(void)b;
	return syscall(SYS_syslog, 10, NULL, 0);
}

static long
forbid_a_call_that_does_not_exist(struct before *b)
{
	(void)b;
	return syscall(4095);
}

#ifdef __x86_64__
static long
forbid_x32(struct before *b)
{
	(void)b;
	return syscall(0x40000000 | SYS_getpid);
}

/* Number 20 is getpid(2) there, and writev(2) here. */
static long
forbid_i386(struct before *b)
{
	long ret = 20;

	(void)b;
	__asm__ volatile("int $0x80"
			 : "+a"(ret)
			 :
			 : "memory", "r8", "r9", "r10", "r11");
	return ret;
}
#endif

#define ALL (ROLE_WORKER | ROLE_AUTH | ROLE_METRICS)

struct attempt {
	const char *name;
	long (*make)(struct before *);
	unsigned killed;  /* roles */
	unsigned refused; /* roles that get EACCES instead */
};

#define KILLED(what)		  { #what, forbid_##what, ALL, 0 }
#define KILLED_IN(what, roles)	  { #what, forbid_##what, roles, 0 }
#define REFUSED(what, in)	  { #what, forbid_##what, ALL & ~(in), in }

static const struct attempt attempts[] = {
	KILLED(open),
	KILLED(openat2),
	KILLED(openat_beside_a_descriptor),
	REFUSED(stat, ALL),
	KILLED(statx),
	KILLED(readlink),
	KILLED(access),
	KILLED(unlink),
	KILLED(mkdir),
	KILLED(rename),
	KILLED(chmod),
	KILLED(chdir),
	KILLED(chroot),
	KILLED(mount),
	KILLED(getdents),
	KILLED(truncate),
	KILLED(sendfile),
	REFUSED(socket, ROLE_METRICS),
	REFUSED(socket_unix, ROLE_METRICS),
	REFUSED(socket_netlink, ROLE_METRICS),
	KILLED(socketpair),
	KILLED(connect),
	KILLED(bind),
	KILLED(listen),
	KILLED(accept),
	KILLED_IN(accept4, ROLE_WORKER | ROLE_AUTH),
	KILLED_IN(getpeername, ROLE_WORKER | ROLE_AUTH),
	KILLED(sendto_an_address),
	KILLED(send_with_fast_open),
	KILLED(sendmsg_with_fast_open),
	KILLED(attaching_a_filter),
	KILLED(asking_for_the_peer),
	KILLED_IN(nodelay, ROLE_AUTH),
	KILLED_IN(shutdown, ROLE_AUTH),
	KILLED(exec),
	KILLED(execveat),
	KILLED(fork),
	KILLED(clone3),
	KILLED(wait),
	KILLED(kill_of_the_parent),
	KILLED(kill_of_itself),
	KILLED(tgkill_of_the_parent),
	KILLED(tkill),
	KILLED(sigqueue),
	KILLED(pidfd_open),
	KILLED(pidfd_getfd),
	KILLED(pidfd_signal),
	KILLED(ptrace),
	KILLED(reading_other_memory),
	KILLED(writing_other_memory),
	KILLED(setpriority),
	KILLED(getppid),
	KILLED(writable_and_executable_memory),
	KILLED(executable_mapping),
	KILLED(making_memory_executable),
	KILLED(pkey_mprotect),
	KILLED(shmat),
	KILLED(memfd),
	KILLED(odd_madvise),
	KILLED(userfaultfd),
	KILLED(io_uring_setup),
	KILLED(io_uring_enter),
	KILLED(io_uring_register),
	KILLED(aio),
	KILLED(bpf),
	KILLED(perf_event_open),
	KILLED(keyctl),
	KILLED(unshare),
	KILLED(setns),
	KILLED(setuid),
	KILLED(capset),
	KILLED(becoming_dumpable),
	KILLED(outliving_the_parent),
	KILLED(another_filter),
	KILLED(landlock),
	KILLED(personality),
	KILLED(arch_prctl_or_modify),
	KILLED(tty_injection),
	KILLED(interface_ioctl),
	KILLED(owner_of_a_descriptor),
	KILLED(signals_from_a_descriptor),
	KILLED(fcntl_dup),
	KILLED(dup),
	KILLED(dup3),
	KILLED(pipe),
	KILLED(eventfd),
	KILLED(timerfd),
	KILLED(epoll_create),
	KILLED(inotify),
	KILLED(futex_requeue),
	KILLED(setting_the_clock),
	KILLED(clock_of_the_parent),
	KILLED(limit_of_processes),
	KILLED(limit_of_the_parent),
	KILLED_IN(limit_of_descriptors, ROLE_AUTH | ROLE_METRICS),
	KILLED(uname),
	KILLED(syslog),
	KILLED(a_call_that_does_not_exist),
#ifdef __x86_64__
	KILLED(x32),
	KILLED(i386),
#endif
};
