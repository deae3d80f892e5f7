/*
 * What the supervisor reads of a child through the descriptors that the child
 * sent, and that it believes no others.  Run as root, both sides become
 * nobody first: root may read everything anyway.
 */
#include "unit.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "procinfo.h"
#include "sandbox.h"

#define NOBODY       65534
#define TIMEOUT_SECS 30 /* a read that blocks dies of SIGALRM */
#define BALLAST      ((size_t)32 << 20)
#define BURN_MS      50

/* A child in its sandbox, that sent its descriptors. */
struct child {
	pid_t pid;
	int channel;
	int fds[PROCINFO_FDS];
};

static int
group_setup(void **state)
{
	(void)state;
	alarm(TIMEOUT_SECS);
	if (getuid() != 0)
		return 0;
	if (setresgid(NOBODY, NOBODY, NOBODY) == -1 ||
	    setresuid(NOBODY, NOBODY, NOBODY) == -1)
		return -1;
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

/* ---- passing descriptors ---- */

#define FDS_SIZE (PROCINFO_FDS * sizeof(int))

static int
send_fds(int channel, const int fds[PROCINFO_FDS])
{
	char space[CMSG_SPACE(FDS_SIZE)] = "", byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr mh = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = space,
		.msg_controllen = sizeof(space) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&mh);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(FDS_SIZE);
	memcpy(CMSG_DATA(cmsg), fds, FDS_SIZE);
	return sendmsg(channel, &mh, 0) == 1 ? 0 : -1;
}

static int
receive_fds(int channel, int fds[PROCINFO_FDS])
{
	char space[CMSG_SPACE(FDS_SIZE)] = "", byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr mh = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = space,
		.msg_controllen = sizeof(space) };
	struct cmsghdr *cmsg;

	if (recvmsg(channel, &mh, MSG_CMSG_CLOEXEC) != 1 ||
	    (cmsg = CMSG_FIRSTHDR(&mh)) == NULL ||
	    cmsg->cmsg_len != CMSG_LEN(FDS_SIZE))
		return -1;
	memcpy(fds, CMSG_DATA(cmsg), FDS_SIZE);
	return 0;
}

static void
close_fds(int fds[PROCINFO_FDS])
{
	size_t i;

	for (i = 0; i < PROCINFO_FDS; i++) {
		if (fds[i] != -1)
			close(fds[i]);
	}
}

/* ---- a child ---- */

/* It closes its own and says so; then it takes what it is sent, likewise. */
static void
child_main(int channel, pid_t parent)
{
	int fds[PROCINFO_FDS];
	static volatile char ballast[BALLAST];
	const char *why;
	size_t i;

	if (sandbox_harden(parent) == -1)
		return;
	/* What would confuse a careless reader of stat and status. */
	prctl(PR_SET_NAME, "a) R 1 \nSecc 1", 0, 0, 0);
	for (i = 0; i < BALLAST; i++)
		ballast[i] = (char)(ballast[0] | 1);
	while (clock() < BURN_MS * (CLOCKS_PER_SEC / 1000))
		continue;
	if (procinfo_open(fds) != PROCINFO_FDS ||
	    sandbox_enter(ROLE_WORKER, &why) == -1 ||
	    send_fds(channel, fds) == -1)
		return;
	close_fds(fds);
	while (write(channel, "x", 1) == 1) {
		if (receive_fds(channel, fds) == -1)
			break;
	}
	for (;;)
		poll(NULL, 0, -1);
}

static void
child_start(struct child *c)
{
	pid_t parent = getpid();
	int channel[2];
	char byte;

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel), 0);
	fflush(NULL);
	c->pid = fork();
	assert_int_not_equal(c->pid, -1);
	if (c->pid == 0) {
		close(channel[0]);
		child_main(channel[1], parent);
		kill(getpid(), SIGKILL);
	}
	close(channel[1]);
	c->channel = channel[0];
	assert_int_equal(receive_fds(c->channel, c->fds), 0);
	assert_int_equal(read(c->channel, &byte, 1), 1);
}

static void
child_stop(struct child *c)
{
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	close(c->channel);
	close_fds(c->fds);
}

static void
assert_unknown(const struct msg_process *mp)
{
	assert_int_equal(mp->cpu_us, -1);
	assert_int_equal(mp->resident_bytes, -1);
	assert_int_equal(mp->descriptors, -1);
	assert_int_equal(mp->seccomp, 0);
	assert_int_equal(mp->no_new_privs, 0);
}

/* ---- tests ---- */

static void
a_sandboxed_child_can_be_read_through_its_descriptors(void **state)
{
	struct msg_process mp;
	struct child c;

	(void)state;
	child_start(&c);
	procinfo_read(c.pid, c.fds, PROCINFO_FDS, &mp);
	child_stop(&c);
	assert_true(mp.cpu_us >= BURN_MS * 1000 / 2);
	assert_true(mp.cpu_us < INT64_C(1000000) * TIMEOUT_SECS);
	assert_true(mp.resident_bytes >= (int64_t)BALLAST);
	assert_true(mp.resident_bytes < INT64_C(16) << 30);
	assert_int_equal(mp.seccomp, 2);
	assert_int_equal(mp.no_new_privs, 1);
}

static void
each_look_sees_what_is_there_now(void **state)
{
	struct msg_process before, after;
	struct child c;
	char byte;

	(void)state;
	child_start(&c);
	procinfo_read(c.pid, c.fds, PROCINFO_FDS, &before);
	assert_int_equal(send_fds(c.channel, c.fds), 0);
	assert_int_equal(read(c.channel, &byte, 1), 1);
	procinfo_read(c.pid, c.fds, PROCINFO_FDS, &after);
	child_stop(&c);
	assert_true(before.descriptors > 0);
	assert_int_equal(after.descriptors, before.descriptors + PROCINFO_FDS);
	assert_true(after.cpu_us >= before.cpu_us);
}

/* Why the child passes them. */
static void
without_them_its_parent_is_told_nothing(void **state)
{
	struct msg_process mp;
	struct child c;
	char path[64];
	int fd;

	(void)state;
	child_start(&c);
	snprintf(path, sizeof(path), "/proc/%ld/fd", (long)c.pid);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	procinfo_read(c.pid, NULL, 0, &mp);
	child_stop(&c);
	assert_int_equal(fd, -1);
	assert_unknown(&mp);
}

static void
a_dead_child_is_unknown(void **state)
{
	struct msg_process mp;
	struct child c;

	(void)state;
	child_start(&c);
	assert_int_equal(kill(c.pid, SIGKILL), 0);
	assert_int_equal(waitpid(c.pid, NULL, 0), c.pid);
	procinfo_read(c.pid, c.fds, PROCINFO_FDS, &mp);
	close(c.channel);
	close_fds(c.fds);
	assert_unknown(&mp);
}

static void
assert_disbelieved(pid_t pid, int fd)
{
	int fds[PROCINFO_FDS] = { fd, fd, fd, fd };
	struct msg_process mp;

	procinfo_read(pid, fds, PROCINFO_FDS, &mp);
	close(fd);
	assert_unknown(&mp);
}

/* None of these may block, either. */
static void
other_kinds_of_descriptors_are_not_believed(void **state)
{
	static const char stat[] = "1 (x) R 1 1 1 1 1 1 1 1 1 1 5 5 5\n";
	char name[] = "/tmp/procinfo_test.XXXXXXXXXX";
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_disbelieved(getpid(), ends[0]);
	close(ends[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_disbelieved(getpid(), ends[0]);
	close(ends[1]);
	ends[0] = mkstemp(name);
	assert_int_not_equal(ends[0], -1);
	unlink(name);
	assert_int_equal(write(ends[0], stat, strlen(stat)), strlen(stat));
	assert_disbelieved(getpid(), ends[0]);
	assert_disbelieved(getpid(), open("/dev/zero", O_RDONLY));
	assert_disbelieved(getpid(), open("/dev/null", O_RDONLY));
	assert_disbelieved(getpid(), -1);
}

static void
other_files_of_proc_are_not_believed(void **state)
{
	static const char *const names[] = { "/proc/self/cmdline",
		"/proc/self/environ", "/proc/self/maps", "/proc/self/task",
		"/proc/self", "/proc/stat", "/proc/uptime" };
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < COUNT_OF(names); i++) {
		fd = open(names[i], O_RDONLY);
		assert_int_not_equal(fd, -1);
		assert_disbelieved(getpid(), fd);
	}
}

static void
another_process_is_not_believed(void **state)
{
	int fds[PROCINFO_FDS];
	struct msg_process mp;
	struct child c;

	(void)state;
	child_start(&c);
	assert_int_equal(procinfo_open(fds), PROCINFO_FDS);
	procinfo_read(c.pid, fds, PROCINFO_FDS, &mp);
	child_stop(&c);
	close_fds(fds);
	assert_unknown(&mp);
}

static void
another_order_or_number_is_not_believed(void **state)
{
	int fds[PROCINFO_FDS], turned[PROCINFO_FDS];
	struct msg_process mp;

	(void)state;
	assert_int_equal(procinfo_open(fds), PROCINFO_FDS);
	turned[0] = fds[1];
	turned[1] = fds[2];
	turned[2] = fds[3];
	turned[3] = fds[0];
	procinfo_read(getpid(), turned, PROCINFO_FDS, &mp);
	assert_unknown(&mp);
	procinfo_read(getpid(), fds, PROCINFO_FDS - 1, &mp);
	assert_unknown(&mp);
	close_fds(fds);
}

static void
a_process_reads_itself_without_descriptors(void **state)
{
	struct msg_process mp;
	int fd, count = 0;

	(void)state;
	for (fd = 0; fd < 1024; fd++) {
		if (fcntl(fd, F_GETFD) != -1)
			count++;
	}
	procinfo_read(getpid(), NULL, 0, &mp);
	assert_true(mp.cpu_us >= 0);
	assert_true(mp.resident_bytes > 0);
	assert_int_equal(mp.descriptors, count);
	assert_int_equal(mp.seccomp, prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
	assert_int_equal(
	    mp.no_new_privs, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

static void
no_descriptor_is_left_behind(void **state)
{
	struct msg_process mp;
	int before, after;

	(void)state;
	before = dup(0);
	close(before);
	procinfo_read(getpid(), NULL, 0, &mp);
	after = dup(0);
	close(after);
	assert_int_equal(before, after);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    a_sandboxed_child_can_be_read_through_its_descriptors),
		cmocka_unit_test(each_look_sees_what_is_there_now),
		cmocka_unit_test(without_them_its_parent_is_told_nothing),
		cmocka_unit_test(a_dead_child_is_unknown),
		cmocka_unit_test(other_kinds_of_descriptors_are_not_believed),
		cmocka_unit_test(other_files_of_proc_are_not_believed),
		cmocka_unit_test(another_process_is_not_believed),
		cmocka_unit_test(another_order_or_number_is_not_believed),
		cmocka_unit_test(a_process_reads_itself_without_descriptors),
		cmocka_unit_test(no_descriptor_is_left_behind),
	};

	return cmocka_run_group_tests(tests, group_setup, NULL);
}
