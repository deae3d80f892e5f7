/*
 * Stands in for a child of the node whose code is somebody else's by now.  It
 * comes up as a proper child does, knows all that such a child knows, is in
 * no sandbox, and then does to the supervisor and to its siblings what the
 * test asks for: one play of the table at the end.
 *
 * It uses nothing of common/chan, so that it can break every rule of it.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>

#include <linux/sockios.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hostile.h"

#define CHANNEL 3

/* The test writes the number of its shared memory behind the equals sign. */
static volatile char shm_number[64] = "hostile-shm=";

struct hostile {
	enum role role;
	unsigned slot;
	struct control *control;
	uint32_t generation;
	bool ready; /* said so */
	bool well; /* and that as it should be */
	int shared; /* descriptor of the table, -1: none */
	int client; /* the first connection that was passed, -1: none */
	int peers[64]; /* channels to siblings */
	enum role peer_role[64];
	size_t npeers;
	uint32_t asked; /* the last request of the supervisor */
	uint64_t random;
	uint64_t scene; /* the last one we were in */
	struct lies lies;
	uint8_t buf[sizeof(struct msg_hdr) + MSG_MAX_PAYLOAD];
};

/* ---- small things ---- */

static uint64_t
next_random(struct hostile *h)
{
	uint64_t x = h->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	h->random = x;
	return x * UINT64_C(0x2545f4914f6cdd1d);
}

static void
pause_ms(long ms)
{
	struct timespec ts = { .tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

static void
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

static bool
going_on(const struct hostile *h)
{
	return atomic_load(&h->control->go) != 0;
}

static bool
is_played(const struct hostile *h, const char *name)
{
	return going_on(h) && strcmp(h->control->play, name) == 0;
}

/* The number of the next lie to tell, -1 when all are told. */
static int
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

static void
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

/* Take one message, and do as told; false when none came in that time. */
static bool
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

/* ---- lies ---- */

/* Nobody makes more of this than the end of the channel. */
static void
break_rule(int fd)
{
	struct shot s = shot_true(UINT16_MAX, 0, 0);

	shot_fire(fd, &s);
}

/* Wait for the end that others make of us. */
static _Noreturn void
await_death(struct hostile *h)
{
	struct pollfd pfd = { .fd = CHANNEL, .events = 0 };

	(void)h;
	poll(&pfd, 1, 2000);
	pause_ms(100);
	/* The test sees that nobody was killed for it. */
	_exit(99);
}

/* The peer closed its end, in that time. */
static bool
is_over(int fd, int timeout_ms)
{
	struct pollfd pfd = { .fd = fd, .events = 0 };

	return poll(&pfd, 1, timeout_ms) == 1;
}

/* The next that is to be told before READY, or after it. */
static const struct lie *
next_lie(struct hostile *h, bool early)
{
	int n;

	while ((n = my_turn(h)) != -1) {
		if (h->lies.lie[n].early == early)
			return &h->lies.lie[n];
		atomic_store(&h->control->pid[n], 0);
	}
	return NULL;
}

static void
tell(struct hostile *h, int fd, const struct lie *lie)
{
	atomic_fetch_add(&h->control->sent, 1);
	if (shot_fire(fd, &lie->shot) == -1)
		dprintf(STDERR_FILENO, "hostile: %s: %s\n", lie->name,
		    strerror(errno));
	if (lie->expect == NULL)
		break_rule(fd);
}

static void
play_lies(struct hostile *h)
{
	const struct lie *lie;

	if ((lie = next_lie(h, false)) == NULL)
		return;
	tell(h, CHANNEL, lie);
	await_death(h);
}

static void
play_break(struct hostile *h)
{
	break_rule(CHANNEL);
	await_death(h);
}

/*
 * The play is one of how READY is said; who has not done so dies, for the
 * next one to do it.
 */
static void
play_break_if_well(struct hostile *h)
{
	uint64_t count = atomic_load(&h->control->count);

	if (!h->well || (count > 0 && atomic_load(&h->control->turn) >= count))
		return;
	break_rule(CHANNEL);
	await_death(h);
}

/* Lies to be told before anything else is said. */
static void
play_early(struct hostile *h)
{
	const struct lie *lie;

	if (h->generation != 0) {
		break_rule(CHANNEL);
		await_death(h);
	}
	if ((lie = next_lie(h, true)) == NULL)
		return;
	tell(h, CHANNEL, lie);
	await_death(h);
}

static bool
has_peer(const struct hostile *h, enum role role)
{
	size_t i;

	for (i = 0; i < h->npeers; i++) {
		if (h->peer_role[i] == role)
			return true;
	}
	return false;
}

/* Lies to all siblings of a role, which end only those channels. */
static void
lie_to_siblings(struct hostile *h, enum role to)
{
	struct lie *lie;
	size_t i, over = 0, told = 0;
	int n;

	lies_fill(&h->lies, h->role, to);
	if ((n = my_turn(h)) == -1)
		return;
	lie = &h->lies.lie[n];
	while (!has_peer(h, to) || behave(h, 50))
		behave(h, 100);
	for (i = 0; i < h->npeers; i++) {
		if (h->peer_role[i] != to || is_over(h->peers[i], 0))
			continue;
		tell(h, h->peers[i], lie);
		told++;
		over += is_over(h->peers[i], 2000);
	}
	atomic_store(&h->control->seen[n], told > 0 && told == over);
	if (told == 0 || told != over)
		dprintf(STDERR_FILENO,
		    "hostile: %s: told %zu of %zu, over %zu\n", lie->name, told,
		    h->npeers, over);
	break_rule(CHANNEL);
	await_death(h);
}

static void
play_lies_to_auth(struct hostile *h)
{
	lie_to_siblings(h, ROLE_AUTH);
}

static void
play_lies_to_audit(struct hostile *h)
{
	lie_to_siblings(h, ROLE_AUDIT);
}

static void
play_lies_to_workers(struct hostile *h)
{
	lie_to_siblings(h, ROLE_WORKER);
}

/* ---- answers that were asked for ---- */

struct page_lie {
	const char *name;
	const char *expect; /* NULL: believed */
	uint16_t count; /* said */
	unsigned records; /* really */
	uint64_t conn; /* of the first */
	int64_t step; /* to the next */
	uint16_t lens[3];
	uint16_t slot; /* not ours */
	size_t extra; /* bytes behind the records */
	uint8_t last;
	uint32_t request; /* this much past the one that was asked */
};

#define UNASKED "answers what nobody asked"

static const struct page_lie page_lies[] = {
	{ "an empty page", NULL, 0, 0, 0, 0, { 0 }, 0, 0, 1, 0 },
	{ "an empty page with bytes", UNASKED, 0, 0, 0, 0, { 0 }, 0, 72, 1, 0 },
	{ "another request", UNASKED, 0, 0, 0, 0, { 0 }, 0, 0, 1, 1 },
	{ "another request far off", UNASKED, 0, 0, 0, 0, { 0 }, 0, 0, 1,
	    UINT32_MAX / 2 },
	{ "records that are not there", UNASKED, 1, 0, 1, 1, { 0 }, 0, 0, 1,
	    0 },
	{ "65535 records", UNASKED, 65535, 2, 1, 1, { 0 }, 0, 0, 1, 0 },
	{ "one record said to be none", UNASKED, 0, 1, 1, 1, { 0 }, 0, 0, 1,
	    0 },
	{ "half a record", UNASKED, 1, 1, 1, 1, { 0 }, 0, 36, 1, 0 },
	{ "connection 0", UNASKED, 1, 1, 0, 1, { 0 }, 0, 0, 1, 0 },
	{ "a connection to come", UNASKED, 1, 1, UINT64_C(1) << 40, 1, { 0 }, 0,
	    0, 1, 0 },
	{ "the last connection of all", UNASKED, 1, 1, UINT64_MAX, 1, { 0 }, 0,
	    0, 1, 0 },
	{ "connections that go down", UNASKED, 2, 2, 2, -1, { 0 }, 0, 0, 1, 0 },
	{ "one connection twice", UNASKED, 2, 2, 1, 0, { 0 }, 0, 0, 1, 0 },
	{ "another worker's sessions", UNASKED, 1, 1, 1, 1, { 0 }, 1, 0, 1, 0 },
	{ "ids that overrun", UNASKED, 1, 1, 1, 1, { 65535, 65535, 65535 }, 0,
	    0, 1, 0 },
	{ "an id too long", UNASKED, 1, 1, 1, 1, { 257, 0, 0 }, 0, 257, 1, 0 },
	{ "a tag too long", UNASKED, 1, 1, 1, 1, { 0, 0, 300 }, 0, 300, 1, 0 },
};

#define PAGE_LIES (sizeof(page_lies) / sizeof(page_lies[0]))

static size_t
page_print(const struct hostile *h, const struct page_lie *lie,
    uint8_t out[MSG_MAX_PAYLOAD])
{
	struct msg_sessions_page page = { .request = h->asked + lie->request,
		.count = lie->count,
		.last = lie->last };
	struct msg_session s = { .conn = lie->conn,
		.client_id_len = lie->lens[0],
		.session_id_len = lie->lens[1],
		.tag_len = lie->lens[2],
		.dialect = 0xff,
		.v4 = 0xff,
		.slot = (uint16_t)(h->slot + lie->slot) };
	size_t n = sizeof(page);
	unsigned i;

	memset(out, 0x1b, MSG_MAX_PAYLOAD);
	memcpy(out, &page, sizeof(page));
	for (i = 0; i < lie->records; i++) {
		memcpy(out + n, &s, sizeof(s));
		n += sizeof(s);
		s.conn += (uint64_t)lie->step;
	}
	return n + lie->extra;
}

/* Wait for a question of that type. */
static bool
await_question(struct hostile *h, unsigned type)
{
	struct pollfd pfd = { .fd = CHANNEL, .events = POLLIN };
	struct msg_hdr hdr;
	uint8_t data[sizeof(hdr) + sizeof(h->asked)];
	ssize_t n;

	while (atomic_load(&h->control->go)) {
		if (poll(&pfd, 1, 20) != 1)
			continue;
		n = recv(CHANNEL, data, sizeof(data), MSG_PEEK);
		memcpy(&hdr, data, sizeof(hdr));
		if (n == (ssize_t)sizeof(data) && hdr.type == type) {
			memcpy(&h->asked, data + sizeof(hdr), 4);
			recv(CHANNEL, h->buf, sizeof(h->buf), 0);
			return true;
		}
		behave(h, 0);
	}
	return false;
}

static void
play_pages(struct hostile *h)
{
	uint8_t out[MSG_MAX_PAYLOAD];
	const struct page_lie *lie;

	int n;

	if (!await_question(h, MSG_SESSIONS_GET))
		return;
	if ((n = my_turn(h)) == -1) {
		behave_asked(h, MSG_SESSIONS_GET, 0);
		return;
	}
	lie = &page_lies[n];
	atomic_fetch_add(&h->control->sent, 1);
	say(CHANNEL, MSG_SESSIONS_PAGE, out, page_print(h, lie, out));
	if (lie->expect == NULL)
		break_rule(CHANNEL);
	await_death(h);
}

/* A list without an end: each page holds one session more. */
static void
play_endless_pages(struct hostile *h)
{
	struct page_lie lie = { .count = 1, .records = 1, .conn = 1 };
	uint8_t out[MSG_MAX_PAYLOAD];

	for (; await_question(h, MSG_SESSIONS_GET); lie.conn++) {
		atomic_fetch_add(&h->control->sent, 1);
		say(CHANNEL, MSG_SESSIONS_PAGE, out, page_print(h, &lie, out));
	}
}

/* Killed twice, or all of a sudden once more. */
static void
play_killed_twice(struct hostile *h)
{
	struct msg_session_killed m = { .found = UINT32_MAX };

	if (!await_question(h, MSG_SESSION_KILL))
		return;
	m.request = h->asked;
	say(CHANNEL, MSG_SESSION_KILLED, &m, sizeof(m));
	say(CHANNEL, MSG_SESSION_KILLED, &m, sizeof(m));
	m.request++;
	say(CHANNEL, MSG_SESSION_KILLED, &m, sizeof(m));
	await_death(h);
}

/* ---- random messages ---- */

/* What a worker may well say; most of it is believed. */
static struct shot
random_true(struct hostile *h)
{
	struct shot s = shot_true(MSG_LOG, 8 + next_random(h) % 64, 0);
	uint64_t r = next_random(h);

	s.width = 8;
	s.value = r & 0xff;
	s.fill = (uint8_t)(r >> 8);
	if (r % 16 < 9 && h->role == ROLE_WORKER) {
		s = shot_true(MSG_COUNT, sizeof(struct msg_count), 0);
		s.at = 8 * (next_random(h) % COUNT_CONNECTIONS);
		if (s.at == 8 * COUNT_KEYS_RELOAD_SUCCESS ||
		    s.at == 8 * COUNT_KEYS_RELOAD_FAILURE)
			s.at = 0;
		s.width = 8;
		s.value = next_random(h) >> (24 + next_random(h) % 40);
	} else if (r % 16 < 11) {
		s = shot_true(MSG_CONF_ACK, 4, 0);
		s.width = 4;
		s.value = h->generation - next_random(h) % 2;
	} else if (r % 16 < 14 && h->role == ROLE_WORKER && h->asked != 0) {
		s = shot_true(MSG_SESSION_KILLED, 8, 0);
		s.width = 8;
		s.value = (1 + next_random(h) % h->asked) | next_random(h)
								<< 32;
	}
	return s;
}

/* Anything at all, with or without a header that makes sense. */
static struct shot
random_any(struct hostile *h)
{
	uint64_t r = next_random(h);
	unsigned type = next_random(h) % (MSG__MAX + 2);
	const struct msg_rule *rule = msg_rule(type);
	struct shot s;

	if (rule != NULL && (rule->from & h->role) == 0 && r % 3 != 0) {
		type = r % 2 ? MSG_COUNT : MSG_SESSIONS_PAGE;
		rule = msg_rule(type);
	}
	s = shot_true(type, next_random(h) % 20000, 0);
	if (rule != NULL && r % 16 != 0)
		s = shot_true(type,
		    rule->min_len +
			next_random(h) % (rule->max_len - rule->min_len + 1),
		    rule->min_fds);
	if (r % 32 == 1)
		s.nfds = (unsigned)(next_random(h) % 70);
	if (r % 64 < 32)
		s.said_fds = (uint16_t)s.nfds;
	s.thing = THING_NULL;
	s.bare = r % 64 == 5;
	if (r % 64 == 6)
		s.said_len = (uint32_t)next_random(h);
	s.fill = (uint8_t)next_random(h);
	s.width = s.size < 8 ? s.size : 8;
	s.at = s.size <= 8 ? 0 : next_random(h) % (s.size - 8);
	s.value = next_random(h) >> next_random(h) % 64;
	return s;
}

/* All that was sent has been read; long enough ago to be killed for it. */
static void
let_them_read(void)
{
	int left = 1;

	while (ioctl(CHANNEL, SIOCOUTQ, &left) == 0 && left > 0) {
		if (is_over(CHANNEL, 0))
			await_death(NULL);
		sched_yield();
	}
	if (is_over(CHANNEL, 1))
		await_death(NULL);
}

/* One of so many is likely to be deadly. */
#define RANDOM_DEADLY 250

static void
play_random(struct hostile *h)
{
	struct control *ctl = h->control;
	bool deadly;
	struct shot s;

	h->random = atomic_load(&ctl->seed) ^
		    atomic_load(&ctl->lives) * UINT64_C(0x9e3779b97f4a7c15);
	while (atomic_fetch_add(&ctl->sent, 1) < atomic_load(&ctl->count)) {
		deadly = next_random(h) % RANDOM_DEADLY == 0;
		s = deadly ? random_any(h) : random_true(h);
		if (shot_fire(CHANNEL, &s) == -1 && errno == EPIPE)
			await_death(h);
		if (deadly)
			let_them_read();
		while (behave(h, 0))
			continue;
	}
	atomic_fetch_sub(&ctl->sent, 1);
}

/* ---- the shared table ---- */

#define SHARE_AT   0 /* of the first slot, as common/shared.c has it */
#define SHARE_SIZE 64
#define SHARE_MAX  64 /* slots */

/*
 * Claim so many refusals for our own slot.  With many of them the supervisor
 * gives new clients to others.
 */
static void
claim_refusals(struct hostile *h, uint32_t count)
{
	uint32_t *share;
	uint8_t *table;

	if (h->shared == -1)
		return;
	table = mmap(
	    NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, h->shared, 0);
	if (table == MAP_FAILED)
		return;
	share = (uint32_t *)(void *)(table + SHARE_AT + SHARE_SIZE * h->slot);
	share[2] = count;
	munmap(table, 2 * 4096);
}

/* ---- plays of one scene ---- */

/* Close the channel and stay. */
static void
play_close(struct hostile *h)
{
	(void)h;
	close(CHANNEL);
	pause();
}

static void
play_shutdown(struct hostile *h)
{
	(void)h;
	shutdown(CHANNEL, SHUT_WR);
	pause();
}

static void
play_empty(struct hostile *h)
{
	send(CHANNEL, "", 0, MSG_NOSIGNAL);
	await_death(h);
}

/* Do as told, but do not leave. */
static void
play_stay(struct hostile *h)
{
	(void)h;
}

/* Read nothing any more, till the test has seen enough. */
static void
play_deaf(struct hostile *h)
{
	while (going_on(h))
		pause_ms(20);
}

/* As fast as it goes, and hearing nothing. */
static void
play_flood(struct hostile *h)
{
	struct shot s = shot_true(MSG_COUNT, sizeof(struct msg_count), 0);

	while (going_on(h)) {
		if (shot_fire(CHANNEL, &s) == 0)
			atomic_fetch_add(&h->control->sent, 1);
	}
}

static void
play_log_flood(struct hostile *h)
{
	struct shot s = shot_true(MSG_LOG, 8 + 100, 0);

	s.fill = 0x1b;
	s.width = 8;
	s.value = 2;
	while (going_on(h)) {
		if (shot_fire(CHANNEL, &s) == 0)
			atomic_fetch_add(&h->control->sent, 1);
	}
}

/* Count until a counter has gone round. */
static void
play_wrap(struct hostile *h)
{
	struct shot s = shot_true(MSG_COUNT, sizeof(struct msg_count), 0);

	s.at = 8 * atomic_load(&h->control->word);
	s.width = 8;
	s.value = UINT64_C(1) << 40;
	while (atomic_fetch_add(&h->control->sent, 1) <
	       atomic_load(&h->control->count))
		shot_fire(CHANNEL, &s);
	atomic_fetch_sub(&h->control->sent, 1);
}

/* Descendants have the channel, and talk on when we are dead. */
static void
play_grandchild(struct hostile *h)
{
	struct shot s = shot_true(MSG_LOG, 8 + 1000, 0);
	int i;

	/* Only one of them may ever do it. */
	if (my_turn(h) != 0)
		return;
	for (i = 0; i < 8; i++) {
		if (fork() != 0)
			continue;
		while (shot_fire(CHANNEL, &s) == 0 || errno == EAGAIN)
			atomic_fetch_add(&h->control->sent, 1);
		atomic_fetch_add(&h->control->word, 1);
		_exit(0);
	}
	pause_ms(200);
	_exit(0);
}

/* The log can be written and cannot. */
static void
play_audit_flips(struct hostile *h)
{
	struct msg_audit_state m = { .next = 10, .files = 1 };

	while (going_on(h)) {
		m.writable ^= 1;
		atomic_fetch_add(&h->control->sent, 1);
		say(CHANNEL, MSG_AUDIT_STATE, &m, sizeof(m));
	}
}

static void
play_audit_back(struct hostile *h)
{
	struct msg_audit_state m = { .next = 10, .files = 1 };

	say(CHANNEL, MSG_AUDIT_STATE, &m, sizeof(m));
	m.next = 9;
	say(CHANNEL, MSG_AUDIT_STATE, &m, sizeof(m));
	await_death(h);
}

/* Ask auth for ever and never hear the answers. */
static void
play_ask_deaf(struct hostile *h)
{
	struct shot s = shot_true(MSG_AUTH_HERE, 256, 0);

	while (h->npeers == 0 && going_on(h))
		behave(h, 20);
	while (going_on(h)) {
		if (shot_fire(h->peers[0], &s) == -1)
			pause_ms(1);
		else
			atomic_fetch_add(&h->control->sent, 1);
	}
}

/* Ask workers who is there, and hear no answer. */
static void
play_who_flood(struct hostile *h)
{
	struct shot s = shot_true(MSG_AUTH_WHO, 0, 0);
	size_t i;

	while (h->npeers == 0 && going_on(h))
		behave(h, 20);
	while (going_on(h)) {
		for (i = 0; i < h->npeers; i++) {
			if (shot_fire(h->peers[i], &s) == 0)
				atomic_fetch_add(&h->control->sent, 1);
		}
	}
}

/* A line of the log that pretends to be the supervisor's. */
static void
play_forge(struct hostile *h)
{
	static const char line[] = "xxxxxxxxforged time=never level=error "
				   "process=ltpd message=stopped";

	(void)h;
	say(CHANNEL, MSG_LOG, line, sizeof(line) - 1);
	break_rule(CHANNEL);
	await_death(h);
}

/*
 * Take a client, fill what its peer does not read, have the last close(2) of
 * it wait for an hour, and make the supervisor the one to do that.
 */
static void
play_linger(struct hostile *h)
{
	struct linger hour = { .l_onoff = 1, .l_linger = 3600 };
	struct shot s = shot_true(MSG_LOG, 8, 1);
	struct shot line = shot_true(MSG_LOG, 8 + 1000, 0);
	static char data[65536];
	int i;

	claim_refusals(h, 0);
	while (h->client == -1 && going_on(h))
		behave(h, 20);
	if (h->client == -1)
		return;
	while (send(h->client, data, sizeof(data), MSG_DONTWAIT) > 0)
		continue;
	setsockopt(h->client, SOL_SOCKET, SO_LINGER, &hour, sizeof(hour));
	s.thing = THING_CLIENT;
	s.value = (uint64_t)h->client;
	/* Time for us to close it first. */
	for (i = 0; i < 100; i++)
		shot_fire(CHANNEL, &line);
	shot_fire(CHANNEL, &s);
	pause(); /* a death would wake the supervisor up */
}

/* Random values all over it, or what the test says in each share. */
static void
play_shared(struct hostile *h)
{
	size_t i, size = (size_t)lseek(h->shared, 0, SEEK_END);
	uint64_t *table;
	uint32_t *shares;

	table =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, h->shared, 0);
	if (table == MAP_FAILED)
		_exit(99);
	shares = (uint32_t *)(void *)table + SHARE_AT / 4;
	h->random = atomic_load(&h->control->seed);
	while (going_on(h)) {
		for (i = 0; i < SHARE_MAX * SHARE_SIZE / 4; i++)
			shares[i] =
			    atomic_load(&h->control->word) != 0
				? (uint32_t)atomic_load(&h->control->word)
				: (uint32_t)next_random(h);
		/* Not the whole of it: 64 MiB are not to be used up. */
		for (i = 0; i < 100000; i++)
			table[next_random(h) % (1 << 16)] = next_random(h);
		atomic_fetch_add(&h->control->sent, 1);
		while (behave(h, 0))
			continue;
	}
	break_rule(CHANNEL);
	await_death(h);
}

/* ---- the table of plays ---- */

static const struct play {
	const char *name;
	void (*run)(struct hostile *);
	bool early; /* is played before READY, too */
} plays[] = {
	{ "ask_deaf", play_ask_deaf, false },
	{ "audit_back", play_audit_back, false },
	{ "audit_flips", play_audit_flips, false },
	{ "break", play_break, false },
	{ "close", play_close, false },
	{ "deaf", play_deaf, false },
	{ "deaf_when_ready", play_break_if_well, false },
	{ "early", play_early, true },
	{ "empty", play_empty, false },
	{ "endless_pages", play_endless_pages, false },
	{ "flood", play_flood, false },
	{ "forge", play_forge, false },
	{ "grandchild", play_grandchild, false },
	{ "killed_twice", play_killed_twice, false },
	{ "lies", play_lies, false },
	{ "lies_to_audit", play_lies_to_audit, false },
	{ "lies_to_auth", play_lies_to_auth, false },
	{ "lies_to_workers", play_lies_to_workers, false },
	{ "linger", play_linger, false },
	{ "log_flood", play_log_flood, false },
	{ "odd_ready", play_break_if_well, false },
	{ "pages", play_pages, false },
	{ "random", play_random, false },
	{ "shared", play_shared, false },
	{ "shutdown", play_shutdown, false },
	{ "stay", play_stay, false },
	{ "who_flood", play_who_flood, false },
	{ "wrap", play_wrap, false },
};

#define PLAYS (sizeof(plays) / sizeof(plays[0]))

static void
perform(struct hostile *h)
{
	uint64_t scene = atomic_load(&h->control->scene);
	size_t i;

	if (h->ready && h->scene != scene) {
		h->scene = scene;
		atomic_fetch_add(&h->control->players, 1);
	}
	for (i = 0; i < PLAYS; i++) {
		if (strcmp(plays[i].name, h->control->play) == 0 &&
		    (h->ready || plays[i].early))
			plays[i].run(h);
	}
}

/* ---- who we are ---- */

static const struct {
	const char *name;
	enum role role;
} programs[] = {
	{ "ltp-worker", ROLE_WORKER },
	{ "ltp-auth", ROLE_AUTH },
	{ "ltp-audit", ROLE_AUDIT },
	{ "ltp-metrics", ROLE_METRICS },
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
		for (i = 0; i < PAGE_LIES; i++)
			printf("%s\t%s\t0\n", page_lies[i].name,
			    page_lies[i].expect == NULL ? ""
							: page_lies[i].expect);
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

	for (i = 0; i < sizeof(number); i++)
		number[i] = shm_number[i];
	number[sizeof(number) - 1] = '\0';
	ctl = shmat(atoi(strchr(number, '=') + 1), NULL, 0);
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
	static struct hostile h = { .shared = -1, .client = -1 };

	if (argc > 2 && strcmp(argv[1], "list") == 0)
		return list(argv[2], argv[3]);
	h.role = role_named(argv[0]);
	if (argc != 4 || h.role == ROLE_NONE || (h.control = attach()) == NULL)
		return 98;
	h.slot = (unsigned)atoi(argv[1]) % 64;
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
