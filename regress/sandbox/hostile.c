/*
 * Stands in for a child of the node whose code is somebody else's by now.  It
 * comes up as a proper child does, knows all that such a child knows, is in
 * no sandbox, and then does to the supervisor and to its siblings what the
 * test asks for: one play of those in plays.c.
 *
 * It uses nothing of common/chan, so that it can break every rule of it.
 */
#include <sys/shm.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hostile.h"

/* The test writes the number of its shared memory behind the equals sign. */
static volatile char shm_number[64] = "hostile-shm=";

/* ---- small things ---- */

uint64_t
next_random(struct hostile *h)
{
	uint64_t x = h->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	h->random = x;
	return x * UINT64_C(0x2545f4914f6cdd1d);
}

void
pause_ms(long ms)
{
	struct timespec ts = { .tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

void
say(int fd, unsigned type, const void *payload, size_t size)
{
	struct msg_hdr hdr = { .type = (uint16_t)type, .len = (uint32_t)size };
	uint8_t data[sizeof(hdr) + MSG_MAX_PAYLOAD];

	memcpy(data, &hdr, sizeof(hdr));
	if (size > 0)
		memcpy(data + sizeof(hdr), payload, size);
	send(fd, data, sizeof(hdr) + size, MSG_NOSIGNAL);
}

/* ---- the play ---- */

bool
going_on(const struct hostile *h)
{
	return atomic_load(&h->control->go) != 0;
}

static bool
is_played(const struct hostile *h, const char *name)
{
	return going_on(h) && strcmp(h->control->play, name) == 0;
}

int
my_turn(struct hostile *h)
{
	uint64_t n = atomic_fetch_add(&h->control->turn, 1);

	if (n >= atomic_load(&h->control->count))
		return -1;
	atomic_store(&h->control->pid[n], (uint32_t)getpid());
	return (int)n;
}

/* ---- as a proper child ---- */

/* READY, with what belongs to it but for what the play wants. */
static void
behave_ready(struct hostile *h)
{
	struct shot s = shot_true(MSG_READY, sizeof(struct msg_ready), 4);
	int n;

	if (h->ready)
		return;
	h->ready = h->well = true;
	s.thing = THING_PROC;
	if (is_played(h, "odd_ready") && (n = my_turn(h)) != -1) {
		s.thing = 1 + (enum thing)n;
		s.fill = 0xff;
		h->well = false;
	}
	/* Nobody can send us what being ready brings. */
	if (is_played(h, "deaf_when_ready"))
		shutdown(CHANNEL, SHUT_RD);
	if (shot_fire(CHANNEL, &s) == 0)
		return;
	/* Some things are not to be had: the supervisor's sandbox is ours. */
	s.thing = THING_NULL;
	shot_fire(CHANNEL, &s);
}

void
behave_asked(struct hostile *h, unsigned type, uint32_t first)
{
	struct msg_sessions_page page = { .last = 1 };
	struct msg_session_killed killed = { .found = 0 };
	struct msg_keys_page keys = { .count = 0 };

	if (type == MSG_SESSIONS_GET) {
		page.request = h->asked;
		say(CHANNEL, MSG_SESSIONS_PAGE, &page, sizeof(page));
	} else if (type == MSG_SESSION_KILL) {
		killed.request = h->asked;
		say(CHANNEL, MSG_SESSION_KILLED, &killed, sizeof(killed));
	} else {
		keys.request = h->asked;
		keys.first = first;
		say(CHANNEL, MSG_KEYS_PAGE, &keys, sizeof(keys));
	}
}

static void
behave_conf(struct hostile *h, unsigned type, const uint8_t *data)
{
	struct msg_conf_ack ack;

	if (type == MSG_CONF_END) {
		memcpy(&h->generation, data, sizeof(h->generation));
		ack.generation = h->generation;
		say(CHANNEL, MSG_CONF_ACK, &ack, sizeof(ack));
	} else {
		behave_ready(h);
	}
}

static void
behave_take(struct hostile *h, unsigned type, const uint8_t *data, int fd)
{
	struct msg_peer peer;

	if (type == MSG_SHARED) {
		h->shared = fd;
	} else if (type == MSG_PEER && h->npeers < 64) {
		memcpy(&peer, data, sizeof(peer));
		h->peer_role[h->npeers] = peer.role;
		h->peers[h->npeers++] = fd;
	} else if (type == MSG_CONN_NEW && h->client == -1) {
		h->client = fd;
	} else {
		close(fd);
	}
}

/* A pair of which nothing was read. */
static void
behave_pair(const uint8_t *data)
{
	struct msg_sign_loaded loaded = { .good = 1 };

	memcpy(&loaded.pair, data, sizeof(loaded.pair));
	say(CHANNEL, MSG_SIGN_LOADED, &loaded, sizeof(loaded));
}

static void
behave_message(struct hostile *h, size_t n, const int *fds, size_t nfds)
{
	const uint8_t *data = h->buf + sizeof(struct msg_hdr);
	struct msg_hdr hdr;
	uint32_t first;
	size_t i;

	/* The supervisor has gone, or wants us to. */
	while (n < sizeof(hdr) && is_played(h, "stay"))
		pause_ms(20);
	if (n < sizeof(hdr))
		_exit(0);
	memcpy(&hdr, h->buf, sizeof(hdr));
	for (i = 0; i < nfds; i++)
		behave_take(h, hdr.type, data, fds[i]);
	switch (hdr.type) {
	case MSG_CONF_END:
	case MSG_CONF_COMMIT:
		behave_conf(h, hdr.type, data);
		break;
	case MSG_SIGN_PAIR:
		behave_pair(data);
		break;
	case MSG_SESSIONS_GET:
	case MSG_SESSION_KILL:
	case MSG_KEYS_GET:
		memcpy(&h->asked, data, sizeof(h->asked));
		memcpy(&first, data + 4, sizeof(first));
		behave_asked(h, hdr.type, first);
		break;
	case MSG_DRAIN:
		_exit(0);
	default:
		break;
	}
}

bool
behave(struct hostile *h, int timeout_ms)
{
	union {
		struct cmsghdr align;
		uint8_t buf[CMSG_SPACE(sizeof(int) * MSG_MAX_FDS)];
	} control;
	struct iovec iov = { .iov_base = h->buf, .iov_len = sizeof(h->buf) };
	struct msghdr mh = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	struct pollfd pfd = { .fd = CHANNEL, .events = POLLIN };
	struct cmsghdr *cm;
	int fds[MSG_MAX_FDS];
	size_t nfds = 0;
	ssize_t n;

	if (poll(&pfd, 1, timeout_ms) != 1)
		return false;
	n = recvmsg(CHANNEL, &mh, 0);
	if (n == -1 && errno == EAGAIN)
		return false;
	if ((cm = CMSG_FIRSTHDR(&mh)) != NULL && n > 0) {
		nfds = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(cm), nfds * sizeof(int));
	}
	behave_message(h, n < 0 ? 0 : (size_t)n, fds, nfds);
	return true;
}

/* ---- who we are ---- */

static const struct {
	const char *name;
	enum role role;
} programs[] = {
	{ "ltp-worker", ROLE_WORKER },
	{ "ltp-worker-tls", ROLE_WORKER },
	{ "ltp-auth", ROLE_AUTH },
	{ "ltp-audit", ROLE_AUDIT },
	{ "ltp-metrics", ROLE_METRICS },
	{ "ltp-sign", ROLE_SIGN },
};

#define PROGRAMS (sizeof(programs) / sizeof(programs[0]))

static enum role
role_named(const char *name)
{
	const char *base = strrchr(name, '/');
	size_t i;

	base = base == NULL ? name : base + 1;
	for (i = 0; i < PROGRAMS; i++) {
		if (strcmp(programs[i].name, base) == 0)
			return programs[i].role;
	}
	return ROLE_NONE;
}

/* For the test: what will be told, in order, and what is expected. */
static int
list(const char *from, const char *to)
{
	static struct lies l;
	enum role receiver = to == NULL ? ROLE_PARENT : role_named(to);
	size_t i;

	if (strcmp(from, "pages") == 0) {
		page_lies_print();
		return 0;
	}
	lies_fill(&l, role_named(from), receiver);
	for (i = 0; i < l.count; i++)
		printf("%s\t%s\t%d\n", l.lie[i].name,
		    l.lie[i].expect == NULL ? "" : l.lie[i].expect,
		    l.lie[i].early);
	return 0;
}

static struct control *
attach(void)
{
	char number[64];
	struct control *ctl;
	size_t i;
	int id;

	for (i = 0; i < sizeof(number); i++)
		number[i] = shm_number[i];
	number[sizeof(number) - 1] = '\0';
	id = (int)strtol(strchr(number, '=') + 1, NULL, 10);
	ctl = shmat(id, NULL, 0);
	return (intptr_t)ctl == -1 ? NULL : ctl;
}

/* Not this one: become what it should be, which lies beside us. */
static void
reform(const struct hostile *h, char *argv[])
{
	char path[PATH_MAX], *none[] = { NULL };
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 8);

	if (h->role != ROLE_WORKER || n == -1 ||
	    (atomic_load(&h->control->slots) >> h->slot & 1) != 0)
		return;
	memcpy(path + n, ".real", sizeof(".real"));
	execve(path, argv, none);
	dprintf(STDERR_FILENO, "hostile: %s: %s\n", path, strerror(errno));
	_exit(1);
}

int
main(int argc, char *argv[])
{
	struct hostile h = { .shared = -1, .client = -1 };

	if (argc > 2 && strcmp(argv[1], "list") == 0)
		return list(argv[2], argv[3]);
	h.role = role_named(argv[0]);
	if (argc != 4 || h.role == ROLE_NONE || (h.control = attach()) == NULL)
		return 98;
	h.slot = (unsigned)strtoul(argv[1], NULL, 10) % 64;
	reform(&h, argv);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	fcntl(CHANNEL, F_SETFL, 0); /* wait for room */
	lies_fill(&h.lies, h.role, ROLE_PARENT);
	atomic_fetch_add(&h.control->lives, 1);
	for (;;) {
		if (!h.ready)
			claim_refusals(&h, 1 << 30);
		if (going_on(&h))
			perform(&h);
		behave(&h, 20);
	}
}
