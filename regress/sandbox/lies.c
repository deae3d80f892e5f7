/*
 * Lies: each is one datagram, made from the rule table that it breaks.
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hostile.h"

/* As many as the kernel takes in one message. */
#define FDS_MAX  253

#define TOO_LONG (MSG_MAX_PAYLOAD + 1)

const char *const thing_names[THING__MAX] = {
	[THING_NONE] = "nothing",
	[THING_PIPE] = "pipe",
	[THING_PIPE_IN] = "pipe_in",
	[THING_RANDOM] = "dev_urandom",
	[THING_NULL] = "dev_null",
	[THING_DIRECTORY] = "directory",
	[THING_PATH] = "o_path",
	[THING_LISTENER] = "listener",
	[THING_PAIR] = "pair",
	[THING_MEMORY] = "memfd",
	[THING_CHANNEL] = "channel",
	[THING_EPOLL] = "epoll",
	[THING_EVENT] = "eventfd",
	[THING_PROC] = "proc",
	[THING_OTHER_PROC] = "proc_of_init",
};

/* ---- things to send ---- */

static int
datagram_send(int fd, void *data, size_t size, const int *fds, unsigned nfds)
{
	union {
		struct cmsghdr align;
		uint8_t buf[CMSG_SPACE(sizeof(int) * FDS_MAX)];
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = size };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cm;

	memset(&control, 0, sizeof(control));
	if (nfds > 0) {
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(cm), fds, sizeof(int) * nfds);
	}
	return sendmsg(fd, &mh, MSG_NOSIGNAL) == -1 ? -1 : 0;
}

static int
thing_pipe(int end)
{
	int fds[2];

	if (pipe(fds) == -1)
		return -1;
	close(fds[1 - end]);
	return fds[end];
}

static int
thing_listener(struct sockaddr_in *sin, socklen_t *len)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	/* The supervisor's Landlock allows no bind(2); this finds a port. */
	*len = sizeof(*sin);
	if (fd == -1 || listen(fd, 1) == -1 ||
	    getsockname(fd, (struct sockaddr *)sin, len) == -1)
		return -1;
	return fd;
}

/* One end of a pair with data and a descriptor on their way in it. */
static int
thing_pair(void)
{
	char data[16] = "";
	int fds[2], null = open("/dev/null", O_RDWR);

	if (null == -1 || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == -1 ||
	    datagram_send(fds[0], data, sizeof(data), &null, 1) == -1)
		return -1;
	close(null);
	close(fds[0]);
	return fds[1];
}

static int
thing_open(enum thing thing, int channel)
{
	struct sockaddr_in sin;
	socklen_t len;

	switch (thing) {
	case THING_PIPE:
	case THING_PIPE_IN:
		return thing_pipe(thing == THING_PIPE_IN);
	case THING_RANDOM:
		return open("/dev/urandom", O_RDONLY);
	case THING_NULL:
		return open("/dev/null", O_RDWR);
	case THING_DIRECTORY:
		return open("/proc", O_RDONLY | O_DIRECTORY);
	case THING_PATH:
		return open("/", O_PATH);
	case THING_LISTENER:
		return thing_listener(&sin, &len);
	case THING_PAIR:
		return thing_pair();
	case THING_MEMORY:
		return memfd_create("hostile", MFD_ALLOW_SEALING);
	case THING_CHANNEL:
		return dup(channel);
	case THING_EPOLL:
		return epoll_create1(0);
	case THING_EVENT:
		return eventfd(0, 0);
	case THING_PROC:
		return open("/proc/self/status", O_RDONLY);
	case THING_OTHER_PROC:
		return open("/proc/1/stat", O_RDONLY);
	default:
		return -1;
	}
}

/* ---- datagrams ---- */

struct shot
shot_true(unsigned type, size_t size, unsigned nfds)
{
	return (struct shot){ .type = (uint16_t)type,
		.said_fds = (uint16_t)nfds,
		.said_len = (uint32_t)size,
		.size = size,
		.thing = nfds > 0 ? THING_NULL : THING_NONE,
		.nfds = nfds };
}

static struct shot
shot_patched(
    unsigned type, size_t size, size_t at, size_t width, uint64_t value)
{
	struct shot s = shot_true(type, size, 0);

	s.at = at;
	s.width = width;
	s.value = value;
	return s;
}

int
shot_fire(int fd, const struct shot *s)
{
	static uint8_t data[256 * 1024];
	struct msg_hdr hdr = {
		.type = s->type, .nfds = s->said_fds, .len = s->said_len
	};
	int one = -1, rv, fds[FDS_MAX];
	size_t head = s->bare ? 0 : sizeof(hdr);
	unsigned i;

	if (s->nfds > 0) {
		one = s->thing == THING_CLIENT ? (int)s->value
					       : thing_open(s->thing, fd);
		if (one == -1)
			return -1;
	}
	memcpy(data, &hdr, sizeof(hdr));
	memset(data + head, s->fill, s->size);
	memcpy(data + head + s->at, &s->value, s->width);
	for (i = 0; i < s->nfds; i++)
		fds[i] = one;
	rv = datagram_send(fd, data, head + s->size, fds, s->nfds);
	if (one != -1)
		close(one);
	return rv;
}

/* ---- making lies ---- */

static struct lie *lie(struct lies *, const char *, struct shot, const char *,
    ...) __attribute__((__format__(printf, 4, 5)));

static struct lie *
lie(struct lies *l, const char *expect, struct shot s, const char *fmt, ...)
{
	struct lie *new = &l->lie[l->count];
	va_list ap;

	if (l->count++ == LIES_MAX)
		abort();
	new->expect = expect;
	new->shot = s;
	va_start(ap, fmt);
	vsnprintf(new->name, sizeof(new->name), fmt, ap);
	va_end(ap);
	return new;
}

/* A type that this sender may send, to lie about the rest. */
static unsigned
lies_type(enum role from, enum role to)
{
	const struct msg_rule *r;
	unsigned t;

	for (t = 1; t < MSG__MAX; t++) {
		r = msg_rule(t);
		if ((r->from & from) && (r->to & to) && r->max_fds == 0)
			return t;
	}
	return MSG_NONE;
}

static void
lies_bare(struct lies *l)
{
	static const size_t sizes[] = { 1, 2, 7 };
	static const struct {
		size_t size;
		const char *expect;
	} noise[] = {
		{ 8, "length is a lie" },
		{ 64, "length is a lie" },
		{ 16392, "length is a lie" },
		{ 16393, "message too long" },
		{ 65536, "message too long" },
		{ 131072, "message too long" },
	};
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		lie(l, "message too short",
		    (struct shot){ .bare = true, .size = sizes[i] },
		    "%zu bytes", sizes[i]);
	for (i = 0; i < sizeof(noise) / sizeof(noise[0]); i++)
		lie(l, noise[i].expect,
		    (struct shot){
			.bare = true, .size = noise[i].size, .fill = 0xa5 },
		    "%zu bytes of noise", noise[i].size);
}

/*
 * What must be said of size bytes of zeros behind a header that has said of
 * them: what is left is another message.
 */
static const char *
lies_length(
    unsigned type, enum role from, enum role to, uint32_t said, uint32_t size)
{
	const char *why;

	if (said > size)
		return "length is a lie";
	if ((why = msg_check(type, from, to, said, 0)) != NULL)
		return why;
	return size - said < sizeof(struct msg_hdr) ? "message too short"
						    : "unknown message type";
}

static void
lies_header(struct lies *l, unsigned type, enum role from, enum role to)
{
	static const uint32_t lengths[] = { 0, 1, 1023, 1025, UINT16_MAX,
		INT32_MAX, UINT32_C(1) << 31, UINT32_MAX - 7, UINT32_MAX };
	static const uint16_t counts[] = { 1, 2, 64, 65, 255, 0x7fff, 0x8000,
		UINT16_MAX };
	struct shot s;
	size_t i;

	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		s = shot_true(type, 1024, 0);
		s.said_len = lengths[i];
		lie(l, lies_length(type, from, to, lengths[i], 1024), s,
		    "1024 bytes said to be %u", lengths[i]);
	}
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		s = shot_true(type, msg_rule(type)->min_len, 0);
		s.said_fds = counts[i];
		lie(l, "descriptor count is a lie", s, "said descriptors: %u",
		    counts[i]);
	}
	s = shot_true(type, msg_rule(type)->min_len, 1);
	s.said_fds = 0;
	lie(l, "descriptor count is a lie", s, "a descriptor not spoken of");
}

static void
lies_types(struct lies *l, enum role from, enum role to)
{
	static const uint16_t odd[] = { MSG__MAX, MSG__MAX + 1, 127, 128, 255,
		256, 0x7fff, 0x8000, UINT16_MAX };
	const struct msg_rule *r;
	size_t i;

	for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		lie(l, "unknown message type", shot_true(odd[i], 0, 0),
		    "type %u", odd[i]);
	for (i = 0; i < MSG__MAX; i++) {
		if ((r = msg_rule((unsigned)i)) == NULL)
			lie(l, "unknown message type", shot_true(i, 0, 0),
			    "type %zu", i);
		else if ((r->from & from) == 0)
			lie(l, "not a message of this sender",
			    shot_true(i, r->min_len, r->min_fds), "%s",
			    r->name);
		else if ((r->to & to) == 0)
			lie(l, "not a message for this receiver",
			    shot_true(i, r->min_len, r->min_fds), "%s",
			    r->name);
	}
}

static void
lies_sizes(struct lies *l, enum role from, enum role to)
{
	const struct msg_rule *r;
	unsigned t, n;

	for (t = 1; t < MSG__MAX; t++) {
		r = msg_rule(t);
		if ((r->from & from) == 0 || (r->to & to) == 0)
			continue;
		if (r->min_len > 0)
			lie(l, "payload too short",
			    shot_true(t, r->min_len - 1, r->min_fds),
			    "%s too short", r->name);
		lie(l,
		    r->max_len < MSG_MAX_PAYLOAD ? "payload too long"
						 : "message too long",
		    shot_true(t, r->max_len + 1, r->min_fds), "%s too long",
		    r->name);
		lie(l,
		    r->max_len < MSG_MAX_PAYLOAD ? "payload too long"
						 : "message too long",
		    shot_true(t,
			r->max_len < MSG_MAX_PAYLOAD ? MSG_MAX_PAYLOAD
						     : TOO_LONG,
			r->min_fds),
		    "%s much too long", r->name);
		for (n = r->max_fds + 1U; n < MSG_MAX_FDS; n *= 4)
			lie(l, "unexpected descriptor",
			    shot_true(t, r->min_len, n), "%s with %u of them",
			    r->name, n);
		lie(l, "unexpected descriptor",
		    shot_true(t, r->min_len, MSG_MAX_FDS), "%s with %u of them",
		    r->name, MSG_MAX_FDS);
		lie(l, "too many descriptors",
		    shot_true(t, r->min_len, MSG_MAX_FDS + 1),
		    "%s with %u of them", r->name, MSG_MAX_FDS + 1);
		lie(l, "too many descriptors",
		    shot_true(t, r->min_len, FDS_MAX), "%s with %u of them",
		    r->name, FDS_MAX);
	}
}

static void
lies_things(struct lies *l, unsigned type)
{
	struct shot s;
	int i;

	for (i = 1; i < THING__MAX; i++) {
		s = shot_true(type, msg_rule(type)->min_len, 1);
		s.thing = i;
		lie(l, "unexpected descriptor", s, "an unexpected %s",
		    thing_names[i]);
	}
}

/* ---- what a child says to the supervisor ---- */

static void
lies_life(struct lies *l)
{
	static const uint32_t never[] = { 2, 0x7fffffff, 0x80000000,
		UINT32_MAX };
	const size_t size = sizeof(struct msg_ready);
	struct shot s;
	size_t i;

	for (i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		lie(l, "acknowledges what was not sent",
		    shot_patched(MSG_CONF_ACK, 4, 0, 4, never[i]),
		    "acknowledges %u", never[i]);
	lie(l, NULL, shot_patched(MSG_CONF_ACK, 4, 0, 4, 0), "acknowledges 0");
	lie(l, NULL, shot_patched(MSG_CONF_ACK, 4, 0, 4, 1),
	    "acknowledges twice");
	for (i = 0; i <= 4; i++)
		lie(l, "unexpected ready",
		    shot_true(MSG_READY, size, (unsigned)i),
		    "ready twice with %zu of them", i);
	lie(l, "unexpected ready", shot_true(MSG_READY, size, 0),
	    "ready before all")
	    ->early = true;
	s = shot_true(MSG_READY, size, 4);
	s.thing = THING_LISTENER;
	lie(l, "unexpected ready", s, "ready before all with listeners")
	    ->early = true;
	lie(l, "acknowledges what was not sent",
	    shot_patched(MSG_CONF_ACK, 4, 0, 4, 9), "acknowledges before all")
	    ->early = true;
	lie(l, "answers what nobody asked", shot_true(MSG_PONG, 0, 0),
	    "a pong before all")
	    ->early = true;
}

static void
lies_log(struct lies *l)
{
	static const uint8_t bytes[] = { 0, 1, '\n', '\r', 0x1b, ' ', '"', '%',
		'=', '\\', '{', 0x7f, 0x80, 0xff };
	static const uint8_t levels[] = { 0, 1, 5, 6, 127, 128, 255 };
	struct shot s;
	size_t i;

	for (i = 0; i < sizeof(bytes); i++) {
		s = shot_patched(MSG_LOG, 8 + 1024, 0, 8, 2);
		s.fill = bytes[i];
		lie(l, NULL, s, "a line of bytes %#x", bytes[i]);
	}
	for (i = 0; i < sizeof(levels); i++)
		lie(l, NULL, shot_patched(MSG_LOG, 8, 0, 1, levels[i]),
		    "a line of level %u", levels[i]);
	lie(l, NULL,
	    shot_patched(MSG_LOG, 8, 0, 8, 2 | (uint64_t)UINT32_MAX << 32),
	    "dropped all lines");
}

/* ---- of a worker ---- */

/* Counted by the supervisor, or what workers have no business with. */
static bool
counter_is_theirs(size_t word)
{
	switch (word) {
	case COUNT_CONNECTIONS:
	case COUNT_CONNECTIONS_REFUSED:
	case COUNT_ACCEPT_PAUSES:
	case COUNT_KEYS_RELOAD_SUCCESS:
	case COUNT_KEYS_RELOAD_FAILURE:
	case COUNT_RESTARTS_WORKER:
	case COUNT_RESTARTS_AUTH:
	case COUNT_RESTARTS_METRICS:
	case COUNT_RESTARTS_AUDIT:
	case COUNT_RESTARTS_SIGN:
	case COUNT_CHANNEL_VIOLATIONS:
	case COUNT_LOG_DROPPED:
	case COUNT_RELOADS:
	case COUNT_RELOAD_FAILURES:
	case COUNT_AUDIT_LINES:
	case COUNT_AUDIT_ERRORS:
	case COUNT_TOKENS_RELOAD_FAILURE:
	case COUNT_TLS_RELOAD_FAILURE:
	case COUNT_TLS_SIGN_REFUSED:
		return true;
	default:
		return false;
	}
}

static void
lies_count(struct lies *l)
{
	static const uint64_t huge[] = { (UINT64_C(1) << 40) + 1,
		UINT64_C(1) << 63, UINT64_MAX };
	static const char *const expect = "counts what cannot be";
	const size_t size = sizeof(struct msg_count);
	size_t i;

	for (i = 0; i < COUNTERS_WORDS + 1; i++) {
		if (i < COUNT__MAX && counter_is_theirs(i))
			lie(l, expect,
			    shot_patched(MSG_COUNT, size, 8 * i, 8, 1),
			    "counts in the supervisor's place: %zu", i);
		else
			lie(l, expect,
			    shot_patched(
				MSG_COUNT, size, 8 * i, 8, huge[i % 3]),
			    "counts too much in word %zu", i);
	}
	lie(l, NULL, shot_true(MSG_COUNT, size, 0), "counts nothing");
	for (i = 0; i < COUNTERS_WORDS; i += 7) {
		if (i >= COUNT__MAX || !counter_is_theirs(i))
			lie(l, NULL,
			    shot_patched(
				MSG_COUNT, size, 8 * i, 8, UINT64_C(1) << 40),
			    "counts very much in word %zu", i);
	}
}

/* Answers to what nobody asked, whatever else they say. */
static void
lies_unasked(struct lies *l, unsigned type, size_t size)
{
	static const uint32_t requests[] = { 0, 0x7fffffff, 0x80000000,
		UINT32_MAX };
	static const uint8_t fills[] = { 0, 1, 0xff };
	static const char *const expect = "answers what nobody asked";
	struct shot s;
	size_t i, j;

	for (i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		for (j = 0; j < sizeof(fills); j++) {
			s = shot_patched(type, size, 0, 4, requests[i]);
			s.fill = fills[j];
			lie(l, expect, s, "%s %u unasked, of bytes %u",
			    msg_name(type), requests[i], fills[j]);
		}
	}
}

/* ---- of audit ---- */

static void
lies_audit(struct lies *l)
{
	static const char *const expect =
	    "says what cannot be of the audit log";
	static const struct {
		const char *name;
		size_t at, width;
		uint64_t value;
	} fields[] = {
		{ "writable 2", 20, 1, 2 },
		{ "writable 255", 20, 1, 255 },
		{ "refused 2", 21, 1, 2 },
		{ "no file any more", 16, 4, 0 },
		{ "a file that was not passed", 16, 4, 2 },
		{ "all files", 16, 4, UINT32_MAX },
		{ "lines that have no index", 8, 4, 1 },
		{ "all lines", 8, 4, UINT32_MAX },
	};
	struct shot s;
	size_t i;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		s = shot_patched(MSG_AUDIT_STATE, 24, fields[i].at,
		    fields[i].width, fields[i].value);
		lie(l, expect, s, "audit_state: %s", fields[i].name);
	}
}

/* ---- of sign ---- */

static void
lies_loaded(struct lies *l)
{
	static const struct {
		const char *name;
		uint64_t value; /* pair, and whether it is good */
		size_t rest; /* bytes of a reason */
	} verdicts[] = {
		{ "no pair", 0, 0 },
		{ "the pair again", 1 | UINT64_C(1) << 32, 0 },
		{ "the pair has become bad", 1, 256 },
		{ "a pair to come", 2 | UINT64_C(1) << 32, 0 },
		{ "the last pair of all", UINT32_MAX, 0 },
		{ "more than good", 1 | UINT64_C(2) << 32, 0 },
		{ "as good as can be", UINT64_MAX, 256 },
	};
	struct shot s;
	size_t i;

	for (i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
		s = shot_patched(MSG_SIGN_LOADED, 8 + verdicts[i].rest, 0, 8,
		    verdicts[i].value);
		s.fill = 0x1b;
		lie(l, "answers what nobody asked", s, "sign_loaded: %s",
		    verdicts[i].name);
	}
}

/* It counts one thing. */
static void
lies_sign_count(struct lies *l)
{
	const size_t size = sizeof(struct msg_count);
	size_t i;

	for (i = 0; i < COUNTERS_WORDS; i += 5)
		lie(l, "counts what cannot be",
		    shot_patched(MSG_COUNT, size, 8 * i, 8,
			i == COUNT_TLS_SIGN_REFUSED ? UINT64_MAX : 1),
		    "counts what it has not in word %zu", i);
	lie(l, "counts what cannot be",
	    shot_patched(MSG_COUNT, size, 8 * (size_t)COUNT_TLS_SIGN_REFUSED, 8,
		(UINT64_C(1) << 40) + 1),
	    "counts too many refusals");
	lie(l, NULL,
	    shot_patched(MSG_COUNT, size, 8 * (size_t)COUNT_TLS_SIGN_REFUSED, 8,
		UINT64_C(1) << 40),
	    "counts very many refusals");
}

/* ---- what workers say to their siblings ---- */

static void
lies_ask(struct lies *l)
{
	static const struct {
		uint16_t id, key;
		size_t rest;
	} asks[] = {
		{ 0, 1, 0 },
		{ 1, 0, 0 },
		{ 1, 1, 1 },
		{ UINT16_MAX, 0, 256 },
		{ 0, UINT16_MAX, 1024 },
		{ UINT16_MAX, UINT16_MAX, 1280 },
		{ 257, 0, 257 },
		{ 0, 1025, 1025 },
		{ 0x8000, 0x8000, 0 },
		{ 0, 0, 1280 },
	};
	struct shot s;
	size_t i;

	for (i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		s = shot_patched(MSG_AUTH_ASK,
		    sizeof(struct msg_auth_ask) + asks[i].rest, 12, 4,
		    asks[i].id | (uint64_t)asks[i].key << 16);
		lie(l, "a question makes no sense", s,
		    "auth_ask: %u and %u bytes in %zu", asks[i].id, asks[i].key,
		    asks[i].rest);
	}
	s = shot_patched(MSG_AUTH_ASK, sizeof(struct msg_auth_ask) + 1, 12, 8,
	    1 << 16 | UINT64_C(2) << 32);
	lie(l, "a question makes no sense", s, "auth_ask: no such realm");
	lie(l, NULL, shot_true(MSG_AUTH_ASK, sizeof(struct msg_auth_ask), 0),
	    "auth_ask: no key");
	s = shot_patched(MSG_AUTH_ASK, sizeof(struct msg_auth_ask) + 1280, 12,
	    8, 256 | 1024 << 16);
	s.fill = 0xff;
	lie(l, NULL, s, "auth_ask: a key of bytes 0xff");
	for (i = 1; i <= 256; i *= 16) {
		s = shot_true(MSG_AUTH_HERE, i, 0);
		lie(l, NULL, s, "auth_here: %zu times NUL", i);
		s.type = MSG_AUTH_LEFT;
		s.fill = 0xff;
		lie(l, NULL, s, "auth_left: %zu times 0xff", i);
	}
}

static void
lies_agent(struct lies *l)
{
	static const struct {
		const char *name;
		size_t rest; /* bytes behind the struct */
		uint64_t value; /* length, and whether it is proven */
	} agents[] = {
		{ "no id", 0, 0 },
		{ "an id that overruns", 1, 2 },
		{ "an id that is too short", 2, 1 },
		{ "an id of all lengths", 256, UINT16_MAX },
		{ "more than proven", 1, 1 | 2 << 16 },
	};
	size_t i;

	for (i = 0; i < sizeof(agents) / sizeof(agents[0]); i++)
		lie(l, "an agent makes no sense",
		    shot_patched(MSG_AGENT_ENTER, 16 + agents[i].rest, 12, 4,
			agents[i].value),
		    "agent_enter: %s", agents[i].name);
	lie(l, NULL, shot_true(MSG_AGENT_LEFT, 8, 0),
	    "agent_left: an unknown one");
}

static void
lies_to_auth(struct lies *l)
{
	lies_ask(l);
	lies_agent(l);
}

/* None is a lie by itself: what is no signature is refused and counted. */
static void
lies_to_sign(struct lies *l)
{
	static const uint32_t schemes[] = { 0, SIGN_ECDSA, SIGN_RSA, 3, 255,
		UINT32_MAX };
	static const size_t sizes[] = { 0, 1, 31, 32, 33, 64, 256, 1024 };
	const size_t head = sizeof(struct msg_sign_ask);
	struct shot s;
	size_t i, j;

	for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		for (j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
			s = shot_patched(MSG_SIGN_ASK, head + sizes[j], 4, 8,
			    1 | (uint64_t)schemes[i] << 32);
			s.fill = 0xbc;
			lie(l, NULL, s, "sign_ask: scheme %u of %zu bytes",
			    schemes[i], sizes[j]);
		}
	}
	lie(l, NULL,
	    shot_patched(
		MSG_SIGN_ASK, head + 32, 4, 8, UINT32_MAX | UINT64_C(1) << 32),
	    "sign_ask: another pair");
}

/* The lengths and the direction of a record. */
#define RECORD(before, after, direction, session)                  \
	((uint64_t)(session) << 40 | (uint64_t)(direction) << 32 | \
	    (uint64_t)(after) << 16 | (uint64_t)(before))

static void
lies_record(struct lies *l)
{
	static const struct {
		const char *name;
		size_t rest; /* bytes behind the struct */
		uint64_t value;
		uint8_t fill; /* the time, and the rest */
	} records[] = {
		{ "nothing", 0, RECORD(0, 0, 0, 0), 0 },
		{ "no direction", 12, RECORD(4, 4, 0, 4), 1 },
		{ "no such direction", 12, RECORD(4, 4, 3, 4), 1 },
		{ "no session", 8, RECORD(4, 4, 1, 0), 1 },
		{ "a session of controls", 12, RECORD(4, 4, 1, 4), 1 },
		{ "no frame", 4, RECORD(0, 0, 1, 4), '1' },
		{ "a frame without a brace", 12, RECORD(4, 4, 1, 4), '1' },
		{ "before the epoch", 12, RECORD(4, 4, 1, 4), 0x81 },
		{ "before overruns", 64, RECORD(0xffff, 1, 1, 4), '1' },
		{ "after overruns", 64, RECORD(1, 0xffff, 1, 4), '1' },
		{ "a session that overruns", 64, RECORD(1, 1, 1, 255), '1' },
		{ "all overrun", 64, UINT64_MAX, 0xff },
		{ "the rest is no record", 24, RECORD(0, 0, 1, 4), '1' },
	};
	struct shot s;
	size_t i;

	for (i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		s = shot_patched(
		    MSG_AUDIT, 16 + records[i].rest, 8, 8, records[i].value);
		s.fill = records[i].fill;
		lie(l, "a record makes no sense", s, "audit: %s",
		    records[i].name);
	}
}

/* ---- what siblings say to workers ---- */

static void
lies_reply(struct lies *l)
{
	static const uint8_t verdicts[] = { 0, 4, 127, 255 };
	size_t i;

	for (i = 0; i < sizeof(verdicts); i++)
		lie(l, "answers nonsense",
		    shot_patched(MSG_AUTH_REPLY, 16, 12, 1, verdicts[i]),
		    "auth_reply: verdict %u", verdicts[i]);
	lie(l, "answers nonsense", shot_patched(MSG_AUTH_REPLY, 16, 12, 1, 1),
	    "auth_reply: granted to nobody");
	lie(l, "answers nonsense",
	    shot_patched(MSG_AUTH_REPLY, 20, 12, 4, 2 | 4 << 16),
	    "auth_reply: refused to somebody");
	lie(l, "answers nonsense",
	    shot_patched(MSG_AUTH_REPLY, 20, 12, 4, 1 | 0xffffU << 16),
	    "auth_reply: an id that overruns");
	lie(l, NULL, shot_patched(MSG_AUTH_REPLY, 20, 12, 4, 1 | 4 << 16),
	    "auth_reply: to no question");
	lie(l, NULL, shot_true(MSG_AUTH_REVOKED, 256, 0),
	    "auth_revoked: an unknown id");
	lie(l, NULL, shot_true(MSG_AUTH_WHO, 0, 0), "auth_who");
	lie(l, "answers nonsense",
	    shot_patched(MSG_AUTH_REPLY, 16, 12, 4, 1 | 2 << 8),
	    "auth_reply: no such realm");
	lie(l, NULL, shot_patched(MSG_AUTH_REPLY, 16, 12, 4, 1 | 1 << 8),
	    "auth_reply: a token to no question");
	lie(l, "answers nonsense", shot_true(MSG_AGENT_REPLY, 16, 0),
	    "agent_reply: no verdict");
	lie(l, "answers nonsense", shot_patched(MSG_AGENT_REPLY, 16, 12, 1, 3),
	    "agent_reply: a verdict that it cannot be");
	lie(l, NULL, shot_patched(MSG_AGENT_REPLY, 16, 12, 1, 1),
	    "agent_reply: to no question");
	lie(l, NULL, shot_true(MSG_AGENT_REPLACED, 8, 0),
	    "agent_replaced: an unknown one");
}

/* A signature that nobody waits for may be of a client that has left. */
static void
lies_signature(struct lies *l)
{
	static const uint32_t serials[] = { 0, 1, 1000, UINT32_MAX };
	static const size_t sizes[] = { 0, 1, 72, 1024 };
	size_t i, j;

	for (i = 0; i < sizeof(serials) / sizeof(serials[0]); i++) {
		for (j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++)
			lie(l, NULL,
			    shot_patched(
				MSG_SIGN_REPLY, 4 + sizes[j], 0, 4, serials[i]),
			    "sign_reply: %u, of %zu bytes", serials[i],
			    sizes[j]);
	}
}

static void
lies_to_parent(struct lies *l, enum role from)
{
	lies_life(l);
	lies_log(l);
	if (from == ROLE_WORKER) {
		lies_count(l);
		lies_unasked(l, MSG_SESSIONS_PAGE, 8 + 72);
		lies_unasked(l, MSG_SESSION_KILLED, 8);
	} else if (from == ROLE_AUTH) {
		lies_unasked(l, MSG_KEYS_PAGE, 16);
	} else if (from == ROLE_AUDIT) {
		lies_audit(l);
	} else if (from == ROLE_SIGN) {
		lies_loaded(l);
		lies_sign_count(l);
	}
}

void
lies_fill(struct lies *l, enum role from, enum role to)
{
	unsigned type = to == ROLE_PARENT ? MSG_LOG : lies_type(from, to);

	l->count = 0;
	if (to == ROLE_PARENT)
		lies_to_parent(l, from);
	else if (to == ROLE_AUTH)
		lies_to_auth(l);
	else if (to == ROLE_AUDIT)
		lies_record(l);
	else if (to == ROLE_SIGN)
		lies_to_sign(l);
	else if (from == ROLE_SIGN)
		lies_signature(l);
	else if (from == ROLE_AUTH)
		lies_reply(l);
	lies_bare(l);
	lies_types(l, from, to);
	/* Who may say nothing can only lie so far. */
	if (type == MSG_NONE)
		return;
	lies_header(l, type, from, to);
	lies_things(l, type);
	lies_sizes(l, from, to);
}
