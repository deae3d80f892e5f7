/*
 * A WebSocket client over TCP or TLS, RFC 6455: it connects, asks for the upgrade
 * and checks what it is granted, then moves frames with ltp-worker's ws.c.
 * The answer to the upgrade is a status line and a few headers of which
 * three matter, so it is read by hand, within a bound.
 */
#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <sha1.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "output.h"
#include "text.h"
#include "tlsclient.h"
#include "wsclient.h"

#define WS_GUID       "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define WS_SCHEME     "ws://"
#define WSS_SCHEME    "wss://"
#define NONCE_SIZE    16
#define KEY_TEXT_SIZE TEXT_BASE64_SIZE(NONCE_SIZE)
#define ACCEPT_SIZE   TEXT_BASE64_SIZE(SHA1_DIGEST_LENGTH)
#define REQUEST_MAX   4096
#define FRAME_MAX     1024 /* payload of a frame that we send */
#define BODY_MAX      256 /* bytes of a refusal that are shown */
#define BODY_MS       1000 /* waited for them */

static int wsclient_fail(struct wsclient *, const char *, ...)
    __attribute__((__format__(printf, 2, 3)));

static int
wsclient_fail(struct wsclient *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->text, sizeof(c->text), fmt, ap);
	va_end(ap);
	return -1;
}

/* ---- addresses ---- */

#define HOST_IN_BRACKETS  \
	"0123456789:.%_-" \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/* The host, without its brackets.  Returns what follows it, or NULL. */
static const char *
wsurl_host(struct wsurl *u, const char *p)
{
	const char *end;
	size_t len;

	if (*p == '[') {
		p++;
		/* An IPv6 address, perhaps with its zone. */
		end = p + strspn(p, HOST_IN_BRACKETS);
		if (*end != ']')
			return NULL;
	} else
		end = p + strcspn(p, ":/?");
	len = (size_t)(end - p);
	if (len == 0 || len >= sizeof(u->host))
		return NULL;
	memcpy(u->host, p, len);
	u->host[len] = '\0';
	return *end == ']' ? end + 1 : end;
}

/* ":port", or nothing.  Returns what follows it, or NULL. */
static const char *
wsurl_port(struct wsurl *u, const char *p)
{
	const char *why;
	size_t len;

	strlcpy(u->port, u->tls ? "443" : "80", sizeof(u->port));
	if (*p != ':')
		return p;
	p++;
	len = strspn(p, "0123456789");
	if (len == 0 || len >= sizeof(u->port))
		return NULL;
	memcpy(u->port, p, len);
	u->port[len] = '\0';
	strtonum(u->port, 1, 65535, &why);
	return why == NULL ? p + len : NULL;
}

const char *
wsurl_parse(struct wsurl *u, const char *text)
{
	const char *p, *rest;

	for (p = text; *p != '\0'; p++) {
		if (!isgraph((unsigned char)*p) || *p == '#')
			return "not the address of a node";
	}
	u->tls = strncasecmp(text, WSS_SCHEME, strlen(WSS_SCHEME)) == 0;
	if (!u->tls && strncasecmp(text, WS_SCHEME, strlen(WS_SCHEME)) != 0)
		return "not a ws:// or wss:// address";
	text += strlen(u->tls ? WSS_SCHEME : WS_SCHEME);
	if (memchr(text, '@', strcspn(text, "/?")) != NULL)
		return "a credential belongs into a file, see --key-file and "
		       "--token-file";
	if ((p = wsurl_host(u, text)) == NULL)
		return "bad host";
	if ((rest = wsurl_port(u, p)) == NULL)
		return "bad port";
	if (*rest != '\0' && *rest != '/' && *rest != '?')
		return "not the address of a node";
	snprintf(u->authority, sizeof(u->authority), "%.*s", (int)(rest - text),
	    text);
	if ((size_t)snprintf(u->target, sizeof(u->target), "%s%s",
		*rest == '/' ? "" : "/", rest) >= sizeof(u->target))
		return "too long";
	return NULL;
}

/* ---- the socket ---- */

/* 1: ready; 0: the deadline has passed; -1: errno is set. */
static int
wsclient_wait(const struct wsclient *c, short events, struct monotime deadline)
{
	struct pollfd pfd = { .fd = c->fd, .events = events };
	int64_t left;

	/* Up to the next millisecond, or the last one would be a spin. */
	left = (monotime_diff_us(deadline, monotime_now()) + 999) / 1000;
	return poll(&pfd, 1, left < 0 ? 0 : (int)left);
}

/* Connect to one address.  0, or an errno. */
static int
wsclient_try(
    struct wsclient *c, const struct addrinfo *ai, struct monotime deadline)
{
	socklen_t len = sizeof(int);
	int error = 0, n;

	c->fd = socket(ai->ai_family,
	    ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);
	if (c->fd == -1)
		return errno;
	if (connect(c->fd, ai->ai_addr, ai->ai_addrlen) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return errno;
	while ((n = wsclient_wait(c, POLLOUT, deadline)) == -1) {
		if (errno != EINTR)
			return errno;
	}
	if (n == 0)
		return ETIMEDOUT;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		return errno;
	return error;
}

static void
wsclient_name(struct wsclient *c, const struct addrinfo *ai)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getnameinfo(ai->ai_addr, ai->ai_addrlen, host, sizeof(host), port,
		sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return;
	snprintf(c->peer, sizeof(c->peer),
	    ai->ai_family == AF_INET6 ? "[%.255s]:%.5s" : "%.255s:%.5s", host,
	    port);
}

int
wsclient_connect(
    struct wsclient *c, const struct wsurl *u, struct monotime deadline)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list, *ai;
	int error, on = 1;

	memset(c, 0, sizeof(*c));
	c->fd = -1;
	c->p = c->in;
	ws_init(&c->ws, WSCLIENT_MESSAGE_MAX, true);
	if ((error = getaddrinfo(u->host, u->port, &hints, &list)) != 0)
		return wsclient_fail(c, "%s: %s", u->host, gai_strerror(error));
	for (ai = list; ai != NULL; ai = ai->ai_next) {
		wsclient_name(c, ai);
		if ((error = wsclient_try(c, ai, deadline)) == 0)
			break;
		if (c->fd != -1)
			close(c->fd);
		c->fd = -1;
	}
	freeaddrinfo(list);
	if (c->fd == -1)
		return wsclient_fail(c, "%s: %s", c->peer, strerror(error));
	/* A heartbeat must not wait for the acknowledgement of a pong. */
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return 0;
}

/* What errno means; TLS knows better. */
static const char *
wsclient_why(const struct wsclient *c)
{
	return c->tls != NULL && errno == EPROTO ? c->tls->text
						 : strerror(errno);
}

/* send(2) and recv(2), or TLS; *events is what EAGAIN waits for. */
static ssize_t
wsclient_put(
    const struct wsclient *c, const void *data, size_t len, short *events)
{
	ssize_t n;

	*events = POLLOUT;
	if (c->tls == NULL)
		return send(c->fd, data, len, MSG_NOSIGNAL);
	n = tlsclient_write(c->tls, data, len);
	*events = c->tls->events;
	return n;
}

static ssize_t
wsclient_get(const struct wsclient *c, void *buf, size_t size, short *events)
{
	ssize_t n;

	*events = POLLIN;
	if (c->tls == NULL)
		return recv(c->fd, buf, size, 0);
	n = tlsclient_read(c->tls, buf, size);
	*events = c->tls->events;
	return n;
}

int
wsclient_secure(struct wsclient *c, const struct wsurl *u, struct tlsclient *t,
    struct monotime deadline)
{
	int ready;

	c->tls = t;
	if (tlsclient_begin(t, c->fd, u->host) == -1)
		return wsclient_fail(c, "%s: %s", c->peer, wsclient_why(c));
	while (tlsclient_handshake(t) == -1) {
		if (errno != EAGAIN)
			return wsclient_fail(
			    c, "%s: %s", c->peer, wsclient_why(c));
		ready = wsclient_wait(c, t->events, deadline);
		if (ready == 0)
			return wsclient_fail(
			    c, "%s: no TLS handshake in time", c->peer);
	}
	return 0;
}

static int
wsclient_write(
    struct wsclient *c, const void *data, size_t len, struct monotime deadline)
{
	const uint8_t *p = data;
	short events;
	ssize_t n;
	int ready;

	while (len > 0) {
		n = wsclient_put(c, p, len, &events);
		if (n >= 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (errno == EAGAIN) {
			ready = wsclient_wait(c, events, deadline);
			if (ready == 0)
				errno = ETIMEDOUT;
			if (ready == 1)
				continue;
		}
		if (errno != EINTR)
			return wsclient_fail(
			    c, "%s: %s", c->peer, wsclient_why(c));
	}
	return 0;
}

/*
 * Read once what comes until the deadline.  0 at the end, -1 with errno,
 * which is ETIMEDOUT when the deadline has passed.
 */
static ssize_t
wsclient_read(
    struct wsclient *c, void *buf, size_t size, struct monotime deadline)
{
	short events;
	ssize_t n;
	int ready;

	while ((n = wsclient_get(c, buf, size, &events)) == -1 &&
	       errno == EAGAIN) {
		if ((ready = wsclient_wait(c, events, deadline)) == 1)
			continue;
		if (ready == 0)
			errno = ETIMEDOUT;
		return -1;
	}
	return n;
}

/* ---- the upgrade ---- */

struct response {
	int status;
	char reason[BODY_MAX];
	char accept[ACCEPT_SIZE];
	bool upgrade; /* Upgrade: websocket */
	bool connection; /* Connection: upgrade */
	bool extra; /* an extension or a subprotocol nobody asked for */
	size_t body_len; /* as announced */
};

static void
response_accept(struct response *r, const char *value)
{
	strlcpy(r->accept, value, sizeof(r->accept));
}

static void
response_upgrade(struct response *r, const char *value)
{
	r->upgrade = strcasecmp(value, "websocket") == 0;
}

static void
response_connection(struct response *r, const char *value)
{
	r->connection = strcasestr(value, "upgrade") != NULL;
}

static void
response_extra(struct response *r, const char *value)
{
	(void)value;
	r->extra = true;
}

static void
response_length(struct response *r, const char *value)
{
	const char *why;

	r->body_len = (size_t)strtonum(value, 0, BODY_MAX - 1, &why);
	if (why != NULL)
		r->body_len = BODY_MAX - 1;
}

static const struct {
	const char *name;
	void (*take)(struct response *, const char *);
} response_headers[] = {
	{ "Connection", response_connection },
	{ "Content-Length", response_length },
	{ "Sec-WebSocket-Accept", response_accept },
	{ "Sec-WebSocket-Extensions", response_extra },
	{ "Sec-WebSocket-Protocol", response_extra },
	{ "Upgrade", response_upgrade },
};

#define RESPONSE_HEADERS \
	(sizeof(response_headers) / sizeof(response_headers[0]))

static void
response_header(struct response *r, char *line)
{
	char *value, *end;
	size_t i;

	if ((value = strchr(line, ':')) == NULL)
		return;
	*value++ = '\0';
	value += strspn(value, " \t");
	for (end = value + strlen(value); end > value; end--) {
		if (end[-1] != ' ' && end[-1] != '\t')
			break;
	}
	*end = '\0';
	for (i = 0; i < RESPONSE_HEADERS; i++) {
		if (strcasecmp(response_headers[i].name, line) == 0)
			response_headers[i].take(r, value);
	}
}

/* Take the head apart, in place.  0, or -1 when it is not HTTP/1.1. */
static int
response_parse(struct response *r, char *head)
{
	char *line, *next;

	memset(r, 0, sizeof(*r));
	r->body_len = BODY_MAX - 1;
	for (line = head; line != NULL; line = next) {
		if ((next = strstr(line, "\r\n")) != NULL) {
			*next = '\0';
			next += 2;
		}
		if (line != head) {
			response_header(r, line);
			continue;
		}
		if (strncmp(line, "HTTP/1.1 ", 9) != 0 ||
		    strspn(line + 9, "0123456789") != 3 ||
		    (line[12] != ' ' && line[12] != '\0'))
			return -1;
		r->status = (int)strtol(line + 9, NULL, 10);
		strlcpy(r->reason, line[12] == ' ' ? line + 13 : "",
		    sizeof(r->reason));
	}
	return 0;
}

/* base64(SHA-1(key + GUID)), RFC 6455 section 4.2.2. */
static void
accept_make(char out[ACCEPT_SIZE], const char *key)
{
	uint8_t digest[SHA1_DIGEST_LENGTH];
	SHA1_CTX ctx;

	SHA1Init(&ctx);
	SHA1Update(&ctx, (const uint8_t *)key, strlen(key));
	SHA1Update(&ctx, (const uint8_t *)WS_GUID, strlen(WS_GUID));
	SHA1Final(digest, &ctx);
	text_base64_print(out, digest, sizeof(digest));
}

/* A line of the request, or nothing. */
#define HEADER_FORMAT "%s%s%s"
#define HEADER(name, value)                                            \
	(value) != NULL ? (name) : "", (value) != NULL ? (value) : "", \
	    (value) != NULL ? "\r\n" : ""

static int
upgrade_request(struct wsclient *c, const struct wsurl *u, const char *nonce,
    const struct wsclient_login *login, struct monotime deadline)
{
	char request[REQUEST_MAX];
	int len, ret;

	len = snprintf(request, sizeof(request),
	    "GET %s HTTP/1.1\r\n"
	    "Host: %s\r\n"
	    "Upgrade: websocket\r\n"
	    "Connection: Upgrade\r\n"
	    "Sec-WebSocket-Key: %s\r\n"
	    "Sec-WebSocket-Version: 13\r\n" HEADER_FORMAT HEADER_FORMAT "\r\n",
	    u->target, u->authority, nonce, HEADER("X-API-Key: ", login->key),
	    HEADER("Authorization: Bearer ", login->token));
	if (len < 0 || (size_t)len >= sizeof(request))
		ret = wsclient_fail(c, "the request is too long");
	else
		ret = wsclient_write(c, request, (size_t)len, deadline);
	explicit_bzero(request, sizeof(request));
	return ret;
}

static int
upgrade_read_fail(struct wsclient *c, ssize_t n)
{
	if (n == 0)
		return wsclient_fail(
		    c, "%s: closed without an answer", c->peer);
	if (errno == ETIMEDOUT)
		return wsclient_fail(
		    c, "%s: no answer to the upgrade in time", c->peer);
	return wsclient_fail(c, "%s: %s", c->peer, wsclient_why(c));
}

/*
 * Read up to the empty line, which is overwritten by a NUL; what follows it
 * stays in p, left.
 */
static int
upgrade_head(struct wsclient *c, struct monotime deadline)
{
	uint8_t *end = NULL;
	size_t len = 0;
	ssize_t n;

	while (end == NULL) {
		if (len == sizeof(c->in))
			return wsclient_fail(
			    c, "%s: the answer is too long", c->peer);
		n = wsclient_read(
		    c, c->in + len, sizeof(c->in) - len, deadline);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return upgrade_read_fail(c, n);
		len += (size_t)n;
		end = memmem(c->in, len, "\r\n\r\n", 4);
	}
	*end = '\0';
	c->p = end + 4;
	c->left = len - (size_t)(c->p - c->in);
	return 0;
}

/* The first line of what the node says beside the status, else its reason. */
static void
upgrade_body(
    struct wsclient *c, const struct response *r, char *text, size_t size)
{
	struct monotime deadline = monotime_add_ms(monotime_now(), BODY_MS);
	uint8_t body[BODY_MAX];
	struct bytes b = { .p = (const char *)body };
	const uint8_t *nl;
	ssize_t n;

	b.len = c->left < r->body_len ? c->left : r->body_len;
	memcpy(body, c->p, b.len);
	while (b.len < r->body_len) {
		n = wsclient_read(
		    c, body + b.len, r->body_len - b.len, deadline);
		if (n <= 0)
			break;
		b.len += (size_t)n;
	}
	if ((nl = memchr(body, '\n', b.len)) != NULL)
		b.len = (size_t)(nl - body);
	while (b.len > 0 && isspace(body[b.len - 1]))
		b.len--;
	if (b.len == 0) {
		b.p = r->reason;
		b.len = strlen(r->reason);
	}
	output_line(text, size, &b);
}

static int
upgrade_check(struct wsclient *c, const struct response *r, const char *accept)
{
	char said[WSCLIENT_TEXT_MAX / 2];

	if (r->status != 101) {
		upgrade_body(c, r, said, sizeof(said));
		return wsclient_fail(
		    c, "the node refused the upgrade: %d %s", r->status, said);
	}
	if (!r->upgrade || !r->connection)
		return wsclient_fail(
		    c, "%s: status 101 without an upgrade", c->peer);
	if (strcmp(r->accept, accept) != 0)
		return wsclient_fail(
		    c, "%s: wrong Sec-WebSocket-Accept", c->peer);
	if (r->extra)
		return wsclient_fail(
		    c, "%s: an extension that nobody asked for", c->peer);
	return 0;
}

int
wsclient_upgrade(struct wsclient *c, const struct wsurl *u,
    const struct wsclient_login *login, struct monotime deadline)
{
	uint8_t nonce[NONCE_SIZE];
	char text[KEY_TEXT_SIZE], accept[ACCEPT_SIZE];
	struct response r;

	arc4random_buf(nonce, sizeof(nonce));
	text_base64_print(text, nonce, sizeof(nonce));
	accept_make(accept, text);
	if (upgrade_request(c, u, text, login, deadline) == -1 ||
	    upgrade_head(c, deadline) == -1)
		return -1;
	if (response_parse(&r, (char *)c->in) == -1)
		return wsclient_fail(c, "%s: not an HTTP/1.1 server", c->peer);
	return upgrade_check(c, &r, accept);
}

/* ---- frames ---- */

int
wsclient_send(struct wsclient *c, enum ws_opcode opcode, const void *data,
    size_t len, struct monotime deadline)
{
	uint8_t frame[WS_HEADER_MAX + FRAME_MAX], mask[4];
	size_t head;

	if (len > FRAME_MAX)
		return wsclient_fail(c, "the message is too long");
	arc4random_buf(mask, sizeof(mask));
	head = ws_header(frame, opcode, len, mask);
	if (len > 0)
		memcpy(frame + head, data, len);
	ws_mask(frame + head, len, mask, 0);
	return wsclient_write(c, frame, head + len, deadline);
}

static enum wsclient_event
wsclient_closed(struct wsclient *c, const struct ws_frame *f)
{
	struct bytes reason = { .p = (const char *)f->data, .len = f->len };
	char text[WSCLIENT_TEXT_MAX / 2];

	if (f->code == WS_NO_STATUS)
		wsclient_fail(c, "closed by the node without a code");
	else
		wsclient_fail(c, "closed by the node: %u%s%s",
		    (unsigned)f->code, reason.len > 0 ? " " : "",
		    output_line(text, sizeof(text), &reason));
	return WSCLIENT_CLOSED;
}

/* More input.  WSCLIENT_MESSAGE: there is some. */
static enum wsclient_event
wsclient_fill(struct wsclient *c, struct monotime deadline)
{
	ssize_t n;

	/* A node that sends pings without end must not move the deadline. */
	if (monotime_reached(monotime_now(), deadline))
		return WSCLIENT_TIMEOUT;
	n = wsclient_read(c, c->in, sizeof(c->in), deadline);
	if (n > 0) {
		c->p = c->in;
		c->left = (size_t)n;
		return WSCLIENT_MESSAGE;
	}
	if (n == -1 && errno == ETIMEDOUT &&
	    monotime_reached(monotime_now(), deadline))
		return WSCLIENT_TIMEOUT;
	if (n == -1 && errno == EINTR)
		return WSCLIENT_SIGNAL;
	wsclient_fail(c, "%s: %s", c->peer,
	    n == 0 ? "closed without a close frame" : wsclient_why(c));
	return WSCLIENT_FAILED;
}

enum wsclient_event
wsclient_next(struct wsclient *c, struct ws_frame *f, struct monotime deadline)
{
	enum wsclient_event filled;

	for (;;) {
		switch (ws_next(&c->ws, &c->p, &c->left, f)) {
		case WS_MORE:
			filled = wsclient_fill(c, deadline);
			if (filled != WSCLIENT_MESSAGE)
				return filled;
			break;
		case WS_PING:
			if (wsclient_send(
				c, WS_OP_PONG, f->data, f->len, deadline) == -1)
				return WSCLIENT_FAILED;
			break;
		case WS_MESSAGE:
			return WSCLIENT_MESSAGE;
		case WS_CLOSE:
			return wsclient_closed(c, f);
		case WS_FAIL:
			wsclient_fail(c, "the node broke the protocol: %u %s",
			    (unsigned)f->code, f->reason);
			return WSCLIENT_FAILED;
		case WS_BEGIN:
		case WS_PONG:
			break;
		}
	}
}

void
wsclient_free(struct wsclient *c)
{
	ws_clear(&c->ws);
	if (c->fd != -1)
		close(c->fd);
	c->fd = -1;
}
