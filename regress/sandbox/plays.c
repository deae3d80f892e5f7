/*
 * What a hostile process does when it is told to: the plays, by their names
 * in the table at the end.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <linux/sockios.h>

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hostile.h"

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
play_lies_to_sign(struct hostile *h)
{
	lie_to_siblings(h, ROLE_SIGN);
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

void
page_lies_print(void)
{
	size_t i;

	for (i = 0; i < PAGE_LIES; i++)
		printf("%s\t%s\t0\n", page_lies[i].name,
		    page_lies[i].expect == NULL ? "" : page_lies[i].expect);
}

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

void
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

/*
 * Read nothing any more, till the test has seen enough, but say how much there
 * is.
 */
static void
play_deaf(struct hostile *h)
{
	int n;

	while (going_on(h)) {
		if (ioctl(CHANNEL, FIONREAD, &n) == 0)
			atomic_store(&h->control->word, (uint64_t)n);
		pause_ms(20);
	}
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

/*
 * Call connections that are to come our own, and those of others, so that auth
 * finds their workers lying; up to what the test says.
 */
static void
play_squat(struct hostile *h)
{
	struct msg_agent_enter enter = { .serial = 1 };
	uint8_t data[sizeof(enter) + 8];
	size_t i;

	while (!has_peer(h, ROLE_AUTH) && going_on(h))
		behave(h, 20);
	for (i = 0; i < h->npeers && h->peer_role[i] != ROLE_AUTH; i++)
		continue;
	enter.id_len = sizeof(data) - sizeof(enter);
	for (; enter.conn < atomic_load(&h->control->count); enter.conn++) {
		memcpy(data, &enter, sizeof(enter));
		memcpy(data + sizeof(enter), &enter.conn, sizeof(enter.conn));
		say(h->peers[i], MSG_AGENT_ENTER, data, sizeof(data));
		atomic_fetch_add(&h->control->sent, 1);
	}
	while (going_on(h))
		behave(h, 20);
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
	{ "lies_to_sign", play_lies_to_sign, false },
	{ "lies_to_workers", play_lies_to_workers, false },
	{ "linger", play_linger, false },
	{ "log_flood", play_log_flood, false },
	{ "odd_ready", play_break_if_well, false },
	{ "pages", play_pages, false },
	{ "random", play_random, false },
	{ "shared", play_shared, false },
	{ "shutdown", play_shutdown, false },
	{ "stay", play_stay, false },
	{ "squat", play_squat, false },
	{ "who_flood", play_who_flood, false },
	{ "wrap", play_wrap, false },
};

#define PLAYS (sizeof(plays) / sizeof(plays[0]))

void
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
