/*
 * What a hostile node can tell ltpctl: the answer to an upgrade, and frames.
 * The input is a byte of settings and what the node sends; with FLAG_URL it
 * is the address that an operator typed.
 */
#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "ltpctl/wsclient.h"

enum flag {
	FLAG_URL = 1 << 0,
	FLAG_OPEN = 1 << 1, /* the upgrade is over, frames only */
	FLAG_KEY = 1 << 2,
	FLAG_SILENT = 1 << 3, /* it does not close at the end */
	FLAG_SLOW = 1 << 4, /* the connection takes a while */
	FLAG_AWAY = 1 << 5, /* nobody listens */
};

#define MESSAGES_MAX 64

/* The nonce is known, so that an answer can be right. */
void
arc4random_buf(void *buf, size_t len)
{
	memset(buf, 0, len);
}

static struct {
	int ours; /* the end that becomes connected */
	int error; /* what connect(2) says, 0: it is */
} world;

int __wrap_connect(int, const struct sockaddr *, socklen_t);
int __wrap_poll(struct pollfd *, nfds_t, int);
int __real_poll(struct pollfd *, nfds_t, int);

int
__wrap_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	(void)sa;
	(void)len;
	if (world.error != ECONNREFUSED)
		FUZZ_ASSERT(dup2(world.ours, fd) == fd);
	errno = world.error;
	return world.error == 0 ? 0 : -1;
}

/* Nobody waits for what does not come. */
int
__wrap_poll(struct pollfd *p, nfds_t n, int timeout)
{
	(void)timeout;
	return __real_poll(p, n, 0);
}

static void
url_input(const char *text)
{
	struct wsurl u;
	const char *why = wsurl_parse(&u, text);
	char *end;
	long port;

	FUZZ_ASSERT(why == NULL || why[0] != '\0');
	if (why != NULL)
		return;
	FUZZ_ASSERT(u.host[0] != '\0' && strlen(u.host) < sizeof(u.host));
	FUZZ_ASSERT(fuzz_is_printable(u.host, strlen(u.host), false));
	port = strtol(u.port, &end, 10);
	FUZZ_ASSERT(*end == '\0' && port > 0 && port < 65536);
	FUZZ_ASSERT(u.target[0] == '/');
	/* Nothing of it can end a line of the request. */
	FUZZ_ASSERT(fuzz_is_printable(u.target, strlen(u.target), false));
	FUZZ_ASSERT(strpbrk(u.target, " #\r\n") == NULL);
	FUZZ_ASSERT(fuzz_is_printable(u.authority, strlen(u.authority), false));
	FUZZ_ASSERT(strpbrk(u.authority, " /?#@") == NULL);
}

static void
check_text(const struct wsclient *c)
{
	FUZZ_ASSERT(c->text[0] != '\0' && strlen(c->text) < sizeof(c->text));
	FUZZ_ASSERT(fuzz_is_printable(c->text, strlen(c->text), false));
}

static void
read_frames(struct wsclient *c, struct monotime deadline)
{
	enum wsclient_event ev;
	struct ws_frame f;
	unsigned n = 0;

	do {
		memset(&f, 0, sizeof(f));
		ev = wsclient_next(c, &f, deadline);
		if (ev == WSCLIENT_MESSAGE) {
			FUZZ_ASSERT(f.len <= WSCLIENT_MESSAGE_MAX);
			if (f.opcode == WS_OP_TEXT)
				FUZZ_ASSERT(fuzz_is_utf8(f.data, f.len));
		} else if (ev != WSCLIENT_SIGNAL && ev != WSCLIENT_TIMEOUT)
			check_text(c);
	} while (ev == WSCLIENT_MESSAGE && ++n < MESSAGES_MAX);
}

static void
talk(struct wsclient *c, const struct wsurl *u, unsigned flags)
{
	/* The past, so that nobody waits for the deadline either. */
	struct monotime deadline =
	    monotime_add_ms(monotime_now(), (flags & FLAG_SILENT) ? -1 : 1000);
	const char *key = (flags & FLAG_KEY) != 0 ? "key" : NULL;
	const struct wsclient_login login = { .key = key, .token = key };

	if (wsclient_connect(c, u, deadline) == -1 ||
	    ((flags & FLAG_OPEN) == 0 &&
		wsclient_upgrade(c, u, &login, deadline) == -1))
		check_text(c);
	else
		read_frames(c, deadline);
}

static void
node_input(const uint8_t *data, size_t len, unsigned flags)
{
	static struct wsclient c;
	struct wsurl u;
	int pair[2];

	FUZZ_ASSERT(wsurl_parse(&u, "ws://[::1]:7070/x") == NULL);
	FUZZ_ASSERT(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		pair) == 0);
	world.ours = pair[0];
	world.error = (flags & FLAG_AWAY) != 0   ? ECONNREFUSED
		      : (flags & FLAG_SLOW) != 0 ? EINPROGRESS
						 : 0;
	if (send(pair[1], data, len, MSG_NOSIGNAL) == (ssize_t)len) {
		if ((flags & FLAG_SILENT) == 0)
			shutdown(pair[1], SHUT_WR);
		talk(&c, &u, flags);
		wsclient_free(&c);
	}
	close(pair[0]);
	close(pair[1]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz f = { data, len };
	unsigned flags = fuzz_u8(&f);
	int before = fuzz_next_fd();
	char *text;

	if ((flags & FLAG_URL) != 0) {
		text = fuzz_text(&f);
		url_input(text);
		free(text);
	} else if (f.left > 0) {
		node_input(f.p, f.left, flags);
	}
	FUZZ_ASSERT(fuzz_next_fd() == before);
	return 0;
}
