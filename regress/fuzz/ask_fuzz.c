/*
 * What a hostile supervisor can tell ltpctl: the records of show, of top,
 * and the greeting.  The input is a verb and datagrams.  Whatever they hold,
 * the operator reads printable text or one JSON value.
 */
#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "oracle.h"

#include "ltpctl/ask.h"
#include "ltpctl/ltpctl.h"
#include "ltpctl/top.h"

enum flag {
	FLAG_WHAT = 7, /* enum ctl_show; SHOW__MAX: top */
	FLAG_JSON = 1 << 3,
	FLAG_GREETED = 1 << 4, /* the hello need not be in the input */
	FLAG_SILENT = 1 << 5, /* it does not close at the end, either */
	FLAG_AWAY = 1 << 6, /* nobody listens, or will in a moment */
	FLAG_GONE = 1 << 7, /* it is gone before it is asked */
};

enum shape {
	SHAPE_HONEST, /* header that tells the truth */
	SHAPE_FITTING, /* as long as its rule wants it at least */
	SHAPE_RAW,
	SHAPE_FD,
	SHAPE__MAX
};

#define DATAGRAMS_MAX 100

static struct {
	int node; /* the supervisor's end */
	int ours; /* the other, until it is connected */
	unsigned refusals; /* of connect(2) before that */
	int error; /* with which it refuses */
} world;

int __wrap_connect(int, const struct sockaddr *, socklen_t);
int __wrap_poll(struct pollfd *, nfds_t, int);
int __real_poll(struct pollfd *, nfds_t, int);

/* The only connect(2) is that of ask_open(). */
int
__wrap_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	(void)sa;
	(void)len;
	FUZZ_ASSERT(world.ours != -1);
	if (world.refusals > 0) {
		world.refusals--;
		errno = world.error;
		return -1;
	}
	FUZZ_ASSERT(dup2(world.ours, fd) == fd);
	close(world.ours);
	world.ours = -1;
	return 0;
}

/* Nobody waits for what does not come. */
int
__wrap_poll(struct pollfd *p, nfds_t n, int timeout)
{
	(void)timeout;
	return n > 0 ? __real_poll(p, n, 0) : 0;
}

int
ltpctl_connect(struct ltpctl *ctl, struct ask *a)
{
	if (ask_open(a, ctl->socket) == 0)
		return 0;
	ltpctl_fail(ctl, "%s", a->text);
	return -1;
}

int
ltpctl_fail(struct ltpctl *ctl, const char *fmt, ...)
{
	char text[ASK_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	FUZZ_ASSERT(fuzz_is_printable(text, strlen(text), false));
	FUZZ_ASSERT(text[0] != '\0');
	ctl->to.ops->error(&ctl->to, text);
	return LTPCTL_FAILED;
}

/* ---- the supervisor ---- */

static void
send_datagram(const void *data, size_t len, bool with_fd)
{
	union {
		struct cmsghdr align;
		uint8_t buf[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr mh = { 0 };
	struct iovec iov;
	struct cmsghdr *cm;
	uint8_t *copy = malloc(len + 1);

	FUZZ_ASSERT(copy != NULL);
	if (len > 0)
		memcpy(copy, data, len);
	iov.iov_base = copy;
	iov.iov_len = len;
	mh.msg_iov = &iov;
	mh.msg_iovlen = 1;
	if (with_fd) {
		mh.msg_control = control.buf;
		mh.msg_controllen = sizeof(control.buf);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &world.node, sizeof(int));
	}
	sendmsg(world.node, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	free(copy);
}

static void
send_message(unsigned type, const uint8_t *payload, size_t len)
{
	static uint8_t datagram[ASK_DATAGRAM_MAX + 64];
	struct msg_hdr hdr = { .type = (uint16_t)type, .len = (uint32_t)len };

	memcpy(datagram, &hdr, sizeof(hdr));
	if (len > 0)
		memcpy(datagram + sizeof(hdr), payload, len);
	send_datagram(datagram, sizeof(hdr) + len, false);
}

/* Types of the supervisor's answers come often. */
static unsigned
take_type(struct fuzz *f)
{
	unsigned n = fuzz_u8(f);

	return n < 128 ? MSG_CTL_SUMMARY + n % 7 : n - 128;
}

static void
send_fitting(struct fuzz *f)
{
	static uint8_t payload[MSG_MAX_PAYLOAD];
	unsigned type = take_type(f);
	const struct msg_rule *r = msg_rule(type);
	size_t len = fuzz_u8(f), skip, n;

	if (r == NULL)
		return;
	memset(payload, 0, sizeof(payload));
	skip = fuzz_u8(f);
	n = fuzz_u8(f);
	fuzz_read(f, payload + skip * 4, n);
	len += r->min_len;
	send_message(type, payload, len < r->max_len ? len : r->max_len);
}

static void
send_one(struct fuzz *f)
{
	const uint8_t *p;
	unsigned type;
	size_t n;

	switch (fuzz_u8(f) % SHAPE__MAX) {
	case SHAPE_HONEST:
		type = take_type(f);
		n = fuzz_u16(f) % (MSG_MAX_PAYLOAD + 1);
		p = fuzz_bytes(f, n, &n);
		send_message(type, p, n);
		break;
	case SHAPE_FITTING:
		send_fitting(f);
		break;
	case SHAPE_RAW:
		p = fuzz_bytes(f, fuzz_u8(f), &n);
		send_datagram(p, n, false);
		break;
	case SHAPE_FD:
		p = fuzz_bytes(f, fuzz_u8(f), &n);
		send_datagram(p, n, true);
		break;
	}
}

static void
send_all(struct fuzz *f, unsigned flags)
{
	struct msg_ctl_hello hello = { .version = CTL_VERSION };
	unsigned i;

	if ((flags & FLAG_GREETED) != 0)
		send_message(
		    MSG_CTL_HELLO, (const uint8_t *)&hello, sizeof(hello));
	for (i = 0; f->left > 0 && i < DATAGRAMS_MAX; i++)
		send_one(f);
	if ((flags & FLAG_SILENT) == 0)
		shutdown(world.node, SHUT_WR);
}

/* ---- ltpctl ---- */

static void
check_json(const char *text, size_t len)
{
	struct json_t *o;

	FUZZ_ASSERT(oracle_read(text, len, false, &o) == ORACLE_GOOD);
	oracle_free(o);
}

/*
 * One value, but for top, which prints an object to a line, and for what
 * fails in the middle of an array: that is closed, and a last line says why.
 */
static void
check_output(const char *text, size_t len, bool json)
{
	const char *nl, *end;

	FUZZ_ASSERT(fuzz_is_printable(text, len, true));
	if (!json || len == 0)
		return;
	FUZZ_ASSERT(text[len - 1] == '\n');
	if (text[0] == '[' && text[len - 2] == '}') {
		end = memrchr(text, '\n', len - 1);
		FUZZ_ASSERT(end != NULL);
		check_json(text, (size_t)(end - text));
		check_json(end, (size_t)(text + len - end));
		return;
	}
	if (text[0] == '[') {
		check_json(text, len);
		return;
	}
	for (; len > 0; len -= (size_t)(nl + 1 - text), text = nl + 1) {
		nl = memchr(text, '\n', len);
		check_json(text, (size_t)(nl - text));
	}
}

static void
ask(unsigned flags)
{
	static const struct verb show[] = { { .what = SHOW_SUMMARY },
		{ .what = SHOW_PROCESSES }, { .what = SHOW_SESSIONS },
		{ .what = SHOW_KEYS }, { .what = SHOW_CONFIG } };
	struct ltpctl ctl = {
		.count = 1, .interval_ms = 1, .socket = "/run/ltpd/ltpd.sock"
	};
	unsigned what = (flags & FLAG_WHAT) % 6;
	FILE *fp, *was = stdout;
	char *text;
	size_t len;

	ctl.json = (flags & FLAG_JSON) != 0;
	FUZZ_ASSERT((fp = open_memstream(&text, &len)) != NULL);
	output_init(&ctl.to, fp, ctl.json);
	if (what < 5) {
		ctl.verb = &show[what];
		show_run(&ctl);
	} else {
		ctl.verb = &show[0];
		stdout = fp;
		top_run(&ctl);
		stdout = was;
	}
	fclose(fp);
	check_output(text, len, ctl.json);
	free(text);
}

/* What ltpctl itself must not ask. */
static void
misuse(void)
{
	static struct ask a = { .fd = -1 };
	static char path[200];

	memset(path, 'p', sizeof(path) - 1);
	FUZZ_ASSERT(ask_open(&a, path) == -1 && a.text[0] != '\0');
	FUZZ_ASSERT(ask_send(&a, MSG_CTL_DISCONNECT, path, 300) == -1);
	FUZZ_ASSERT(ask_send(&a, MSG_LOG, path, 8) == -1);
	FUZZ_ASSERT(ask_send(&a, MSG_CTL_DISCONNECT, path, 100000) == -1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz f = { data, len };
	unsigned flags = fuzz_u8(&f);
	int pair[2], before = fuzz_next_fd();

	/* No screen for top. */
	setenv("TERM", "dumb", 1);
	FUZZ_ASSERT(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		0, pair) == 0);
	world.node = pair[0];
	world.ours = pair[1];
	world.refusals = (flags & FLAG_AWAY) != 0 ? 1 : 0;
	world.error = (flags & FLAG_SILENT) != 0 ? EAGAIN : ENOENT;
	if (f.left == 0)
		misuse();
	send_all(&f, flags);
	if ((flags & FLAG_GONE) != 0)
		close(world.node);
	ask(flags);
	if ((flags & FLAG_GONE) == 0)
		close(world.node);
	if (world.ours != -1)
		close(world.ours);
	FUZZ_ASSERT(fuzz_next_fd() == before);
	return 0;
}
