/*
 * The control connection of ltpctl, a SOCK_SEQPACKET Unix socket with one
 * message to the datagram, as common/chan has it, but without an event loop:
 * a question, then its answer, with poll(2) and a deadline.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <vis.h>

#include "ask.h"
#include "monotime.h"
#include "wire.h"

#define ASK_RETRY_MS 20 /* between attempts while the backlog is full */

static int ask_fail(struct ask *, const char *, ...)
    __attribute__((__format__(printf, 2, 3)));

static int
ask_fail(struct ask *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(a->text, sizeof(a->text), fmt, ap);
	va_end(ap);
	return -1;
}

/*
 * Over.  The supervisor closes without a word on whom it does not serve:
 * other users, and more operators than it has room for.
 */
static int
ask_closed(struct ask *a)
{
	if (!a->greeted)
		return ask_fail(a, "refused by ltpd (not permitted, or busy)");
	return ask_fail(a, "the supervisor closed the connection");
}

static int
ask_broken(struct ask *a)
{
	if (errno == EPIPE || errno == ECONNRESET)
		return ask_closed(a);
	return ask_fail(a, "the supervisor: %s", strerror(errno));
}

int
ask_malformed(struct ask *a, enum msg_type type)
{
	return ask_fail(a, "malformed %s from the supervisor", msg_name(type));
}

static int
ask_wait(struct ask *a, short events, struct monotime deadline)
{
	struct pollfd pfd = { .fd = a->fd, .events = events };
	int64_t left;
	int n;

	for (;;) {
		left = monotime_diff_ms(deadline, monotime_now());
		if (left < 0)
			left = 0;
		n = poll(&pfd, 1, (int)left);
		if (n > 0)
			return 0;
		if (n == 0) {
			a->late = true;
			return ask_fail(
			    a, "no answer within %d s", a->timeout_ms / 1000);
		}
		if (errno != EINTR)
			return ask_fail(a, "poll: %s", strerror(errno));
	}
}

/* A non-blocking connect(2) fails with EAGAIN while the backlog is full. */
static int
ask_connect(struct ask *a, const struct sockaddr_un *sun)
{
	struct monotime deadline;

	deadline = monotime_add_ms(monotime_now(), a->timeout_ms);
	while (
	    connect(a->fd, (const struct sockaddr *)sun, sizeof(*sun)) == -1) {
		if (errno != EAGAIN && errno != EINTR)
			return -1;
		if (monotime_reached(monotime_now(), deadline)) {
			errno = ETIMEDOUT;
			return -1;
		}
		poll(NULL, 0, ASK_RETRY_MS);
	}
	return 0;
}

/* What a datagram of n bytes breaks, or NULL. */
static const char *
ask_check(const struct msghdr *mh, size_t n, struct msg_hdr *hdr)
{
	if (mh->msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return "a message that is too long or carries descriptors";
	if (n < sizeof(*hdr))
		return "a message without a header";
	memcpy(hdr, mh->msg_iov->iov_base, sizeof(*hdr));
	if (hdr->len != n - sizeof(*hdr))
		return "a message that lies about its length";
	return msg_check(hdr->type, ROLE_PARENT, ROLE_CTL, hdr->len, hdr->nfds);
}

static int
ask_recv(struct ask *a, struct ask_msg *m)
{
	struct iovec iov = { .iov_base = a->buf, .iov_len = sizeof(a->buf) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct monotime deadline;
	struct msg_hdr hdr;
	const char *why;
	ssize_t n;

	deadline = monotime_add_ms(monotime_now(), a->timeout_ms);
	while ((n = recvmsg(a->fd, &mh, 0)) == -1) {
		if (errno != EAGAIN && errno != EINTR)
			return ask_broken(a);
		if (ask_wait(a, POLLIN, deadline) == -1)
			return -1;
	}
	if (n == 0)
		return ask_closed(a);
	if ((why = ask_check(&mh, (size_t)n, &hdr)) != NULL)
		return ask_fail(
		    a, "the supervisor broke the protocol: %s", why);
	m->type = (enum msg_type)hdr.type;
	m->data = a->buf + sizeof(hdr);
	m->len = hdr.len;
	return 0;
}

int
ask_send(struct ask *a, enum msg_type type, const void *payload, size_t len)
{
	struct msg_hdr hdr = { .type = (uint16_t)type, .len = (uint32_t)len };
	struct iovec iov[2] = { { .iov_base = &hdr, .iov_len = sizeof(hdr) } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };
	struct monotime deadline;
	uint8_t buf[ASK_TEXT_MAX];
	const char *why;

	if (len > sizeof(buf))
		return ask_fail(a, "%s: too long", msg_name(type));
	if ((why = msg_check(type, ROLE_CTL, ROLE_PARENT, len, 0)) != NULL)
		return ask_fail(a, "%s: %s", msg_name(type), why);
	if (len > 0)
		memcpy(buf, payload, len);
	iov[1].iov_base = buf;
	iov[1].iov_len = len;
	deadline = monotime_add_ms(monotime_now(), a->timeout_ms);
	while (sendmsg(a->fd, &mh, MSG_NOSIGNAL) == -1) {
		if (errno != EAGAIN && errno != EINTR)
			return ask_broken(a);
		if (ask_wait(a, POLLOUT, deadline) == -1)
			return -1;
	}
	return 0;
}

/* The text of CTL_END in printable form; vis(3) needs four times the room. */
static enum ask_result
ask_end(struct ask *a, const struct ask_msg *m)
{
	struct msg_ctl_end end;
	struct wire w;
	const char *text;
	size_t len;

	wire_init(&w, m->data, m->len);
	wire_copy(&w, &end, sizeof(end));
	len = w.left;
	if (len > (sizeof(a->text) - 1) / 4)
		len = (sizeof(a->text) - 1) / 4;
	text = wire_bytes(&w, len);
	a->text[0] = '\0';
	if (text != NULL && len > 0)
		strvisx(a->text, text, len, VIS_NL | VIS_TAB | VIS_NOSLASH);
	if (!end.failed)
		return ASK_END;
	if (a->text[0] == '\0')
		ask_fail(a, "the supervisor refused without saying why");
	return ASK_FAILED;
}

enum ask_result
ask_next(struct ask *a, struct ask_msg *m)
{
	if (ask_recv(a, m) == -1)
		return ASK_FAILED;
	if (m->type == MSG_CTL_END)
		return ask_end(a, m);
	return ASK_RECORD;
}

static int
ask_hello(struct ask *a)
{
	struct msg_ctl_hello hello = { .version = CTL_VERSION };
	struct ask_msg m = { 0 };
	struct wire w;

	if (ask_send(a, MSG_CTL_HELLO, &hello, sizeof(hello)) == -1)
		return -1;
	if (ask_next(a, &m) == ASK_FAILED)
		return -1;
	if (m.type != MSG_CTL_HELLO)
		return ask_fail(a, "%s from the supervisor before its hello",
		    msg_name(m.type));
	a->greeted = true;
	wire_init(&w, m.data, m.len);
	wire_copy(&w, &hello, sizeof(hello));
	if (hello.version != CTL_VERSION)
		return ask_fail(a,
		    "ltpd speaks control version %u, this ltpctl %u",
		    hello.version, (unsigned)CTL_VERSION);
	return 0;
}

int
ask_open(struct ask *a, const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	memset(a, 0, sizeof(*a));
	a->fd = -1;
	a->timeout_ms = ASK_TIMEOUT_MS;
	if (strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) >=
	    sizeof(sun.sun_path))
		return ask_fail(a, "%s: %s", path, strerror(ENAMETOOLONG));
	a->fd =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->fd == -1)
		return ask_fail(a, "socket: %s", strerror(errno));
	if (ask_connect(a, &sun) == -1) {
		a->absent = errno == ENOENT || errno == ECONNREFUSED;
		a->late = errno == ETIMEDOUT;
		ask_fail(a, "%s: %s%s", path, strerror(errno),
		    a->absent ? " (is ltpd running?)" : "");
		goto fail;
	}
	if (ask_hello(a) == -1)
		goto fail;
	return 0;
fail:
	ask_close(a);
	return -1;
}

void
ask_close(struct ask *a)
{
	if (a->fd != -1)
		close(a->fd);
	a->fd = -1;
}
