/*
 * One connection of the load generator: connect, upgrade, greet, send, and
 * compare whatever comes back with what must come back.  The first byte that
 * is wrong ends the program.
 */
#include "conn.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tlsclient.h"

#define CONN_EVENTS 512
#define CONN_WRITE  65536
/* 127.0.1.0, which no server listens on; sources count from there. */
#define CONN_SOURCE 0x7f000100u
#define CONN_SHOWN  200 /* bytes of a wrong reply that are printed */

/* ---- what goes wrong ---- */

static void
conn_show(const char *what, const uint8_t *bytes, size_t len)
{
	size_t i;

	fprintf(stderr, "load: %s %zu bytes: \"", what, len);
	for (i = 0; i < len && i < CONN_SHOWN; i++) {
		if (bytes[i] >= ' ' && bytes[i] < 0x7f && bytes[i] != '\\')
			fputc(bytes[i], stderr);
		else
			fprintf(stderr, "\\x%02x", bytes[i]);
	}
	fprintf(stderr, "\"%s\n", len > CONN_SHOWN ? ".." : "");
}

static void __attribute__((noreturn)) conn_wrong(const struct load *l,
    const struct conn *c, const uint8_t *bytes, size_t len)
{
	uint8_t expected[TARGET_BYTES_MAX];
	size_t n;

	if (c->state == CONN_READY) {
		n = target_expected(&l->target, &c->who, c->received, expected);
		conn_show("expected", expected, n);
	}
	conn_show("came", bytes, len);
	if (c->state == CONN_READY)
		errx(1, "wrong reply: connection %u, message %llu",
		    c->who.number, (unsigned long long)c->received);
	errx(1, "wrong answer to %s: connection %u",
	    c->state == CONN_UPGRADING ? "the upgrade" : "hello",
	    c->who.number);
}

/* ---- opening and closing ---- */

static void
conn_poll(struct load *l, struct conn *c, int op)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

	if (c->waits)
		ev.events |= EPOLLOUT;
	if (epoll_ctl(l->epoll, op, c->fd, &ev) == -1)
		err(1, "epoll_ctl");
}

static void
conn_bind(const struct load *l, struct conn *c)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int one = 1;

	/* The port is chosen with the peer known, so it need be free for it only. */
	if (setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one,
		sizeof(one)) == -1)
		err(1, "IP_BIND_ADDRESS_NO_PORT");
	sin.sin_addr.s_addr =
	    htonl(CONN_SOURCE + 1 + c->who.number % l->sources);
	if (bind(c->fd, (const struct sockaddr *)&sin, sizeof(sin)) == -1)
		err(1, "bind");
}

struct conn *
conn_open(struct load *l, unsigned client)
{
	struct conn *c;
	int one = 1;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		err(1, NULL);
	c->who.number = client;
	c->opened = load_now();
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd == -1)
		err(1, "socket of connection %u", client);
	if (setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ==
	    -1)
		err(1, "TCP_NODELAY");
	conn_bind(l, c);
	if (connect(c->fd, (const struct sockaddr *)&l->server,
		sizeof(l->server)) == -1 &&
	    errno != EINPROGRESS)
		err(1, "connect %u", client);
	c->waits = true;
	conn_poll(l, c, EPOLL_CTL_ADD);
	l->opened++;
	return c;
}

void
conn_close(struct conn *c)
{
	if (c == NULL)
		return;
	tlsclient_free(c->ssl);
	close(c->fd);
	free(c->times);
	free(c->out);
	free(c->in);
	free(c);
}

/* ---- sending ---- */

static ssize_t
conn_put(struct conn *c, const uint8_t *bytes, size_t len)
{
	if (c->ssl != NULL)
		return tlsclient_write(c->ssl, bytes, len);
	return send(c->fd, bytes, len, MSG_NOSIGNAL);
}

/* Keep what could not be written. */
static void
conn_keep(struct load *l, struct conn *c, const uint8_t *bytes, size_t len)
{
	if (c->out_len + len > c->out_size) {
		c->out_size = (c->out_len + len) * 2;
		c->out = realloc(c->out, c->out_size);
		if (c->out == NULL)
			err(1, NULL);
	}
	memcpy(c->out + c->out_len, bytes, len);
	c->out_len += len;
	if (!c->waits) {
		c->waits = true;
		conn_poll(l, c, EPOLL_CTL_MOD);
	}
}

static void
conn_write(struct load *l, struct conn *c, const uint8_t *bytes, size_t len)
{
	ssize_t n = 0;

	if (c->out_len == 0) {
		n = conn_put(c, bytes, len);
		if (n == -1 && errno != EAGAIN)
			err(1, "write: connection %u", c->who.number);
		if (n == -1)
			n = 0;
	}
	if ((size_t)n < len)
		conn_keep(l, c, bytes + n, len - (size_t)n);
}

/* There is room again. */
static void
conn_flush(struct load *l, struct conn *c)
{
	ssize_t n;

	if (c->out_len > 0) {
		n = conn_put(c, c->out, c->out_len);
		if (n == -1 && errno == EAGAIN)
			return;
		if (n == -1)
			err(1, "write: connection %u", c->who.number);
		c->out_len -= (size_t)n;
		memmove(c->out, c->out + n, c->out_len);
	}
	if (c->out_len == 0) {
		c->waits = false;
		conn_poll(l, c, EPOLL_CTL_MOD);
	}
}

void
conn_send(struct load *l, struct conn *c, unsigned n)
{
	uint8_t out[CONN_WRITE];
	size_t len = 0;

	for (; n > 0; n--) {
		if (len + TARGET_BYTES_MAX > sizeof(out)) {
			conn_write(l, c, out, len);
			len = 0;
		}
		len += target_message(&l->target, &c->who, c->sent, out + len);
		c->sent++;
		l->sent++;
	}
	conn_write(l, c, out, len);
}

static void
conn_step(struct load *l, struct conn *c, enum target_step step)
{
	uint8_t out[TARGET_BYTES_MAX];
	size_t len;

	len = target_say(&l->target, step, &c->who, out);
	conn_write(l, c, out, len);
}

/* ---- hearing ---- */

/* The answer to a step of the greeting: how much it was, 0 if it is not all. */
static size_t
conn_greeting(struct load *l, struct conn *c, const uint8_t *in, size_t len)
{
	bool upgrading = c->state == CONN_UPGRADING;
	ssize_t n;

	n = target_check_step(&l->target,
	    upgrading ? TARGET_UPGRADE : TARGET_HELLO, &c->who, in, len);
	/* A NATS server goes on by itself, all others wait for us. */
	if (n == -1 ||
	    (n > 0 && (size_t)n != len && l->target.kind != TARGET_NATS))
		conn_wrong(l, c, in, len);
	if (n > 0 && upgrading) {
		c->state = CONN_GREETING;
		conn_step(l, c, TARGET_HELLO);
	} else if (n > 0) {
		c->state = CONN_READY;
		l->greeted++;
	}
	return (size_t)n;
}

/* Replies to messages: how many bytes of them are whole. */
static size_t
conn_replies(struct load *l, struct conn *c, const uint8_t *in, size_t len,
    unsigned *count)
{
	size_t used = 0;
	unsigned replies;
	ssize_t n;

	*count = 0;
	while (used < len) {
		n = target_check_reply(&l->target, &c->who, c->received,
		    in + used, len - used, &replies);
		if (n == 0)
			break;
		if (n == -1 || c->received + replies > c->sent)
			conn_wrong(l, c, in + used, len - used);
		used += (size_t)n;
		c->received += replies;
		l->received += replies;
		*count += replies;
	}
	return used;
}

/* Keep the beginning of a reply till the rest comes. */
static void
conn_rest(struct conn *c, const uint8_t *in, size_t len)
{
	if (len > TARGET_REPLY_MAX)
		errx(1, "too long a reply: connection %u", c->who.number);
	if (len > 0 && c->in == NULL &&
	    (c->in = malloc(TARGET_REPLY_MAX)) == NULL)
		err(1, NULL);
	if (len > 0)
		memcpy(c->in, in, len);
	c->in_len = len;
}

static ssize_t
conn_get(struct conn *c, uint8_t *bytes, size_t size)
{
	if (c->ssl != NULL)
		return tlsclient_read(c->ssl, bytes, size);
	return recv(c->fd, bytes, size, 0);
}

/* True: there may be more, of which the socket knows nothing. */
static bool
conn_read_once(struct load *l, struct conn *c)
{
	unsigned replies;
	size_t len, used;
	ssize_t n;

	if (c->in_len > 0)
		memcpy(l->in, c->in, c->in_len);
	n = conn_get(c, l->in + c->in_len, LOAD_READ);
	if (n == -1 && errno == EAGAIN)
		return false;
	if (n == -1)
		err(1, "read: connection %u", c->who.number);
	if (n == 0)
		errx(
		    1, "connection %u was closed by the server", c->who.number);
	len = c->in_len + (size_t)n;
	if (c->state != CONN_READY) {
		used = conn_greeting(l, c, l->in, len);
		conn_rest(c, l->in + used, len - used);
		if (c->state == CONN_READY && l->mode->greeted != NULL)
			l->mode->greeted(l, c);
		return false;
	}
	used = conn_replies(l, c, l->in, len, &replies);
	conn_rest(c, l->in + used, len - used);
	if (replies > 0)
		l->mode->replied(l, c, replies);
	return c->ssl != NULL && n == LOAD_READ;
}

static void
conn_read(struct load *l, struct conn *c)
{
	while (conn_read_once(l, c))
		continue;
}

/* ---- connecting ---- */

/* There is a way for bytes. */
static void
conn_upgrade(struct load *l, struct conn *c)
{
	c->state = CONN_UPGRADING;
	c->waits = false;
	conn_step(l, c, TARGET_UPGRADE);
	conn_poll(l, c, EPOLL_CTL_MOD);
}

static void
conn_secure(struct load *l, struct conn *c)
{
	bool waits = false;

	if (tlsclient_handshake(l->tls, c->ssl, &waits)) {
		conn_upgrade(l, c);
	} else if (c->waits != waits) {
		c->waits = waits;
		conn_poll(l, c, EPOLL_CTL_MOD);
	}
}

static void
conn_connected(struct load *l, struct conn *c)
{
	socklen_t len = sizeof(int);
	int error;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		err(1, "SO_ERROR");
	if (error != 0) {
		errno = error;
		err(1, "connect %u", c->who.number);
	}
	if (l->tls == NULL) {
		conn_upgrade(l, c);
		return;
	}
	c->state = CONN_SECURING;
	c->ssl = tlsclient_open(l->tls, c->fd);
	conn_secure(l, c);
}

/* It is not greeted yet, and may not be connected. */
static void
conn_opening(struct load *l, struct conn *c)
{
	if (c->state == CONN_CONNECTING)
		conn_connected(l, c);
	else
		conn_secure(l, c);
}

void
conn_wait(struct load *l, int timeout)
{
	struct epoll_event events[CONN_EVENTS];
	struct conn *c;
	int i, n;

	n = epoll_wait(l->epoll, events, CONN_EVENTS, timeout);
	if (n == -1 && errno != EINTR)
		err(1, "epoll_wait");
	l->now = load_now();
	for (i = 0; i < n; i++) {
		c = events[i].data.ptr;
		if (c == NULL) /* not a connection: hold's input */
			l->stopping = true;
		else if (c->state <= CONN_SECURING)
			conn_opening(l, c);
		else {
			if (events[i].events & EPOLLOUT)
				conn_flush(l, c);
			if (events[i].events & ~(uint32_t)EPOLLOUT)
				conn_read(l, c);
		}
	}
}
