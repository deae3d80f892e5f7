/*
 * A worker whose memory runs out, at every allocation in turn: the requests,
 * frames, messages, sessions, sign-ins and records of whole conversations.
 * All of the worker is here but its main file; auth, audit and the client
 * are played by the test.
 *
 * Whatever fails, what is said is right or a refusal, nothing is lost or
 * kept, and the next conversation goes as if nothing had been.
 */
#include "unit.h"

#include <sys/socket.h>

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "client.h"
#include "digest.h"
#include "json.h"
#include "log.h"
#include "nomem.h"
#include "shared.h"
#include "worker.h"
#include "ws.h"

#define NODE_ID      "node-a"
#define IDENTITY     "alice"
#define CLIENT_INPUT 65536
#define TURNS        8 /* of the event loop, enough for an answer of auth */
#define MOST_ALLOCS  2000 /* no conversation has so many */

/* Nobody is accused of anything. */
static const struct msg_peer sibling;

struct stage {
	struct worker w;
	struct shared *shared; /* outlives the worker */
	int client; /* our ends */
	int auth;
	int audit;
	bool reads; /* the client does */
	bool eof; /* of what it read */
	char seen[CLIENT_INPUT];
	size_t seen_len;
	unsigned granted; /* sign-ins by auth */
	unsigned left; /* of them, connections that it was told have gone */
	unsigned agents; /* who have a place */
	unsigned records_out; /* of the audit log, of what the node said */
};

struct story {
	bool auth;
	bool auth_in_hello;
	bool audit;
	bool hash;
	bool remote; /* by the remote listener */
	bool slow; /* the output may be cut in the middle of a frame */
	void (*tell)(struct stage *);
};

void __wrap_uuid_random(uint8_t out[UUID_SIZE]);
_Noreturn void __wrap_fatal(const char *, ...);

/* Every run has the same session id, so that runs can be compared. */
void
__wrap_uuid_random(uint8_t out[UUID_SIZE])
{
	memset(out, 0, UUID_SIZE);
	out[6] = 0x40;
	out[8] = 0x80;
}

/* It would be the end of the process. */
void
__wrap_fatal(const char *fmt, ...)
{
	(void)fmt;
	mock_assert(0, "fatal", __FILE__, __LINE__);
	abort();
}

/* ---- what worker.c would do ---- */

void
worker_wake(struct worker *w)
{
	w->now = monotime_now();
}

void
worker_set_deadline(struct worker *w)
{
	(void)w;
}

void
worker_client_gone(struct worker *w)
{
	(void)w;
}

static void
stage_ignore_line(enum log_level level, const char *text, void *arg)
{
	(void)level;
	(void)arg;
	assert_non_null(text);
}

/* ---- the others ---- */

static void
auth_answer(struct stage *st, const struct msg_auth_ask *ask)
{
	struct {
		struct msg_hdr hdr;
		struct msg_auth_reply reply;
		char id[sizeof(IDENTITY) - 1];
	} __attribute__((packed)) m = {
		.hdr = { .type = MSG_AUTH_REPLY },
		.reply = { .conn = ask->conn,
		    .serial = ask->serial,
		    .verdict = AUTH_GRANTED,
		    .realm = ask->realm,
		    .id_len = sizeof(m.id) },
	};

	m.hdr.len = sizeof(m) - sizeof(m.hdr);
	memcpy(m.id, IDENTITY, sizeof(m.id));
	assert_int_equal(send(st->auth, &m, sizeof(m), 0), sizeof(m));
	/* Nobody counts the connections of a token. */
	st->granted += ask->realm == REALM_KEYS;
}

static void
auth_seat(struct stage *st, const struct msg_agent_enter *enter)
{
	struct {
		struct msg_hdr hdr;
		struct msg_agent_reply reply;
	} m = {
		.hdr = { .type = MSG_AGENT_REPLY, .len = sizeof(m.reply) },
		.reply = { .conn = enter->conn,
		    .serial = enter->serial,
		    .verdict = AUTH_GRANTED },
	};

	assert_int_equal(enter->proven, 1);
	assert_int_equal(send(st->auth, &m, sizeof(m), 0), sizeof(m));
	st->agents++;
}

static void
auth_hear(struct stage *st, unsigned type, const uint8_t *data)
{
	struct msg_agent_enter enter;
	struct msg_auth_ask ask;

	switch (type) {
	case MSG_AUTH_ASK:
		memcpy(&ask, data, sizeof(ask));
		auth_answer(st, &ask);
		break;
	case MSG_AUTH_LEFT:
		st->left++;
		break;
	case MSG_AGENT_ENTER:
		memcpy(&enter, data, sizeof(enter));
		auth_seat(st, &enter);
		break;
	case MSG_AGENT_LEFT:
		st->agents--;
		break;
	default:
		fail_msg("%s to auth", msg_name(type));
	}
}

/* A datagram may hold several. */
static void
auth_play(struct stage *st)
{
	uint8_t buf[sizeof(struct msg_hdr) + MSG_MAX_PAYLOAD];
	struct msg_hdr hdr;
	ssize_t at, n;

	while ((n = recv(st->auth, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		for (at = 0; at < n; at += (ssize_t)(sizeof(hdr) + hdr.len)) {
			memcpy(&hdr, buf + at, sizeof(hdr));
			auth_hear(st, hdr.type, buf + at + sizeof(hdr));
		}
	}
}

static void
audit_play(struct stage *st)
{
	uint8_t buf[sizeof(struct msg_hdr) + MSG_MAX_PAYLOAD];
	struct msg_audit_record r;
	uint8_t *p;
	ssize_t n;

	while ((n = recv(st->audit, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		for (p = buf + sizeof(struct msg_hdr); p < buf + n;
		     p += sizeof(r) + r.session_id_len + r.before_len +
			  r.after_len) {
			memcpy(&r, p, sizeof(r));
			st->records_out += r.direction == AUDIT_OUT;
		}
	}
}

static void
client_play(struct stage *st)
{
	ssize_t n;

	while (st->reads && !st->eof) {
		n = recv(st->client, st->seen + st->seen_len,
		    sizeof(st->seen) - st->seen_len, MSG_DONTWAIT);
		if (n == -1)
			return;
		st->eof = n == 0;
		st->seen_len += n;
		assert_true(st->seen_len < sizeof(st->seen));
	}
}

static void
stage_turn(struct stage *st)
{
	int i;

	for (i = 0; i < TURNS; i++) {
		event_base_loop(st->w.base, EVLOOP_NONBLOCK);
		auth_play(st);
		audit_play(st);
		client_play(st);
	}
}

/* ---- what a client says ---- */

static void
say(struct stage *st, const void *data, size_t len)
{
	/* It may have been closed already. */
	(void)!send(st->client, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
say_frame(
    struct stage *st, unsigned opcode, bool fin, const void *data, size_t len)
{
	static const uint8_t mask[4] = { 1, 2, 3, 4 };
	uint8_t buf[WS_HEADER_MAX + 32768];
	size_t n = ws_header(buf, opcode, len, mask);

	assert_true(n + len <= sizeof(buf));
	if (!fin)
		buf[0] &= 0x7f;
	if (len > 0)
		memcpy(buf + n, data, len);
	ws_mask(buf + n, len, mask, 0);
	say(st, buf, n + len);
}

static void
say_text(struct stage *st, const char *text)
{
	say_frame(st, WS_OP_TEXT, true, text, strlen(text));
}

/* A message in two fragments, the second one in two pieces. */
static void
say_in_pieces(struct stage *st, const char *text)
{
	size_t half = strlen(text) / 2;

	say_frame(st, WS_OP_TEXT, false, text, half);
	stage_turn(st);
	say_frame(st, WS_OP_PING, true, "p", 1);
	say_frame(
	    st, WS_OP_CONTINUATION, true, text + half, strlen(text) - half);
	stage_turn(st);
}

static void
say_request(struct stage *st, const char *fields)
{
	char buf[2048];
	int n;

	n = snprintf(buf, sizeof(buf),
	    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
	    "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	    "Sec-WebSocket-Protocol: chat, ltp.v0.2\r\n%s\r\n",
	    fields);
	assert_in_range(n, 1, sizeof(buf) - 1);
	/* In two pieces, so that a field is cut. */
	say(st, buf, n / 2);
	stage_turn(st);
	say(st, buf + n / 2, n - n / 2);
}

/* An object with more names than the scanner keeps room for. */
static void
say_many_names(struct stage *st)
{
	static char text[32768];
	size_t n;
	int i;

	n = snprintf(text, sizeof(text),
	    "{\"type\":\"heartbeat\",\"client_id\":\"c\",\"timestamp_ms\":5");
	for (i = 0; i < 1100; i++)
		n += snprintf(
		    text + n, sizeof(text) - n, ",\"name%d\":%d", i, i);
	snprintf(text + n, sizeof(text) - n, "}");
	say_text(st, text);
}

/* ---- conversations ---- */

#define BEAT "{\"type\":\"heartbeat\",\"client_id\":\"c\",\"timestamp_ms\":5}"
#define ROUTE                                                              \
	"{\"type\":\"route_request\",\"client_id\":\"c\",\"hint_sector\":" \
	"{\"Custom\":\"h\"}}"

static void
tell_messages(struct stage *st)
{
	say_text(st,
	    "{\"type\":\"hello\",\"client_id\":\"c\",\"session_tag\":\"t\"}");
	stage_turn(st);
	say_text(st, BEAT);
	say_text(st,
	    "{\"type\":\"orientation\",\"client_id\":\"c\",\"focus_momentum\":"
	    "0.8,\"time_orientation\":{\"direction\":\"past\",\"strength\":1}}");
	say_text(st, ROUTE);
	stage_turn(st);
	say_in_pieces(st, BEAT);
	say_text(st, "{");
	say_frame(st, WS_OP_BINARY, true, "x", 1);
	stage_turn(st);
	say_many_names(st);
	stage_turn(st);
	say_text(st, BEAT);
	stage_turn(st);
}

static void
tell_client(struct stage *st)
{
	say_request(st,
	    "Origin: http://localhost:8000\r\n"
	    "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 127.0.0.9\r\n");
	stage_turn(st);
	tell_messages(st);
}

/* Whoever says hello in the same breath has to wait in memory. */
static void
tell_with_key(struct stage *st)
{
	say_request(st, "Origin: http://localhost\r\nX-API-Key: k\r\n");
	say_text(st, BEAT);
	stage_turn(st);
	tell_messages(st);
}

static void
tell_key_in_hello(struct stage *st)
{
	say_request(st, "");
	say_text(st,
	    "{\"type\":\"hello\",\"client_id\":\"c\",\"auth_token\":\"k\"}");
	say_text(st, BEAT);
	stage_turn(st);
	say_text(st, ROUTE);
	stage_turn(st);
}

static void
tell_session(struct stage *st)
{
	say_request(st, "");
	say_text(st,
	    "{\"type\":\"hello\",\"api_key\":\"k\",\"client_label\":\"l\"}");
	stage_turn(st);
	say_text(st,
	    "{\"type\":\"heartbeat\",\"timestamp_ms\":5,\"session_id\":"
	    "\"00000000-0000-4000-8000-000000000000\"}");
	say_text(st, "{\"type\":\"route_request\",\"session_id\":"
		     "\"00000000-0000-4000-8000-000000000000\"}");
	stage_turn(st);
}

#define REMOTE_BEAT(seq)                                    \
	"{\"type\":\"heartbeat\",\"client_id\":\"" IDENTITY \
	"\",\"timestamp_ms\":5,\"session_id\":"             \
	"\"00000000-0000-4000-8000-000000000000\",\"seq\":" #seq "}"

static void
tell_agent_messages(struct stage *st)
{
	stage_turn(st);
	say_text(st, REMOTE_BEAT(1));
	say_text(st, REMOTE_BEAT(1));
	stage_turn(st);
	say_in_pieces(st, REMOTE_BEAT(2));
}

static void
tell_agent(struct stage *st)
{
	say_request(st, "Authorization: Bearer " IDENTITY ":secret\r\n");
	say_text(st, "{\"type\":\"hello\",\"client_id\":\"" IDENTITY "\"}");
	tell_agent_messages(st);
}

static void
tell_agent_token_in_hello(struct stage *st)
{
	say_request(st, "");
	say_text(st, "{\"type\":\"hello\",\"client_id\":\"" IDENTITY
		     "\",\"auth_token\":\"" IDENTITY ":secret\"}");
	say_text(st, REMOTE_BEAT(0));
	tell_agent_messages(st);
}

/* More answers in one turn than the worker keeps room for. */
static void
tell_much(struct stage *st)
{
	int i;

	say_request(st, "");
	stage_turn(st);
	for (i = 0; i < 200; i++)
		say_text(st, BEAT);
	stage_turn(st);
}

/* It asks much and reads late. */
static void
tell_slow(struct stage *st)
{
	int i;

	say_request(st, "");
	stage_turn(st);
	st->reads = false;
	for (i = 0; i < 100; i++) {
		say_text(st, ROUTE);
		if (i % 10 == 0)
			stage_turn(st);
	}
	stage_turn(st);
	st->reads = true;
	for (i = 0; i < 20; i++)
		stage_turn(st);
}

static const struct story story_client = { .tell = tell_client };
static const struct story story_key = { .tell = tell_with_key, .auth = true };
static const struct story story_hello = {
	.tell = tell_key_in_hello, .auth = true, .auth_in_hello = true
};
static const struct story story_session = { .tell = tell_session };
static const struct story story_session_key = {
	.tell = tell_session, .auth = true, .auth_in_hello = true
};
static const struct story story_audit = { .tell = tell_client, .audit = true };
static const struct story story_audit_hash = {
	.tell = tell_with_key, .auth = true, .audit = true, .hash = true
};
static const struct story story_agent = {
	.tell = tell_agent, .remote = true, .audit = true
};
static const struct story story_agent_hello = {
	.tell = tell_agent_token_in_hello, .remote = true
};
static const struct story story_much = { .tell = tell_much };
static const struct story story_slow = { .tell = tell_slow, .slow = true };

/* ---- a worker ---- */

static struct settings *
stage_settings(const struct story *story)
{
	struct msg_conf_worker node = { .max_message_bytes = 65536,
		.max_sessions = 10,
		.handshake_timeout_ms = 600000,
		.max_connections_per_ip = 10,
		.max_half_open_per_ip = 10,
		.auth = story->auth,
		.auth_in_hello = story->auth_in_hello,
		.audit = story->audit,
		.audit_required = story->audit,
		.audit_payload =
		    story->hash ? AUDIT_PAYLOAD_HASH : AUDIT_PAYLOAD_FULL,
		.trust_proxy = 1,
		.node_id_len = strlen(NODE_ID) };
	/* What is no address of the Internet yet is this one. */
	struct msg_conf_proxy proxy = { .bits = 104,
		.ip = { [10] = 0xff, [11] = 0xff, [12] = 127 } };
	struct msg_conf_remote remote = { .max_message_bytes = 65536,
		.rate_limit = 1000,
		.handshake_timeout_ms = 600000,
		.message_timeout_ms = 600000,
		.idle_timeout_ms = 600000,
		.session_ttl_secs = 600,
		.token = 1 };
	uint8_t record[sizeof(node) + sizeof(NODE_ID)];
	struct settings *s = settings_new(1);
	static const char origin[] = "http://localhost:*";

	assert_non_null(s);
	memcpy(record, &node, sizeof(node));
	memcpy(record + sizeof(node), NODE_ID, strlen(NODE_ID));
	assert_int_equal(
	    settings_node(s, record, sizeof(node) + strlen(NODE_ID)), 0);
	assert_int_equal(
	    settings_origin(s, (const uint8_t *)origin, strlen(origin)), 0);
	assert_int_equal(
	    settings_proxy(s, (const uint8_t *)&proxy, sizeof(proxy)), 0);
	assert_int_equal(
	    settings_remote(s, (const uint8_t *)&remote, sizeof(remote)), 0);
	return s;
}

/* The other end of a channel. */
static int
stage_pair(int type, int *ours)
{
	int sv[2];

	assert_int_equal(
	    socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv), 0);
	*ours = sv[0];
	return sv[1];
}

static void
stage_open(struct stage *st, const struct story *story)
{
	struct worker *w = &st->w;

	memset(w, 0, sizeof(*w));
	TAILQ_INIT(&w->clients);
	TAILQ_INIT(&w->greeting);
	TAILQ_INIT(&w->entering);
	TAILQ_INIT(&w->lingering);
	remote_init(&w->remotes);
	login_init(&w->logins);
	assert_non_null(w->base = event_base_new());
	assert_non_null(w->json = json_new());
	assert_int_equal(journal_init(w), 0);
	w->settings = stage_settings(story);
	w->shared = st->shared;
	worker_wake(w);
	login_set_auth(w, stage_pair(SOCK_SEQPACKET, &st->auth), &sibling);
	journal_set_audit(w, stage_pair(SOCK_SEQPACKET, &st->audit), &sibling);
	assert_non_null(w->logins.auth);
	assert_non_null(w->journal.audit);
	st->granted = st->left = st->agents = 0;
}

static void
stage_close(struct stage *st)
{
	struct worker *w = &st->w;

	chan_free(w->logins.auth);
	chan_free(w->journal.audit);
	event_free(w->journal.flush);
	event_free(w->journal.away);
	free(w->journal.buf);
	free(w->output.data);
	json_free(w->json);
	settings_free(w->settings);
	event_base_free(w->base);
	close(st->auth);
	close(st->audit);
}

/*
 * A client comes, and n allocations later there is no memory (0: never), for
 * a moment or until it is done.
 */
static bool
stage_converse(
    struct stage *st, const struct story *story, unsigned n, bool all)
{
	struct msg_conn conn = { .id = 1,
		.peer.ip = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 } };
	int fd = stage_pair(SOCK_STREAM, &st->client), size = 4096;
	bool failed;

	st->seen_len = st->records_out = 0;
	st->reads = true;
	st->eof = false;
	conn.accepted_us = monotime_now().us;
	conn.remote = story->remote;
	if (story->slow)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	assert_true(shared_take(st->shared, SHARED_CONNS, 0, 10));
	nomem_arm(n, all);
	client_new(&st->w, fd, &conn);
	stage_turn(st);
	story->tell(st);
	failed = nomem_disarm();
	stage_turn(st);
	return failed;
}

/* Whoever is still there hears of the end of the connection. */
static void
stage_part(struct stage *st)
{
	close(st->client);
	stage_turn(st);
	assert_true(TAILQ_EMPTY(&st->w.clients));
	assert_int_equal(st->granted, st->left);
	assert_int_equal(st->agents, 0);
	assert_true(TAILQ_EMPTY(&st->w.remotes.all));
	assert_true(TAILQ_EMPTY(&st->w.remotes.reading));
	assert_int_equal(shared_total(st->shared, SHARED_CONNS), 0);
	assert_int_equal(shared_total(st->shared, SHARED_SESSIONS), 0);
}

/* ---- what a client has heard ---- */

/* The next whole frame of seen from *at on; 0: there is none. */
static size_t
frame_at(const struct stage *st, size_t at)
{
	const uint8_t *p = (const uint8_t *)st->seen + at;
	size_t left = st->seen_len - at, len;

	if (left < 2)
		return 0;
	len = p[1] + 2;
	if (p[1] == 126) {
		if (left < 4)
			return 0;
		len = (p[2] << 8 | p[3]) + 4;
	}
	return len <= left ? len : 0;
}

static bool
is_refusal(const char *p, size_t len)
{
	static const char *const refusals[] = { "invalid message",
		"out of memory", JOURNAL_REFUSAL,
		/* The hello is lost, or the message before this one. */
		"handshake required", "token is missing", "replay detected" };
	size_t i;

	for (i = 0; i < COUNT_OF(refusals); i++) {
		if (memmem(p, len, refusals[i], strlen(refusals[i])) != NULL)
			return true;
	}
	return false;
}

static size_t
check_response(const struct stage *st, const struct stage *good)
{
	const char *end = memmem(st->seen, st->seen_len, "\r\n\r\n", 4);
	size_t len;

	if (st->seen_len == 0)
		return 0;
	assert_non_null(end);
	len = end + 4 - st->seen;
	if (memcmp(st->seen, "HTTP/1.1 503 ", 13) == 0) {
		assert_true(st->eof);
		return st->seen_len;
	}
	assert_memory_equal(st->seen, good->seen, len);
	return len;
}

/* Each frame is one that a client may expect, or a refusal. */
static void
check_heard(const struct stage *st, const struct stage *good,
    const struct story *story, bool all)
{
	size_t at = check_response(st, good), len;
	unsigned replies = 0;

	for (; (len = frame_at(st, at)) > 0; at += len) {
		if (memmem(good->seen, good->seen_len, st->seen + at, len) ==
		    NULL)
			assert_true(is_refusal(st->seen + at, len));
		replies += (st->seen[at] & 0x0f) == WS_OP_TEXT &&
			   memmem(st->seen + at, len, JOURNAL_REFUSAL,
			       strlen(JOURNAL_REFUSAL)) == NULL;
	}
	if (!story->slow)
		assert_int_equal(at, st->seen_len);
	if (story->audit) {
		assert_true(replies <= st->records_out);
		/* But for that of a refusal, when nothing can be had. */
		if (!all)
			assert_int_equal(
			    st->w.count.now.n[COUNT_AUDIT_LOST], 0);
	}
}

/* A connection that was kept is one that works. */
static void
check_alive(struct stage *st)
{
	static const char pong[] = { (char)0x8a, 4, 'n', 'e', 'x', 't' };
	const struct client *c = TAILQ_FIRST(&st->w.clients);

	if (c == NULL || c->state != CLIENT_OPEN)
		return;
	say_frame(st, WS_OP_PING, true, "next", 4);
	stage_turn(st);
	assert_true(st->seen_len > sizeof(pong));
	assert_memory_equal(
	    st->seen + st->seen_len - sizeof(pong), pong, sizeof(pong));
}

static void
check_same(const struct stage *st, const struct stage *good)
{
	assert_int_equal(st->seen_len, good->seen_len);
	assert_memory_equal(st->seen, good->seen, good->seen_len);
	assert_int_equal(st->records_out, good->records_out);
}

/* The lowest descriptor that is free. */
static int
free_descriptor(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_not_equal(fd, -1);
	close(fd);
	return fd;
}

/* What is said when nothing fails. */
static void
rehearse(struct stage *good, const struct story *story, struct shared *shared)
{
	good->shared = shared;
	stage_open(good, story);
	assert_false(stage_converse(good, story, 0, false));
	assert_false(good->eof);
	stage_part(good);
	stage_close(good);
}

static void
fail_each(const struct story *story, struct shared *shared, bool all)
{
	static struct stage good, st;
	bool failed = true;
	unsigned n;
	long live;
	int fd;

	rehearse(&good, story, shared);
	live = nomem_live();
	fd = free_descriptor();
	st.shared = shared;
	for (n = 0; failed; n++) {
		assert_true(n < MOST_ALLOCS);
		stage_open(&st, story);
		failed = stage_converse(&st, story, n + 1, all);
		check_heard(&st, &good, story, all);
		check_alive(&st);
		stage_part(&st);
		stage_converse(&st, story, 0, false);
		check_same(&st, &good);
		stage_part(&st);
		stage_close(&st);
		assert_int_equal(nomem_live(), live);
		assert_int_equal(free_descriptor(), fd);
	}
	/* The last time there was none to fail. */
	assert_true(n > 5);
	print_message("# %u allocations failed, %s\n", n - 1,
	    all ? "and all after each" : "each in its turn");
}

static void
play(const struct story *story, struct shared *shared)
{
	fail_each(story, shared, false);
	fail_each(story, shared, true);
}

/* ---- the tests ---- */

static void
messages_of_the_client_dialect(void **state)
{
	play(&story_client, *state);
}

static void
a_key_in_the_request_and_input_that_waits(void **state)
{
	play(&story_key, *state);
}

static void
a_key_in_the_hello(void **state)
{
	play(&story_hello, *state);
}

static void
messages_of_the_session_dialect(void **state)
{
	play(&story_session, *state);
}

static void
a_key_in_the_hello_of_the_session_dialect(void **state)
{
	play(&story_session_key, *state);
}

static void
what_is_not_in_the_audit_log_is_not_answered(void **state)
{
	play(&story_audit, *state);
}

static void
what_is_hidden_in_the_audit_log_stays_hidden(void **state)
{
	play(&story_audit_hash, *state);
}

static void
no_frame_is_cut_when_many_leave_at_once(void **state)
{
	play(&story_much, *state);
}

static void
an_agent_with_a_token_in_the_request(void **state)
{
	play(&story_agent, *state);
}

static void
an_agent_with_a_token_in_the_hello(void **state)
{
	play(&story_agent_hello, *state);
}

static void
answers_that_wait_for_a_slow_reader(void **state)
{
	play(&story_slow, *state);
}

/*
 * A worker that has no channel to auth or audit would refuse everybody for
 * ever: it makes room for its successor.
 */
static void
a_worker_that_cannot_be_introduced_ends(void **state)
{
	static struct stage st;
	static int fds[2]; /* of ours */

	st.shared = *state;
	stage_open(&st, &story_client);
	nomem_arm(1, false);
	expect_assert_failure(login_set_auth(
	    &st.w, stage_pair(SOCK_SEQPACKET, &fds[0]), &sibling));
	nomem_arm(1, false);
	expect_assert_failure(journal_set_audit(
	    &st.w, stage_pair(SOCK_SEQPACKET, &fds[1]), &sibling));
	nomem_disarm();
	close(fds[0]);
	close(fds[1]);
	stage_close(&st);
}

static void
a_configuration_is_taken_whole_or_refused(void **state)
{
	static const uint8_t origin[] = "http://localhost";
	long live = nomem_live();
	struct settings *s;

	(void)state;
	nomem_arm(1, false);
	assert_null(settings_new(1));
	assert_true(nomem_disarm());
	assert_non_null(s = settings_new(1));
	nomem_arm(1, false);
	assert_int_equal(settings_origin(s, origin, sizeof(origin) - 1), -1);
	assert_true(nomem_disarm());
	assert_int_equal(s->norigins, 0);
	assert_int_equal(settings_origin(s, origin, sizeof(origin) - 1), 0);
	nomem_arm(1, false);
	assert_int_equal(settings_agent(s, origin, sizeof(origin) - 1), -1);
	assert_true(nomem_disarm());
	assert_int_equal(s->nagents, 0);
	assert_int_equal(settings_agent(s, origin, sizeof(origin) - 1), 0);
	settings_free(s);
	assert_int_equal(nomem_live(), live);
}

static int
group_begin(void **state)
{
	int fd;

	nomem_init();
	log_set_sink(stage_ignore_line, NULL);
	log_set_level(LEVEL_TRACE);
	*state = shared_new(1, &fd);
	return *state == NULL ? -1 : close(fd);
}

static int
group_end(void **state)
{
	shared_free(*state);
	return 0;
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_of_the_client_dialect),
		cmocka_unit_test(a_key_in_the_request_and_input_that_waits),
		cmocka_unit_test(a_key_in_the_hello),
		cmocka_unit_test(messages_of_the_session_dialect),
		cmocka_unit_test(a_key_in_the_hello_of_the_session_dialect),
		cmocka_unit_test(what_is_not_in_the_audit_log_is_not_answered),
		cmocka_unit_test(what_is_hidden_in_the_audit_log_stays_hidden),
		cmocka_unit_test(no_frame_is_cut_when_many_leave_at_once),
		cmocka_unit_test(an_agent_with_a_token_in_the_request),
		cmocka_unit_test(an_agent_with_a_token_in_the_hello),
		cmocka_unit_test(answers_that_wait_for_a_slow_reader),
		cmocka_unit_test(a_worker_that_cannot_be_introduced_ends),
		cmocka_unit_test(a_configuration_is_taken_whole_or_refused),
	};

	return cmocka_run_group_tests_name(
	    "nomem", tests, group_begin, group_end);
}
