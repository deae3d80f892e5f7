/*
 * An echo server made of the worker's own upgrade.o, ws.o and utf8.o, so
 * that any suite of tests for RFC 6455 can be run against them: text and
 * binary messages come back as they are, a ping is answered by a pong, a
 * close by a close, a violation by the close code that it deserves, and a
 * bad upgrade by its HTTP status.  It listens on the loopback address, and
 * on any free port when that is 0; what it got is printed.  A message may
 * have 16 MiB, or what -m says, and 65535 continuation frames, which is what
 * such suites send.
 */
#include <sys/types.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "upgrade.h"
#include "ws.h"

#define ECHO_MAX_MESSAGE (16 << 20)
#define ECHO_FRAGMENTS   UINT16_MAX
#define ECHO_READ_MAX    65536 /* bytes taken from a socket at once */
#define ECHO_OUTPUT_HIGH (1 << 20) /* unsent bytes at which reading stops */
#define ECHO_OUTPUT_LOW  65536 /* and goes on again */
#define ECHO_LINGER_SEC  1 /* for the peer to see our last words */

struct peer {
	TAILQ_ENTRY(peer) entry;
	struct echo *echo;
	struct bufferevent *bev;
	struct upgrade *upgrade; /* NULL once it is done */
	struct ws ws;
	struct event *linger; /* NULL until all is sent */
	bool closing; /* all is said, input is thrown away */
	bool ended; /* the peer will send no more */
};

struct echo {
	struct event_base *base;
	uint32_t max_message;
	struct evconnlistener *listener;
	struct event *sigint;
	struct event *sigterm;
	TAILQ_HEAD(, peer) peers;
};

static void
peer_free(struct peer *p)
{
	TAILQ_REMOVE(&p->echo->peers, p, entry);
	ws_clear(&p->ws);
	upgrade_free(p->upgrade);
	if (p->linger != NULL)
		event_free(p->linger);
	bufferevent_free(p->bev);
	free(p);
}

static void
peer_on_linger(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	peer_free(arg);
}

/* Nothing more to say: peer_on_write() goes on when it is sent. */
static void
peer_close(struct peer *p)
{
	p->closing = true;
	bufferevent_enable(p->bev, EV_READ);
}

/* Half-close, and wait for the peer to do the same, but not for long. */
static void
peer_shutdown(struct peer *p)
{
	const struct timeval linger = { .tv_sec = ECHO_LINGER_SEC };

	shutdown(bufferevent_getfd(p->bev), SHUT_WR);
	p->linger = evtimer_new(p->echo->base, peer_on_linger, p);
	if (p->linger == NULL || event_add(p->linger, &linger) == -1)
		errx(1, "out of memory");
}

static void
peer_send(struct peer *p, enum ws_opcode op, const uint8_t *data, size_t len)
{
	uint8_t head[WS_HEADER_MAX];
	size_t n;

	n = ws_header(head, op, len, NULL);
	if (bufferevent_write(p->bev, head, n) == -1 ||
	    bufferevent_write(p->bev, data, len) == -1)
		errx(1, "out of memory");
}

static void
peer_send_close(struct peer *p, uint16_t code, const char *reason)
{
	uint8_t payload[WS_CONTROL_MAX];
	size_t n;

	n = ws_close_payload(payload, code, reason);
	peer_send(p, WS_OP_CLOSE, payload, n);
	peer_close(p);
}

static void
peer_frames(struct peer *p, uint8_t *in, size_t len)
{
	struct ws_frame f;
	enum ws_event ev;

	while (!p->closing && (ev = ws_next(&p->ws, &in, &len, &f)) != WS_MORE)
		switch (ev) {
		case WS_MESSAGE:
			peer_send(p, f.opcode, f.data, f.len);
			break;
		case WS_PING:
			peer_send(p, WS_OP_PONG, f.data, f.len);
			break;
		case WS_CLOSE:
			peer_send_close(p, f.code, NULL);
			break;
		case WS_FAIL:
			peer_send_close(p, f.code, f.reason);
			break;
		default:
			break;
		}
}

/* Returns how many bytes belonged to the request. */
static size_t
peer_request(struct peer *p, const uint8_t *in, size_t len)
{
	char response[UPGRADE_RESPONSE_MAX];
	size_t used, n = 0;

	switch (upgrade_input(p->upgrade, in, len, &used)) {
	case UPGRADE_MORE:
		break;
	case UPGRADE_DONE:
		if ((n = upgrade_print_accept(p->upgrade, response)) == 0)
			errx(1, "SHA-1 is not available");
		upgrade_free(p->upgrade);
		p->upgrade = NULL;
		break;
	case UPGRADE_BAD:
		n = upgrade_print_refusal(response, upgrade_status(p->upgrade),
		    upgrade_reason(p->upgrade), 1);
		peer_close(p);
		break;
	}
	if (n > 0 && bufferevent_write(p->bev, response, n) == -1)
		errx(1, "out of memory");
	return used;
}

static void
peer_on_read(struct bufferevent *bev, void *arg)
{
	struct peer *p = arg;
	struct evbuffer *input = bufferevent_get_input(bev);
	struct evbuffer_iovec v;
	uint8_t *in;
	size_t used;

	while (evbuffer_peek(input, -1, NULL, &v, 1) > 0) {
		in = v.iov_base;
		used = 0;
		if (!p->closing && p->upgrade != NULL)
			used = peer_request(p, in, v.iov_len);
		if (!p->closing && p->upgrade == NULL)
			peer_frames(p, in + used, v.iov_len - used);
		evbuffer_drain(input, v.iov_len);
	}
	/* Who does not read is not read from. */
	if (!p->closing &&
	    evbuffer_get_length(bufferevent_get_output(bev)) > ECHO_OUTPUT_HIGH)
		bufferevent_disable(bev, EV_READ);
}

static void
peer_on_write(struct bufferevent *bev, void *arg)
{
	struct peer *p = arg;
	bool empty = evbuffer_get_length(bufferevent_get_output(bev)) == 0;

	if (p->ended && empty)
		peer_free(p);
	else if (p->closing && empty && p->linger == NULL)
		peer_shutdown(p);
	else if (!p->closing && !p->ended)
		bufferevent_enable(bev, EV_READ);
}

/* A peer that only stopped sending still gets what it has asked for. */
static void
peer_on_event(struct bufferevent *bev, short what, void *arg)
{
	struct peer *p = arg;

	if ((what & BEV_EVENT_EOF) != 0 &&
	    evbuffer_get_length(bufferevent_get_output(bev)) > 0)
		p->ended = true;
	else
		peer_free(p);
}

static void
echo_on_accept(struct evconnlistener *listener, evutil_socket_t fd,
    struct sockaddr *sa, int len, void *arg)
{
	struct echo *echo = arg;
	struct event_base *base = echo->base;
	struct peer *p;
	int on = 1;

	(void)listener;
	(void)sa;
	(void)len;
	if ((p = calloc(1, sizeof(*p))) == NULL ||
	    (p->upgrade = upgrade_new()) == NULL ||
	    (p->bev = bufferevent_socket_new(
		 base, fd, BEV_OPT_CLOSE_ON_FREE)) == NULL)
		errx(1, "out of memory");
	p->echo = echo;
	TAILQ_INSERT_TAIL(&echo->peers, p, entry);
	ws_init(&p->ws, echo->max_message, false);
	p->ws.max_fragments = ECHO_FRAGMENTS;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	bufferevent_setcb(
	    p->bev, peer_on_read, peer_on_write, peer_on_event, p);
	bufferevent_setwatermark(p->bev, EV_READ, 0, ECHO_READ_MAX);
	bufferevent_setwatermark(p->bev, EV_WRITE, ECHO_OUTPUT_LOW, 0);
	bufferevent_enable(p->bev, EV_READ | EV_WRITE);
}

static void
echo_on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct echo *echo = arg;

	(void)sig;
	(void)what;
	event_base_loopbreak(echo->base);
}

static void
echo_listen(struct echo *echo, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(port) };
	socklen_t len = sizeof(sin);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	echo->listener = evconnlistener_new_bind(echo->base, echo_on_accept,
	    echo, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, SOMAXCONN,
	    (struct sockaddr *)&sin, sizeof(sin));
	if (echo->listener == NULL)
		err(1, "port %u", port);
	if (getsockname(evconnlistener_get_fd(echo->listener),
		(struct sockaddr *)&sin, &len) == -1)
		err(1, "getsockname");
	printf("listening on 127.0.0.1:%u\n", ntohs(sin.sin_port));
	fflush(stdout);
}

static int
usage(void)
{
	fprintf(stderr, "usage: ws-echo [-m bytes] port\n");
	return 2;
}

static uint32_t
number(const char *text, uint32_t max)
{
	const char *wrong;
	long long n = strtonum(text, 0, max, &wrong);

	if (wrong != NULL)
		errx(2, "%s: %s", text, wrong);
	return (uint32_t)n;
}

int
main(int argc, char *argv[])
{
	struct echo echo = { .max_message = ECHO_MAX_MESSAGE };
	struct peer *p;
	uint16_t port;
	int c;

	while ((c = getopt(argc, argv, "m:")) != -1) {
		if (c != 'm')
			return usage();
		echo.max_message = number(optarg, UINT32_MAX);
	}
	if (argc - optind != 1)
		return usage();
	port = (uint16_t)number(argv[optind], UINT16_MAX);
	TAILQ_INIT(&echo.peers);
	signal(SIGPIPE, SIG_IGN);
	if ((echo.base = event_base_new()) == NULL)
		errx(1, "event_base_new failed");
	echo.sigint = evsignal_new(echo.base, SIGINT, echo_on_signal, &echo);
	echo.sigterm = evsignal_new(echo.base, SIGTERM, echo_on_signal, &echo);
	if (echo.sigint == NULL || echo.sigterm == NULL ||
	    event_add(echo.sigint, NULL) == -1 ||
	    event_add(echo.sigterm, NULL) == -1)
		errx(1, "signals cannot be caught");
	echo_listen(&echo, port);

	event_base_dispatch(echo.base);

	while ((p = TAILQ_FIRST(&echo.peers)) != NULL)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): TAILQ_REMOVE */
		peer_free(p);
	evconnlistener_free(echo.listener);
	event_free(echo.sigint);
	event_free(echo.sigterm);
	event_base_free(echo.base);
	return 0;
}
