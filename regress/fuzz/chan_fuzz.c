/*
 * A hostile peer on a channel, over a real socketpair and with real
 * descriptors.  The input is two roles, how the handler behaves, and what
 * the peer does; what must come of it is known beforehand: the messages of a
 * datagram that keeps the rules are handed over whole and in their order, any
 * other ends the channel, and no descriptor stays behind.
 */
#include <sys/queue.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "fuzz.h"
#include "wire.h"

#define FDS_MAX    70 /* more than may be sent */
#define FLOODS_MAX 4 /* enough to reach the high-water mark */
#define SENT_MAX   64 /* datagrams that may wait in the socket */

enum op {
	OP_HONEST, /* a message with a header that tells the truth */
	OP_FITTING, /* the same, of the least size its rule allows */
	OP_LYING, /* a header that need not */
	OP_RAW,
	OP_PAUSE,
	OP_REPLY, /* we send, the peer reads */
	OP_FLOOD, /* we send, the peer does not read */
	OP_TAKE, /* the peer reads what waits, and we send what does */
	OP_CLOSE,
	OP__MAX
};

/* What the handler does beside looking. */
enum habit {
	HABIT_KEEP = 1 << 0, /* a descriptor */
	HABIT_REPLY = 1 << 1,
	HABIT_REJECT = 1 << 2, /* a message with an odd first byte */
	HABIT_FREE = 1 << 3, /* likewise, if the second is odd */
	HABIT_PAUSE = 1 << 4,
};

/* A datagram that the peer has sent. */
struct sent {
	TAILQ_ENTRY(sent) entry;
	bool good;
	bool end; /* an empty one cannot be told from the end */
	size_t nfds;
	size_t len;
	size_t done; /* bytes of messages that were handed over */
	uint8_t data[];
};

struct world {
	struct chan *ch; /* NULL: freed */
	enum role me;
	enum role peer;
	int fd; /* the peer's end, -1: closed */
	uint8_t habits;
	bool over; /* gone() was called */
	bool rejected;
	bool was_closed;
	unsigned floods;
	uint32_t next_out; /* number of our next message */
	uint32_t next_in; /* what the peer must read next */
	TAILQ_HEAD(, sent) sent;
	size_t nsent;
};

static struct event_base *base;

static void
forget(struct world *w)
{
	struct sent *s = TAILQ_FIRST(&w->sent);

	TAILQ_REMOVE(&w->sent, s, entry);
	w->nsent--;
	free(s);
}

/* ---- our end ---- */

static void
say(struct world *w, size_t len)
{
	static const uint8_t tail[MSG_MAX_PAYLOAD];
	int fd = -1, rv;

	/* Those that wait in the queue may have used them all up. */
	if (len % 5 == 1) {
		rv = chan_post(w->ch, MSG_LOG, &w->next_out,
		    sizeof(w->next_out), tail, len);
	} else if (len % 3 == 0 && (fd = open("/dev/null", O_RDONLY)) != -1) {
		rv = chan_send_fds(
		    w->ch, MSG_LOG, &fd, 1, &w->next_out, sizeof(w->next_out));
	} else {
		rv = chan_send(w->ch, MSG_LOG, &w->next_out,
		    sizeof(w->next_out), tail, len);
	}
	if (rv == 0)
		w->next_out++;
	else
		FUZZ_ASSERT(errno == ENOBUFS || errno == EMSGSIZE ||
			    errno == EPIPE || errno == ECONNRESET);
	FUZZ_ASSERT(chan_queued(w->ch) <= CHAN_HIGH_WATER);
}

static bool
is_odd(const struct msg *m, size_t i)
{
	return m->len > i && (m->data[i] & 1) != 0;
}

/* The rest of wire.h: text, fields, and building a payload again. */
static void
check_wire(const struct msg *m)
{
	uint8_t copy[64], field[4];
	struct wire_out out;
	struct wire w;
	char text[16];
	size_t n;

	wire_init(&w, m->data, m->len);
	n = strlen(wire_text(&w, m->len % 20, text, sizeof(text)));
	FUZZ_ASSERT(w.bad || n == m->len % 20);
	wire_copy(&w, field, sizeof(field));
	FUZZ_ASSERT(w.bad || w.left + m->len % 20 + 4 == m->len);
	wire_out_init(&out, copy, sizeof(copy));
	wire_put(&out, m->data, m->len);
	wire_put(&out, m->data, m->len);
	FUZZ_ASSERT(out.overflow == (2 * m->len > sizeof(copy)));
	if (!out.overflow && m->len > 0)
		FUZZ_ASSERT(memcmp(copy + m->len, m->data, m->len) == 0);
}

static void
on_message(struct chan *ch, struct msg *m, void *arg)
{
	struct world *w = arg;
	struct sent *s = TAILQ_FIRST(&w->sent);
	struct msg_hdr hdr;
	struct wire wire;
	size_t i;

	FUZZ_ASSERT(ch == w->ch && !w->over && !w->rejected);
	FUZZ_ASSERT(s != NULL && s->good && s->done < s->len);
	memcpy(&hdr, s->data + s->done, sizeof(hdr));
	s->done += sizeof(hdr);
	FUZZ_ASSERT(hdr.type == m->type && hdr.len == m->len);
	FUZZ_ASSERT(s->nfds == m->nfds);
	FUZZ_ASSERT(
	    m->len == 0 || memcmp(s->data + s->done, m->data, m->len) == 0);
	s->done += m->len;
	for (i = 0; i < m->nfds; i++)
		FUZZ_ASSERT(fcntl(m->fds[i], F_GETFD) == FD_CLOEXEC);
	wire_init(&wire, m->data, m->len);
	FUZZ_ASSERT(wire_bytes(&wire, m->len) != NULL && wire_done(&wire));
	FUZZ_ASSERT(wire_bytes(&wire, 1) == NULL && !wire_done(&wire));
	check_wire(m);
	if (s->done == s->len)
		forget(w);
	if ((w->habits & HABIT_KEEP) != 0 && m->nfds > 0) {
		close(m->fds[0]);
		m->fds[0] = -1;
	}
	if ((w->habits & HABIT_REPLY) != 0)
		say(w, m->len % 100);
	if ((w->habits & HABIT_PAUSE) != 0)
		chan_pause(ch, is_odd(m, 2));
	if ((w->habits & HABIT_REJECT) != 0 && is_odd(m, 0)) {
		chan_reject(ch, "not to my liking");
		w->rejected = true;
	}
	if ((w->habits & HABIT_FREE) != 0 && is_odd(m, 1)) {
		chan_free(ch);
		w->ch = NULL;
	}
}

static void
on_gone(struct chan *ch, enum chan_end end, void *arg)
{
	struct world *w = arg;
	struct sent *s = TAILQ_FIRST(&w->sent);

	FUZZ_ASSERT(ch == w->ch && !w->over);
	w->over = true;
	switch (end) {
	case CHAN_VIOLATION:
		FUZZ_ASSERT(w->rejected || (s != NULL && !s->good));
		FUZZ_ASSERT(chan_violation(ch) != NULL);
		break;
	case CHAN_EOF:
		FUZZ_ASSERT(w->was_closed || (s != NULL && s->end));
		break;
	case CHAN_ERROR:
		FUZZ_ASSERT(w->was_closed);
		break;
	}
	chan_free(ch);
	w->ch = NULL;
}

static void
on_writable(struct chan *ch, void *arg)
{
	(void)arg;
	FUZZ_ASSERT(chan_queued(ch) == 0);
}

static const struct chan_ops ops = { on_message, on_gone, on_writable };

/* ---- the peer's end ---- */

/* Does a datagram keep the rules, from its first byte to its last? */
static bool
is_good(const struct world *w, const uint8_t *p, size_t len, size_t nfds)
{
	struct msg_hdr hdr;
	size_t n = 0;

	if (len > sizeof(hdr) + MSG_MAX_PAYLOAD || nfds > MSG_MAX_FDS)
		return false;
	while (n == 0 || n < len) {
		if (len - n < sizeof(hdr))
			return false;
		memcpy(&hdr, p + n, sizeof(hdr));
		n += sizeof(hdr);
		if (hdr.len > len - n || hdr.nfds != nfds ||
		    (nfds > 0 && hdr.len != len - n) ||
		    msg_check(hdr.type, w->peer, w->me, hdr.len, nfds) != NULL)
			return false;
		n += hdr.len;
	}
	return true;
}

/* Send a datagram, with so many descriptors, and remember it. */
static void
peer_send(struct world *w, const uint8_t *data, size_t len, size_t nfds)
{
	union {
		struct cmsghdr align;
		uint8_t buf[CMSG_SPACE(sizeof(int) * FDS_MAX)];
	} control = { 0 };
	uint8_t none;
	struct iovec iov = { .iov_base = &none, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[FDS_MAX];
	struct cmsghdr *cm;
	struct sent *s;
	size_t i;

	if (w->fd == -1 || w->nsent == SENT_MAX)
		return;
	FUZZ_ASSERT((s = calloc(1, sizeof(*s) + len)) != NULL);
	if (len > 0) {
		memcpy(s->data, data, len);
		iov.iov_base = s->data;
	}
	if (nfds > 0) {
		for (i = 0; i < nfds; i++)
			fds[i] = w->fd;
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(cm), fds, sizeof(int) * nfds);
	}
	if (sendmsg(w->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) == -1) {
		free(s);
		return;
	}
	s->end = len == 0 && nfds == 0;
	s->good = is_good(w, s->data, len, nfds);
	s->nfds = nfds;
	s->len = len;
	TAILQ_INSERT_TAIL(&w->sent, s, entry);
	w->nsent++;
}

/* A message with a header of its own. */
static void
peer_say(struct world *w, const struct msg_hdr *hdr, const uint8_t *payload,
    size_t len, size_t nfds)
{
	uint8_t *datagram;

	FUZZ_ASSERT((datagram = malloc(sizeof(*hdr) + len)) != NULL);
	memcpy(datagram, hdr, sizeof(*hdr));
	if (len > 0)
		memcpy(datagram + sizeof(*hdr), payload, len);
	peer_send(w, datagram, sizeof(*hdr) + len, nfds);
	free(datagram);
}

/* A message of any type, as long as its rule wants it, and then some. */
static void
peer_fit(struct world *w, struct fuzz *f)
{
	static uint8_t payload[MSG_MAX_PAYLOAD + 256];
	struct msg_hdr hdr = { .type = fuzz_u8(f) % MSG__MAX };
	const struct msg_rule *r = msg_rule(hdr.type);
	size_t most = fuzz_u8(f), extra;

	if (r == NULL)
		return;
	extra = most < 16 ? most : 0;
	hdr.len = (most & 0x20) != 0 ? r->max_len : r->min_len;
	hdr.nfds = (most & 0x40) != 0 ? r->max_fds : r->min_fds;
	hdr.len += extra;
	memset(payload, 0, sizeof(payload));
	fuzz_read(f, payload, fuzz_u8(f));
	peer_say(w, &hdr, payload, hdr.len, hdr.nfds);
}

/* The messages of a datagram, which the peer has read. */
static void
peer_check(struct world *w, const uint8_t *p, size_t len, size_t nfds)
{
	struct msg_hdr hdr;
	uint32_t number;
	size_t n = 0;

	while (n < len) {
		FUZZ_ASSERT(len - n >= sizeof(hdr) + sizeof(number));
		memcpy(&hdr, p + n, sizeof(hdr));
		memcpy(&number, p + n + sizeof(hdr), sizeof(number));
		FUZZ_ASSERT(hdr.len <= len - n - sizeof(hdr));
		FUZZ_ASSERT(hdr.nfds == nfds);
		FUZZ_ASSERT(number == w->next_in++);
		n += sizeof(hdr) + hdr.len;
		FUZZ_ASSERT(nfds == 0 || n == len);
	}
}

/* Our messages come whole and in their order. */
static void
peer_read(struct world *w)
{
	static uint8_t buf[sizeof(struct msg_hdr) + MSG_MAX_PAYLOAD];
	union {
		struct cmsghdr align;
		uint8_t buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cm;
	ssize_t n;
	int fd;

	while (w->fd != -1) {
		mh.msg_control = control.buf;
		mh.msg_controllen = sizeof(control.buf);
		n = recvmsg(w->fd, &mh, MSG_DONTWAIT);
		if (n <= 0)
			return;
		cm = CMSG_FIRSTHDR(&mh);
		peer_check(w, buf, (size_t)n, cm != NULL);
		if (cm != NULL) {
			memcpy(&fd, CMSG_DATA(cm), sizeof(fd));
			close(fd);
		}
	}
}

static void
act(struct world *w, struct fuzz *f)
{
	struct msg_hdr hdr = { 0 };
	const uint8_t *p;
	size_t n, nfds = 0, i;

	switch (fuzz_u8(f) % OP__MAX) {
	case OP_HONEST:
		hdr.type = fuzz_u8(f);
		hdr.nfds = nfds = fuzz_u8(f) % (MSG_MAX_FDS + 1);
		p = fuzz_bytes(f, fuzz_u8(f), &n);
		hdr.len = n;
		peer_say(w, &hdr, p, n, nfds);
		break;
	case OP_FITTING:
		peer_fit(w, f);
		break;
	case OP_LYING:
		fuzz_read(f, &hdr, sizeof(hdr));
		nfds = fuzz_u8(f) % (FDS_MAX + 1);
		p = fuzz_bytes(f, fuzz_u8(f), &n);
		peer_say(w, &hdr, p, n, nfds);
		break;
	case OP_RAW:
		p = fuzz_bytes(f, fuzz_u8(f), &n);
		peer_send(w, p, n, fuzz_u8(f) % 4);
		break;
	case OP_PAUSE:
		chan_pause(w->ch, (fuzz_u8(f) & 1) != 0);
		break;
	case OP_REPLY:
		say(w, fuzz_u16(f));
		peer_read(w);
		chan_flush(w->ch, 0);
		break;
	case OP_FLOOD:
		n = w->floods++ < FLOODS_MAX ? fuzz_u8(f) : 0;
		for (i = 0; i < n; i++)
			say(w, 64 * n + 1);
		break;
	case OP_TAKE:
		peer_read(w);
		break;
	case OP_CLOSE:
		if (w->fd != -1)
			close(w->fd);
		w->fd = -1;
		w->was_closed = true;
		break;
	}
}

/* Whatever the number is, it has a name. */
static void
check_names(unsigned n)
{
	FUZZ_ASSERT(*msg_name(n) != '\0');
	FUZZ_ASSERT(*role_name((enum role)n) != '\0');
	FUZZ_ASSERT(*role_name((enum role)(1U << n % 8)) != '\0');
	FUZZ_ASSERT(*child_state_name(n % 8) != '\0');
}

static bool
begin(struct world *w, struct fuzz *f)
{
	static const enum role roles[] = { ROLE_PARENT, ROLE_WORKER, ROLE_AUTH,
		ROLE_METRICS, ROLE_CTL, ROLE_AUDIT, ROLE_SIGN };
	int pair[2];
	uint8_t who = fuzz_u8(f);

	memset(w, 0, sizeof(*w));
	TAILQ_INIT(&w->sent);
	w->me = roles[who % 6];
	w->peer = roles[who / 6 % 6];
	w->habits = fuzz_u8(f);
	if (base == NULL)
		base = event_base_new();
	if (base == NULL ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		0, pair) == -1)
		return false;
	w->fd = pair[0];
	w->ch = chan_new(base, pair[1], w->me, w->peer, &ops, w);
	return w->ch != NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz f = { data, len };
	struct world w;
	int before;

	if (base == NULL)
		base = event_base_new();
	before = fuzz_next_fd();
	FUZZ_ASSERT(begin(&w, &f));
	check_names(len > 2 ? data[2] : 0);
	while (w.ch != NULL && f.left > 0) {
		act(&w, &f);
		if (w.ch != NULL)
			event_base_loop(base, EVLOOP_NONBLOCK);
	}
	if (w.ch != NULL) {
		chan_pause(w.ch, false);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	if (w.ch != NULL)
		chan_drain(w.ch);
	/* All that was sent has been answered for. */
	if (w.ch != NULL)
		FUZZ_ASSERT(w.nsent == 0);
	chan_free(w.ch);
	if (w.fd != -1)
		close(w.fd);
	while (!TAILQ_EMPTY(&w.sent))
		forget(&w);
	FUZZ_ASSERT(fuzz_next_fd() == before);
	return 0;
}
