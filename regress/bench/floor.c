/*
 * The floor: what the kernel alone costs.  An epoll loop that writes back the
 * bytes it read, whatever they are.  With -p a parent accepts and passes the
 * descriptors, as the supervisor of ltpd does.
 */
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLOOR_BACKLOG 1024
#define FLOOR_BATCH   64 /* connections that are accepted or passed at once */
#define FLOOR_EVENTS  512
#define FLOOR_READ    65536

struct floor {
	int epoll;
	int listener; /* -1: connections come over the channel */
	int channel; /* -1: they do not */
	unsigned long reads;
	/* Faults, for tests of who measures: at this read, 0 for never. */
	unsigned long spoil_at, stall_at;
	uint8_t bytes[FLOOR_READ];
};

static void
floor_poll(struct floor *f, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &ev) == -1)
		err(1, "epoll_ctl");
}

/* ---- where connections come from ---- */

/* As many as there are; returns how many. */
static size_t
floor_accept(int listener, int fds[FLOOR_BATCH])
{
	size_t n = 0;
	int fd, one = 1;

	while (n < FLOOR_BATCH) {
		fd =
		    accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd == -1 && errno == EAGAIN)
			break;
		if (fd == -1)
			err(1, "accept4");
		if (setsockopt(
			fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == -1)
			err(1, "TCP_NODELAY");
		fds[n++] = fd;
	}
	return n;
}

union control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(FLOOR_BATCH * sizeof(int))];
};

static void
floor_pass(int channel, const int *fds, size_t n)
{
	union control control = { 0 };
	uint8_t count = (uint8_t)n;
	struct iovec iov = { &count, 1 };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	if (sendmsg(channel, &msg, 0) == -1)
		err(1, "sendmsg");
}

static size_t
floor_receive(int channel, int fds[FLOOR_BATCH])
{
	union control control;
	uint8_t count;
	struct iovec iov = { &count, 1 };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	ssize_t n;

	n = recvmsg(channel, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n == -1 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		exit(0);
	c = CMSG_FIRSTHDR(&msg);
	if (c == NULL || c->cmsg_len != CMSG_LEN(count * sizeof(int)))
		errx(1, "descriptors were lost");
	memcpy(fds, CMSG_DATA(c), count * sizeof(int));
	return count;
}

static void
floor_adopt(struct floor *f)
{
	int fds[FLOOR_BATCH];
	size_t i, n;

	n = f->channel != -1 ? floor_receive(f->channel, fds)
			     : floor_accept(f->listener, fds);
	for (i = 0; i < n; i++)
		floor_poll(f, fds[i]);
}

/* ---- serving ---- */

static void
floor_fault(struct floor *f, size_t n)
{
	f->reads++;
	if (f->reads == f->spoil_at)
		f->bytes[n - 1] ^= 1;
	if (f->reads == f->stall_at)
		usleep(200000);
}

static void
floor_echo(struct floor *f, int fd)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };
	ssize_t done, n, sent;

	n = read(fd, f->bytes, sizeof(f->bytes));
	if (n == -1 && errno == EAGAIN)
		return;
	if (n <= 0) {
		close(fd);
		return;
	}
	floor_fault(f, (size_t)n);
	for (done = 0; done < n; done += sent) {
		sent =
		    send(fd, f->bytes + done, (size_t)(n - done), MSG_NOSIGNAL);
		if (sent == -1 && errno == EAGAIN) {
			sent = 0;
			poll(&room, 1, -1);
		} else if (sent == -1) {
			close(fd);
			return;
		}
	}
}

static void __attribute__((noreturn)) floor_serve(struct floor *f)
{
	struct epoll_event events[FLOOR_EVENTS];
	int i, n;

	f->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (f->epoll == -1)
		err(1, "epoll_create1");
	floor_poll(f, f->channel != -1 ? f->channel : f->listener);
	for (;;) {
		n = epoll_wait(f->epoll, events, FLOOR_EVENTS, -1);
		if (n == -1 && errno != EINTR)
			err(1, "epoll_wait");
		for (i = 0; i < n; i++) {
			if (events[i].data.fd == f->channel ||
			    events[i].data.fd == f->listener)
				floor_adopt(f);
			else
				floor_echo(f, events[i].data.fd);
		}
	}
}

/* The parent of -p: accept, pass, and look at nothing. */
static void __attribute__((noreturn)) floor_parent(int listener, int channel)
{
	struct pollfd pfd = { .fd = listener, .events = POLLIN };
	int fds[FLOOR_BATCH];
	size_t i, n;

	for (;;) {
		if (poll(&pfd, 1, -1) == -1 && errno != EINTR)
			err(1, "poll");
		n = floor_accept(listener, fds);
		if (n > 0)
			floor_pass(channel, fds, n);
		for (i = 0; i < n; i++)
			close(fds[i]);
	}
}

static void
floor_fork(struct floor *f)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
		err(1, "socketpair");
	switch (fork()) {
	case -1:
		err(1, "fork");
	case 0:
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		close(f->listener);
		f->listener = -1;
		f->channel = pair[1];
		floor_serve(f);
	default:
		close(pair[1]);
		floor_parent(f->listener, pair[0]);
	}
}

/* ---- starting ---- */

static int
floor_listen(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd;

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1 ||
	    bind(fd, (const struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(fd, FLOOR_BACKLOG) == -1 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) == -1)
		err(1, "listen");
	printf("port %u\n", ntohs(sin.sin_port));
	fflush(stdout);
	return fd;
}

int
main(int argc, char **argv)
{
	static struct floor f = { .channel = -1 };
	struct rlimit rl;
	bool pass = false;
	int c;

	while ((c = getopt(argc, argv, "pe:z:")) != -1) {
		switch (c) {
		case 'p':
			pass = true;
			break;
		case 'e':
			f.spoil_at = strtoul(optarg, NULL, 10);
			break;
		case 'z':
			f.stall_at = strtoul(optarg, NULL, 10);
			break;
		default:
			fputs("usage: floor [-p] [-e read to spoil] "
			      "[-z read to stall at]\n",
			    stderr);
			return 2;
		}
	}
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	f.listener = floor_listen();
	if (pass)
		floor_fork(&f);
	floor_serve(&f);
}
