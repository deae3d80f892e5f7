/*
 * Channels: datagrams with descriptors, a bounded queue, and the rule table
 * in front of every handler.
 */
#include "chan.h"

#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monotime.h"

/* Messages taken per wake-up, so that one peer cannot keep the loop. */
#define CHAN_BATCH 64

/*
 * More than a socket holds: what a dead peer's descendant goes on sending is
 * not waited for.
 */
#define CHAN_DRAIN_MAX 4096

/* Bytes of messages that wait for the end of a turn, at most. */
#define CHAN_POST_MAX 4096

struct chan_out {
	TAILQ_ENTRY(chan_out) entry;
	size_t nfds;
	size_t size; /* of data: header and payload */
	uint8_t *data; /* behind the descriptors */
	int fds[];
};

struct chan {
	int fd;
	enum role me;
	enum role peer;
	const struct chan_ops *ops;
	void *arg;
	struct event *readable;
	struct event *writable;
	TAILQ_HEAD(, chan_out) queue;
	size_t queued; /* bytes in the queue */
	struct event *turn_ends; /* active while something is posted */
	size_t posted; /* bytes of messages that leave then */
	uint8_t post[CHAN_POST_MAX];
	bool paused;
	const char *why; /* the rule that the peer broke */
	bool *freed; /* set by chan_free() inside a callback */
};

static void chan_readable(int, short, void *);
static void chan_writable(int, short, void *);
static void chan_turn_ends(int, short, void *);

struct chan *
chan_new(struct event_base *base, int fd, enum role me, enum role peer,
    const struct chan_ops *ops, void *arg)
{
	struct chan *ch;

	if ((ch = calloc(1, sizeof(*ch))) == NULL)
		return NULL;
	ch->me = me;
	ch->peer = peer;
	ch->ops = ops;
	ch->arg = arg;
	TAILQ_INIT(&ch->queue);
	ch->fd = fd;
	ch->readable =
	    event_new(base, fd, EV_READ | EV_PERSIST, chan_readable, ch);
	ch->writable =
	    event_new(base, fd, EV_WRITE | EV_PERSIST, chan_writable, ch);
	ch->turn_ends = event_new(base, -1, 0, chan_turn_ends, ch);
	if (ch->readable == NULL || ch->writable == NULL ||
	    ch->turn_ends == NULL || event_add(ch->readable, NULL) == -1) {
		ch->fd = -1;
		chan_free(ch);
		errno = ENOMEM;
		return NULL;
	}
	return ch;
}

static void
chan_close_fds(const int *fds, size_t nfds)
{
	size_t i;

	for (i = 0; i < nfds; i++) {
		if (fds[i] != -1)
			close(fds[i]);
	}
}

static void
chan_dequeue(struct chan *ch, struct chan_out *o)
{
	TAILQ_REMOVE(&ch->queue, o, entry);
	ch->queued -= o->size;
	chan_close_fds(o->fds, o->nfds);
	freezero(o, sizeof(*o) + o->nfds * sizeof(o->fds[0]) + o->size);
}

void
chan_free(struct chan *ch)
{
	struct chan_out *o;

	if (ch == NULL)
		return;
	if (ch->freed != NULL)
		*ch->freed = true;
	while ((o = TAILQ_FIRST(&ch->queue)) != NULL)
		chan_dequeue(ch, o);
	if (ch->readable != NULL)
		event_free(ch->readable);
	if (ch->writable != NULL)
		event_free(ch->writable);
	if (ch->turn_ends != NULL)
		event_free(ch->turn_ends);
	if (ch->fd != -1)
		close(ch->fd);
	explicit_bzero(ch->post, ch->posted);
	free(ch);
}

/* ---- sending ---- */

static ssize_t
chan_sendmsg(struct chan *ch, struct iovec *iov, size_t niov, const int *fds,
    size_t nfds)
{
	union {
		struct cmsghdr align;
		uint8_t buf[CMSG_SPACE(sizeof(int) * MSG_MAX_FDS)];
	} control;
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = niov };
	struct cmsghdr *cm;
	ssize_t n;

	if (nfds > 0) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(cm), fds, sizeof(int) * nfds);
	}
	do {
		n = sendmsg(ch->fd, &mh, MSG_NOSIGNAL);
	} while (n == -1 && errno == EINTR);
	return n;
}

/*
 * Errors of sendmsg(2) that time cures: a full buffer, or more descriptors
 * in flight than the limit allows.
 */
static bool
chan_must_wait(int error)
{
	return error == EAGAIN || error == ENOBUFS || error == ETOOMANYREFS;
}

static int
chan_enqueue(struct chan *ch, struct iovec *iov, size_t niov, const int *fds,
    size_t nfds)
{
	struct chan_out *o;
	size_t i, size = 0;

	for (i = 0; i < niov; i++)
		size += iov[i].iov_len;
	if (ch->queued + size > CHAN_HIGH_WATER) {
		errno = ENOBUFS;
		return -1;
	}
	o = malloc(sizeof(*o) + nfds * sizeof(o->fds[0]) + size);
	if (o == NULL)
		return -1;
	o->data = (uint8_t *)&o->fds[nfds];
	o->nfds = nfds;
	if (nfds > 0)
		memcpy(o->fds, fds, sizeof(int) * nfds);
	o->size = 0;
	for (i = 0; i < niov; i++) {
		if (iov[i].iov_len == 0)
			continue;
		memcpy(o->data + o->size, iov[i].iov_base, iov[i].iov_len);
		o->size += iov[i].iov_len;
	}
	TAILQ_INSERT_TAIL(&ch->queue, o, entry);
	ch->queued += size;
	event_add(ch->writable, NULL);
	return 0;
}

/* Send a datagram, or queue it.  The descriptors are closed. */
static int
chan_datagram(struct chan *ch, struct iovec *iov, size_t niov, const int *fds,
    size_t nfds)
{
	int error;

	if (TAILQ_EMPTY(&ch->queue)) {
		if (chan_sendmsg(ch, iov, niov, fds, nfds) != -1) {
			chan_close_fds(fds, nfds);
			return 0;
		}
		if (!chan_must_wait(errno)) {
			error = errno;
			chan_close_fds(fds, nfds);
			errno = error;
			return -1;
		}
	}
	if (chan_enqueue(ch, iov, niov, fds, nfds) == -1) {
		error = errno;
		chan_close_fds(fds, nfds);
		errno = error;
		return -1;
	}
	return 0;
}

/*
 * What was posted leaves.  If it cannot, because the peer has gone, that will
 * be read soon enough.
 */
static void
chan_send_posted(struct chan *ch)
{
	struct iovec iov = { ch->post, ch->posted };

	if (ch->posted == 0)
		return;
	chan_datagram(ch, &iov, 1, NULL, 0);
	explicit_bzero(ch->post, ch->posted);
	ch->posted = 0;
}

static void
chan_turn_ends(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	chan_send_posted(arg);
}

static int
chan_transmit(struct chan *ch, enum msg_type type,
    const struct iovec payload[2], const int *fds, size_t nfds)
{
	struct msg_hdr hdr;
	struct iovec iov[3] = { { &hdr, sizeof(hdr) }, payload[0], payload[1] };
	size_t len = payload[0].iov_len + payload[1].iov_len;

	if (len > MSG_MAX_PAYLOAD || nfds > MSG_MAX_FDS) {
		chan_close_fds(fds, nfds);
		errno = EMSGSIZE;
		return -1;
	}
	hdr.type = type;
	hdr.nfds = nfds;
	hdr.len = len;
	chan_send_posted(ch);
	return chan_datagram(ch, iov, 3, fds, nfds);
}

/* An iovec does not promise to leave its bytes alone; sendmsg(2) does. */
static struct iovec
chan_part(const void *p, size_t len)
{
	union {
		const void *c;
		void *v;
	} u = { .c = p };

	return (struct iovec){ .iov_base = u.v, .iov_len = len };
}

int
chan_send(struct chan *ch, enum msg_type type, const void *head, size_t headlen,
    const void *tail, size_t taillen)
{
	struct iovec payload[2] = { chan_part(head, headlen),
		chan_part(tail, taillen) };

	return chan_transmit(ch, type, payload, NULL, 0);
}

static void
chan_append(struct chan *ch, const void *p, size_t len)
{
	if (len > 0)
		memcpy(ch->post + ch->posted, p, len);
	ch->posted += len;
}

int
chan_post(struct chan *ch, enum msg_type type, const void *head, size_t headlen,
    const void *tail, size_t taillen)
{
	struct msg_hdr hdr = { .type = type, .len = headlen + taillen };
	size_t size = sizeof(hdr) + hdr.len;

	/* What is queued already goes out as it is. */
	if (size > CHAN_POST_MAX || !TAILQ_EMPTY(&ch->queue))
		return chan_send(ch, type, head, headlen, tail, taillen);
	if (ch->posted + size > CHAN_POST_MAX)
		chan_send_posted(ch);
	if (ch->posted == 0)
		event_active(ch->turn_ends, EV_WRITE, 0);
	chan_append(ch, &hdr, sizeof(hdr));
	chan_append(ch, head, headlen);
	chan_append(ch, tail, taillen);
	return 0;
}

int
chan_send_fds(struct chan *ch, enum msg_type type, const int *fds, size_t nfds,
    const void *payload, size_t len)
{
	struct iovec parts[2] = { chan_part(payload, len), chan_part(NULL, 0) };

	return chan_transmit(ch, type, parts, fds, nfds);
}

/* Nothing is read or sent any more; the owner frees the channel. */
static void
chan_gone(struct chan *ch, enum chan_end end)
{
	event_del(ch->readable);
	event_del(ch->writable);
	event_del(ch->turn_ends);
	ch->ops->gone(ch, end, ch->arg);
}

/* Send what is queued; 0 when the queue is empty, -1 with errno. */
static int
chan_send_queue(struct chan *ch)
{
	struct chan_out *o;
	struct iovec iov;

	while ((o = TAILQ_FIRST(&ch->queue)) != NULL) {
		iov.iov_base = o->data;
		iov.iov_len = o->size;
		if (chan_sendmsg(ch, &iov, 1, o->fds, o->nfds) == -1)
			return -1;
		chan_dequeue(ch, o);
	}
	return 0;
}

static void
chan_writable(int fd, short what, void *arg)
{
	struct chan *ch = arg;

	(void)fd;
	(void)what;
	if (chan_send_queue(ch) == 0) {
		event_del(ch->writable);
		if (ch->ops->writable != NULL)
			ch->ops->writable(ch, ch->arg);
	} else if (!chan_must_wait(errno)) {
		chan_gone(ch, CHAN_ERROR);
	}
}

int
chan_flush(struct chan *ch, int timeout_ms)
{
	struct monotime end = monotime_add_ms(monotime_now(), timeout_ms);
	struct pollfd pfd = { .fd = ch->fd, .events = POLLOUT };
	int64_t left;

	chan_send_posted(ch);
	while (chan_send_queue(ch) == -1) {
		if (!chan_must_wait(errno))
			return -1;
		left = monotime_diff_ms(end, monotime_now());
		if (left <= 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		if (poll(&pfd, 1, (int)left) == -1 && errno != EINTR)
			return -1;
	}
	event_del(ch->writable);
	return 0;
}

/* ---- receiving ---- */

/*
 * Collect the descriptors that came with a message.  More than fit make the
 * kernel set MSG_CTRUNC; the caller refuses that.
 */
static size_t
chan_take_fds(struct msghdr *mh, int fds[MSG_MAX_FDS])
{
	struct cmsghdr *cm;
	size_t n, nfds = 0;

	for (cm = CMSG_FIRSTHDR(mh); cm != NULL; cm = CMSG_NXTHDR(mh, cm)) {
		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (n > MSG_MAX_FDS - nfds)
			n = MSG_MAX_FDS - nfds;
		memcpy(fds + nfds, CMSG_DATA(cm), n * sizeof(int));
		nfds += n;
	}
	return nfds;
}

/*
 * Close what came and was not kept.  The last close(2) of a connection may be
 * made to wait for hours, by SO_LINGER, for what its peer has not taken.  The
 * supervisor must not; no sandbox allows that call.
 */
static void
chan_refuse_fds(enum role me, const int *fds, size_t nfds)
{
	const struct linger off = { .l_onoff = 0 };
	size_t i;

	for (i = 0; i < nfds; i++) {
		if (me == ROLE_PARENT && fds[i] != -1)
			setsockopt(
			    fds[i], SOL_SOCKET, SO_LINGER, &off, sizeof(off));
	}
	chan_close_fds(fds, nfds);
}

/*
 * What is wrong with a datagram of n bytes, NULL: nothing.  One message after
 * the other, up to its end; one with descriptors is alone.
 */
static const char *
chan_check(const struct chan *ch, const struct msghdr *mh, const uint8_t *data,
    size_t n, size_t nfds)
{
	struct msg_hdr hdr;
	const char *why;

	if ((mh->msg_flags & MSG_CTRUNC) != 0)
		return "too many descriptors";
	if ((mh->msg_flags & MSG_TRUNC) != 0)
		return "message too long";
	do {
		if (n < sizeof(hdr))
			return "message too short";
		memcpy(&hdr, data, sizeof(hdr));
		n -= sizeof(hdr);
		if (hdr.len > n || (nfds > 0 && hdr.len != n))
			return "length is a lie";
		if (hdr.nfds != nfds)
			return "descriptor count is a lie";
		why = msg_check(hdr.type, ch->peer, ch->me, hdr.len, nfds);
		if (why != NULL)
			return why;
		data += sizeof(hdr) + hdr.len;
		n -= hdr.len;
	} while (n > 0);
	return NULL;
}

/*
 * Hand over the messages of a datagram that was checked, with m->nfds
 * descriptors.  False when that has freed the channel.
 */
static bool
chan_dispatch(struct chan *ch, struct msg *m, const uint8_t *data, size_t n)
{
	const uint8_t *end = data + n;
	struct msg_hdr hdr;
	bool freed = false;

	while (data < end && ch->why == NULL) {
		memcpy(&hdr, data, sizeof(hdr));
		m->type = hdr.type;
		m->data = data + sizeof(hdr);
		m->len = hdr.len;
		data = m->data + m->len;
		/* cppcheck-suppress autoVariables; it is taken back below */
		ch->freed = &freed;
		ch->ops->message(ch, m, ch->arg);
		if (freed)
			return false;
		ch->freed = NULL;
	}
	return true;
}

/*
 * Read and dispatch one datagram.  Returns 1 to go on, 0 when there is none,
 * -1 when the channel is over (and maybe freed).
 */
static int
chan_receive(struct chan *ch, uint8_t *buf, size_t size)
{
	union {
		struct cmsghdr align;
		uint8_t buf[CMSG_SPACE(sizeof(int) * MSG_MAX_FDS)];
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr mh = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	struct msg m = { .type = MSG_NONE };
	const enum role me = ch->me;
	bool alive = true;
	ssize_t n;

	n = recvmsg(ch->fd, &mh, MSG_CMSG_CLOEXEC);
	/*
	 * It went without reading all that it was sent, which is told once
	 * and before its last words.
	 */
	if (n == -1 && errno == ECONNRESET)
		n = recvmsg(ch->fd, &mh, MSG_CMSG_CLOEXEC);
	if (n == -1) {
		if (errno == EAGAIN || errno == EINTR)
			return 0;
		chan_gone(ch, errno == ECONNRESET ? CHAN_EOF : CHAN_ERROR);
		return -1;
	}
	m.nfds = chan_take_fds(&mh, m.fds);
	if (n == 0 && m.nfds == 0) {
		chan_gone(ch, CHAN_EOF);
		return -1;
	}
	ch->why = chan_check(ch, &mh, buf, (size_t)n, m.nfds);
	if (ch->why == NULL)
		alive = chan_dispatch(ch, &m, buf, (size_t)n);
	chan_refuse_fds(me, m.fds, m.nfds);
	explicit_bzero(buf, n);
	if (!alive)
		return -1;
	if (ch->why != NULL) {
		chan_gone(ch, CHAN_VIOLATION);
		return -1;
	}
	return 1;
}

static void
chan_readable(int fd, short what, void *arg)
{
	struct chan *ch = arg;
	_Alignas(8) uint8_t buf[sizeof(struct msg_hdr) + MSG_MAX_PAYLOAD];
	int i;

	(void)fd;
	(void)what;
	for (i = 0; i < CHAN_BATCH; i++) {
		if (chan_receive(ch, buf, sizeof(buf)) != 1 || ch->paused)
			break;
	}
}

void
chan_drain(struct chan *ch)
{
	_Alignas(8) uint8_t buf[sizeof(struct msg_hdr) + MSG_MAX_PAYLOAD];
	int i;

	for (i = 0; i < CHAN_DRAIN_MAX; i++) {
		if (chan_receive(ch, buf, sizeof(buf)) != 1)
			break;
	}
}

struct event_base *
chan_base(const struct chan *ch)
{
	return event_get_base(ch->readable);
}

size_t
chan_queued(const struct chan *ch)
{
	return ch->queued;
}

const char *
chan_violation(const struct chan *ch)
{
	return ch->why == NULL ? "no violation" : ch->why;
}

void
chan_reject(struct chan *ch, const char *why)
{
	ch->why = why;
}

void
chan_pause(struct chan *ch, bool pause)
{
	if (ch->paused == pause)
		return;
	ch->paused = pause;
	if (pause)
		event_del(ch->readable);
	else
		event_add(ch->readable, NULL);
}
