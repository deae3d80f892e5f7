/*
 * The rules of the remote listener: codes, replay, rate, time, and what a
 * hello may say.  The client, its session and auth are played by the test.
 */
#include "unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "frame.h"
#include "handshake.h"
#include "journal.h"
#include "remote.h"
#include "session.h"
#include "upgrade.h"
#include "worker.h"

#define OWN "the-session"

struct stage {
	struct worker w;
	struct settings s;
	struct passage p;
	struct session *session; /* the client's, a hello's */
	struct monotime accepted;
	uint32_t idle_ms;
	const char *allowed; /* the only agent, NULL: any */
	size_t partial; /* bytes of an incomplete message */

	char said[FRAME_REPLY_MAX]; /* the last error */
	unsigned errors;
	unsigned refused; /* the status of a refusal */
	const char *body;
	char logged[128];
	uint16_t closed;
	const char *reason;
	char asked[AUTH_KEY_MAX]; /* the token */
	char entered[LTP_ID_MAX]; /* the id */
	bool proven;
	unsigned left;
	unsigned failures; /* of the address */
	unsigned here;
	bool starved; /* no memory for an id */

	struct client c; /* which may be longer */
};

static struct stage *st;

/* ---- what remote.c calls ---- */

char *__real_strndup(const char *, size_t);
char *__wrap_strndup(const char *, size_t);

char *
__wrap_strndup(const char *s, size_t n)
{
	return st->starved ? NULL : __real_strndup(s, n);
}

uint64_t *
client_counter(struct client *c, enum counter n)
{
	return &c->worker->count.now.n[n];
}

struct str
client_identity(const struct client *c)
{
	struct str id = { "", 0 };

	if (c->passage->identity != NULL)
		id = (struct str){ c->passage->identity,
			strlen(c->passage->identity) };
	return id;
}

uint32_t
client_idle_ms(const struct client *c)
{
	(void)c;
	return st->idle_ms;
}

void
client_reply(struct client *c, const char *text, size_t len)
{
	(void)c;
	memcpy(st->said, text, len);
	st->said[len] = '\0';
	st->errors++;
}

void
client_close(struct client *c, uint16_t code, const char *reason)
{
	c->state = CLIENT_CLOSING;
	st->closed = code;
	st->reason = reason;
}

void
client_served(struct client *c)
{
	(void)c;
}

void
client_shutdown(struct client *c)
{
	client_close(c, WS_GOING_AWAY, "shutting down");
}

void
client_hold(struct client *c)
{
	assert_non_null(c->passage->login);
	c->state = CLIENT_GREETING;
}

void
client_no_memory(struct client *c)
{
	c->broken = true;
}

bool
client_warn(struct client *c, enum log_category category, const char *what,
    const char *reason)
{
	(void)c;
	assert_in_range(category, 0, CATEGORY__MAX - 1);
	assert_non_null(reason);
	strlcpy(st->logged, what, sizeof(st->logged));
	return true;
}

void
handshake_refuse_as(struct client *c, unsigned status,
    enum log_category category, const char *what, const char *body,
    const char *reason)
{
	client_warn(c, category, what, reason);
	st->refused = status;
	st->body = body;
	c->state = CLIENT_CLOSING;
}

void
handshake_accept(struct client *c)
{
	c->state = CLIENT_OPEN;
}

void
handshake_count_failure(struct client *c)
{
	(void)c;
	st->failures++;
}

bool
handshake_too_many_failures(struct client *c)
{
	(void)c;
	return st->failures > 2;
}

void
handshake_refuse_guesses(struct client *c)
{
	remote_refuse(c, DIST_AUTH_FAILED, 429, "too many failed sign-ins");
}

void
journal_error(struct client *c, const char *code, const char *message,
    const char *dist_code)
{
	(void)c;
	(void)code;
	assert_non_null(message);
	assert_non_null(dist_code);
}

struct login *
login_ask(struct worker *w, struct client *c, const struct credential *cred)
{
	(void)w;
	(void)c;
	assert_int_equal(cred->id_len, 0);
	memcpy(st->asked, cred->key, cred->key_len);
	st->asked[cred->key_len] = '\0';
	return (struct login *)st;
}

struct login *
login_enter(
    struct worker *w, struct client *c, const struct str *id, bool proven)
{
	(void)w;
	(void)c;
	memcpy(st->entered, id->p, id->len);
	st->entered[id->len] = '\0';
	st->proven = proven;
	return (struct login *)st;
}

void
login_agent_left(struct worker *w, uint64_t conn)
{
	(void)w;
	assert_int_equal(conn, st->c.id);
	st->left++;
}

void
login_agent_here(
    struct worker *w, uint64_t conn, const struct str *id, bool proven)
{
	(void)w;
	assert_int_equal(conn, st->c.id);
	assert_memory_equal(id->p, "agent", id->len);
	assert_int_equal(proven, st->c.identity != IDENTITY_CLAIMED);
	st->here++;
}

struct str
session_client_id(const struct session *s)
{
	return (struct str){ s->text, s->client_id_len };
}

const char *
session_id(const struct session *s, char out[UUID_TEXT_SIZE])
{
	(void)s;
	strlcpy(out, OWN, UUID_TEXT_SIZE);
	return out;
}

bool
settings_allows_agent(const struct settings *s, const struct str *id)
{
	(void)s;
	return st->allowed == NULL || str_is(id, st->allowed);
}

void
upgrade_credential(const struct upgrade *u, struct credential *out)
{
	*out = *(const struct credential *)(const void *)u;
}

void
worker_set_deadline(struct worker *w)
{
	(void)w;
}

size_t
ws_memory(const struct ws *ws)
{
	(void)ws;
	return st->partial;
}

/* ---- the stage ---- */

static struct session *
named(const char *id)
{
	struct session *s = calloc(1, sizeof(*s) + strlen(id));

	assert_non_null(s);
	s->client_id_len = strlen(id);
	memcpy(s->text, id, strlen(id));
	return s;
}

static int
setup(void **state)
{
	if ((st = calloc(1, sizeof(*st))) == NULL)
		return -1;
	remote_init(&st->w.remotes);
	st->w.settings = &st->s;
	st->w.now.us = 1000000;
	st->s.has_remote = true;
	st->s.remote = (struct msg_conf_remote){ .max_message_bytes = 77,
		.rate_limit = 2,
		.handshake_timeout_ms = 1,
		.message_timeout_ms = 1000,
		.idle_timeout_ms = 2000,
		.session_ttl_secs = 3,
		.token = 1 };
	st->c.worker = &st->w;
	st->c.passage = &st->p;
	st->c.id = 42;
	st->c.state = CLIENT_OPEN;
	st->c.dialect = DIALECT_CLIENT;
	if (remote_new(&st->c) == -1)
		return -1;
	*state = st;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	remote_free(&st->c);
	if (!TAILQ_EMPTY(&st->w.remotes.all) ||
	    !TAILQ_EMPTY(&st->w.remotes.reading))
		return -1;
	free(st->p.identity);
	free(st->p.hello);
	free(st->session);
	free(st);
	return 0;
}

/* A message that said this. */
static struct frame
message(char *text)
{
	static struct json *json;
	struct frame f;

	if (json == NULL)
		assert_non_null(json = json_new());
	assert_true(frame_parse(json, text, strlen(text), &f));
	return f;
}

static bool
accepts(const char *text)
{
	static char buf[512];
	struct frame f;

	strlcpy(buf, text, sizeof(buf));
	f = message(buf);
	return remote_accepts(&st->c, &f);
}

static bool
accepts_seq(const char *seq)
{
	char text[256];

	snprintf(text, sizeof(text),
	    "{\"type\":\"heartbeat\",\"session_id\":\"" OWN
	    "\",\"timestamp_ms\":1,\"seq\":%s}",
	    seq);
	return accepts(text);
}

static void
in_session(void)
{
	st->session = st->c.session = named("agent");
	st->c.remote->entered = true;
}

static void
hello(const char *claimed, const char *text)
{
	static char buf[512];
	struct frame f;

	strlcpy(buf, text, sizeof(buf));
	f = message(buf);
	free(st->p.hello);
	st->p.hello = named(claimed);
	st->p.login = NULL;
	remote_hello(&st->c, &f);
}

static void
assert_refused(enum counter counter, uint16_t code)
{
	assert_int_equal(*client_counter(&st->c, counter), 1);
	assert_int_equal(st->closed, code);
	assert_int_equal(st->errors, 1);
}

/* ---- codes ---- */

static void
a_client_is_no_larger_for_it(void **state)
{
	(void)state;
	/* The next size of an allocation is 16 more. */
	if (sizeof(void *) == 8)
		assert_in_range(sizeof(struct client), 1, 280);
}

static void
each_code_has_its_counter_its_error_and_its_close(void **state)
{
	static const struct {
		const char *name;
		uint16_t close;
		bool silent;
	} codes[DIST__MAX] = {
		[DIST_AUTH_FAILED] = { "dist.auth_failed", 1008, false },
		[DIST_REPLAY_DETECTED] = { "dist.replay_detected", 0, false },
		[DIST_SESSION_LIMIT] = { "dist.session_limit", 1013, false },
		[DIST_CONNECTION_LIMIT] = { "dist.connection_limit", 1013,
		    false },
		[DIST_MESSAGE_TOO_LARGE] = { "dist.message_too_large", 1009,
		    false },
		[DIST_RATE_LIMITED] = { "dist.rate_limited", 0, false },
		[DIST_HANDSHAKE_TIMEOUT] = { "dist.handshake_timeout", 1008,
		    true },
		[DIST_MESSAGE_TIMEOUT] = { "dist.message_timeout", 1008,
		    false },
	};
	char wanted[64];
	int i;

	(void)state;
	for (i = 0; i < DIST__MAX; i++) {
		assert_string_equal(
		    counter_desc[COUNT_DIST_AUTH_FAILED + i].value,
		    codes[i].name);
		st->closed = st->errors = 0;
		remote_fail(&st->c, i, NULL);
		assert_int_equal(
		    *client_counter(&st->c, COUNT_DIST_AUTH_FAILED + i), 1);
		assert_int_equal(st->closed, codes[i].close);
		assert_int_equal(st->errors, codes[i].silent ? 0 : 1);
		snprintf(
		    wanted, sizeof(wanted), " dist_code=%s", codes[i].name);
		assert_non_null(strstr(st->logged, wanted));
		snprintf(wanted, sizeof(wanted), ",\"dist_code\":\"%s\"}",
		    codes[i].name);
		if (!codes[i].silent)
			assert_non_null(strstr(st->said, wanted));
		st->closed = 0;
		remote_end(&st->c, i, "why");
		assert_int_not_equal(st->closed, 0);
		assert_string_equal(st->reason, "why");
		remote_refuse(&st->c, i, 418, "why");
		assert_int_equal(st->refused, 418);
		assert_string_equal(st->body, codes[i].name);
		assert_int_equal(
		    *client_counter(&st->c, COUNT_DIST_AUTH_FAILED + i), 3);
	}
}

static void
errors_have_the_form_of_their_dialect(void **state)
{
	(void)state;
	remote_fail(&st->c, DIST_RATE_LIMITED, NULL);
	assert_string_equal(st->said,
	    "{\"type\":\"error\",\"message\":\"rate limit exceeded\","
	    "\"dist_code\":\"dist.rate_limited\"}");
	st->c.dialect = DIALECT_SESSION;
	remote_fail(&st->c, DIST_RATE_LIMITED, NULL);
	assert_string_equal(st->said,
	    "{\"type\":\"error\",\"code\":\"RATE_LIMIT\",\"message\":"
	    "\"rate limit exceeded\",\"dist_code\":\"dist.rate_limited\"}");
}

/* ---- replay ---- */

static void
numbers_must_rise(void **state)
{
	static const char *const bad[] = { "5", "4", "0", "-1", "null", "6.5",
		"\"6\"", "1e3", "[]", "true", "9223372036854775808" };
	size_t i;

	(void)state;
	in_session();
	assert_true(accepts_seq("0"));
	assert_true(accepts_seq("5"));
	for (i = 0; i < COUNT_OF(bad); i++)
		assert_false(accepts_seq(bad[i]));
	assert_int_equal(
	    *client_counter(&st->c, COUNT_DIST_REPLAY_DETECTED), i);
	assert_int_equal(st->closed, 0);
	assert_true(accepts_seq("6"));
	assert_true(accepts_seq("9223372036854775807"));
	assert_false(accepts_seq("9223372036854775807"));
}

static void
messages_must_name_the_session(void **state)
{
	static const char *const bad[] = {
		"{\"type\":\"heartbeat\",\"seq\":1}",
		"{\"type\":\"heartbeat\",\"seq\":1,\"session_id\":null}",
		"{\"type\":\"heartbeat\",\"seq\":1,\"session_id\":\"\"}",
		"{\"type\":\"heartbeat\",\"seq\":1,\"session_id\":7}",
		"{\"type\":\"heartbeat\",\"seq\":1,"
		"\"session_id\":\"the-session \"}",
		"{\"type\":\"heartbeat\",\"session_id\":\"" OWN "\"}",
	};
	size_t i;

	(void)state;
	in_session();
	for (i = 0; i < COUNT_OF(bad); i++)
		assert_false(accepts(bad[i]));
	assert_true(accepts_seq("1"));
}

static void
sixteen_replays_in_a_row_are_the_end(void **state)
{
	int i;

	(void)state;
	in_session();
	for (i = 0; i < 15; i++)
		assert_false(accepts_seq("-1"));
	assert_int_equal(st->closed, 0);
	assert_true(accepts_seq("1"));
	for (i = 0; i < 15; i++)
		assert_false(accepts_seq("1"));
	assert_int_equal(st->closed, 0);
	assert_false(accepts_seq("1"));
	assert_int_equal(st->closed, WS_POLICY);
	assert_int_equal(st->errors, 31);
}

static void
a_message_in_another_name_is_refused(void **state)
{
	(void)state;
	in_session();
	assert_true(accepts("{\"client_id\":\"AGENT\",\"seq\":1,"
			    "\"session_id\":\"" OWN "\"}"));
	assert_false(accepts("{\"client_id\":\"agent2\",\"seq\":2,"
			     "\"session_id\":\"" OWN "\"}"));
	assert_refused(COUNT_DIST_AUTH_FAILED, WS_POLICY);
}

static void
who_was_silent_for_too_long_has_no_session(void **state)
{
	(void)state;
	in_session();
	assert_int_equal(remote_idle_ms(&st->c), 2000);
	st->s.remote.idle_timeout_ms = 600000;
	assert_int_equal(remote_idle_ms(&st->c), 3000);
	st->s.remote.session_ttl_secs = UINT32_MAX;
	assert_int_equal(remote_idle_ms(&st->c), 600000);
	st->s.remote.session_ttl_secs = 3;
	st->idle_ms = 2999;
	assert_true(accepts_seq("1"));
	st->idle_ms = 3000;
	assert_false(accepts_seq("2"));
	assert_int_equal(st->closed, WS_GOING_AWAY);
}

/* ---- who it is ---- */

static void
a_hello_is_asked_about_with_the_token_that_it_has(void **state)
{
	(void)state;
	hello("c", "{\"auth_token\":\"id:one\"}");
	assert_string_equal(st->asked, "id:one");
	hello("c", "{\"auth_token\":\"one\",\"api_key\":\"two\"}");
	assert_string_equal(st->asked, "two");
	hello("c", "{\"auth_token\":\"one\",\"api_key\":\"\"}");
	assert_string_equal(st->asked, "one");
	assert_int_equal(st->c.state, CLIENT_GREETING);
	assert_string_equal(st->entered, "");
	hello("c", "{\"auth_token\":7}");
	assert_refused(COUNT_DIST_AUTH_FAILED, WS_POLICY);
	assert_int_equal(st->failures, 1);
}

static void
a_token_without_an_id_makes_the_claimed_one_good(void **state)
{
	struct str id;

	(void)state;
	assert_int_equal(remote_identify(&st->c, "", 0), LOGIN_GRANTED);
	hello("Agent-7", "{\"seq\":3}");
	assert_string_equal(st->entered, "agent-7");
	assert_false(st->proven);
	assert_true(remote_signed_in(&st->c, LOGIN_GRANTED, &id));
	assert_true(str_is(&id, "Agent-7"));
	st->session = st->c.session = named("agent");
	assert_false(accepts_seq("3"));
	assert_true(accepts_seq("4"));
	remote_leave(&st->c);
	remote_leave(&st->c);
	assert_int_equal(st->left, 1);
}

static void
a_token_with_an_id_proves_it(void **state)
{
	(void)state;
	assert_int_equal(remote_identify(&st->c, "a", 1), LOGIN_GRANTED);
	hello("", "{}");
	assert_string_equal(st->entered, "a");
	assert_true(st->proven);
	/* a second one must agree */
	assert_int_equal(remote_identify(&st->c, "A", 1), LOGIN_GRANTED);
	assert_int_equal(remote_identify(&st->c, "b", 1), LOGIN_REFUSED);
	assert_int_equal(remote_identify(&st->c, "", 0), LOGIN_GRANTED);
	hello("b", "{}");
	assert_refused(COUNT_DIST_AUTH_FAILED, WS_POLICY);
}

static void
only_those_on_the_list_are_let_in(void **state)
{
	(void)state;
	st->allowed = "a";
	assert_int_equal(remote_identify(&st->c, "b", 1), LOGIN_REFUSED);
	assert_false(st->c.remote->member);
	assert_int_equal(remote_identify(&st->c, "", 0), LOGIN_GRANTED);
	hello("b", "{}");
	assert_refused(COUNT_DIST_AUTH_FAILED, WS_POLICY);
	assert_string_equal(st->entered, "");
	hello("a", "{}");
	assert_string_equal(st->entered, "a");
}

/* By a reload, while auth is asked about it. */
static void
who_is_off_the_list_meanwhile_is_not_let_in(void **state)
{
	struct str id;

	(void)state;
	assert_int_equal(remote_identify(&st->c, "", 0), LOGIN_GRANTED);
	hello("agent", "{}");
	assert_string_equal(st->entered, "agent");
	st->allowed = "other";
	remote_commit(&st->w);
	st->c.state = CLIENT_OPEN;
	assert_false(remote_signed_in(&st->c, LOGIN_GRANTED, &id));
	assert_refused(COUNT_DIST_AUTH_FAILED, WS_POLICY);
	assert_string_equal(st->reason, "client_id is not allowed");
	/* Auth has a place for it, and must hear of it, once. */
	assert_int_equal(st->left, 1);
	assert_false(st->c.remote->entered);
}

static void
who_claims_nothing_is_nobody(void **state)
{
	(void)state;
	assert_int_equal(remote_identify(&st->c, "", 0), LOGIN_GRANTED);
	hello("", "{}");
	assert_refused(COUNT_DIST_AUTH_FAILED, WS_POLICY);
}

static void
a_certificate_must_be_there_and_agree(void **state)
{
	struct credential cred = { .kind = CREDENTIAL_NONE };

	(void)state;
	st->p.upgrade = (struct upgrade *)(void *)&cred;
	st->s.remote.mtls = 1;
	st->c.state = CLIENT_HTTP;
	remote_check_request(&st->c);
	assert_int_equal(st->refused, 401);
	assert_string_equal(st->body, "dist.auth_failed");
	st->c.remote->certified = strdup("agent.example");
	st->c.state = CLIENT_HTTP;
	remote_check_request(&st->c);
	assert_int_equal(st->c.state, CLIENT_OPEN);
	/* token+mtls: membership does, another id does not */
	assert_int_equal(remote_identify(&st->c, "", 0), LOGIN_GRANTED);
	assert_int_equal(remote_identify(&st->c, "x", 1), LOGIN_REFUSED);
	hello("Agent.Example", "{}");
	assert_string_equal(st->entered, "agent.example");
	assert_true(st->proven);
}

/* Nor is it refused: it has done nothing wrong. */
static void
who_has_no_room_for_its_id_is_not_let_in(void **state)
{
	struct credential cred = { .kind = CREDENTIAL_NONE };

	(void)state;
	st->starved = true;
	assert_int_equal(remote_identify(&st->c, "a", 1), LOGIN_GONE);
	assert_false(st->c.remote->member);
	assert_true(st->c.broken);
	st->c.broken = false;
	st->p.upgrade = (struct upgrade *)(void *)&cred;
	st->s.remote.mtls = 1;
	st->c.remote->certified = strdup("agent.example");
	st->c.state = CLIENT_HTTP;
	remote_check_request(&st->c);
	assert_int_equal(st->c.state, CLIENT_HTTP);
	assert_true(st->c.broken);
	assert_int_equal(st->failures, 0);
}

static void
with_certificates_alone_no_token_is_looked_at(void **state)
{
	struct credential cred = { .kind = CREDENTIAL_CONFLICT };

	(void)state;
	st->p.upgrade = (struct upgrade *)(void *)&cred;
	st->s.remote.mtls = 1;
	st->s.remote.token = 0;
	st->c.remote->certified = strdup("a");
	st->allowed = "b";
	st->c.state = CLIENT_HTTP;
	remote_check_request(&st->c);
	assert_int_equal(st->refused, 401);
	st->allowed = "a";
	st->c.state = CLIENT_HTTP;
	remote_check_request(&st->c);
	assert_int_equal(st->c.state, CLIENT_OPEN);
	hello("a", "{\"auth_token\":\"x\"}");
	assert_string_equal(st->asked, "");
	assert_string_equal(st->entered, "a");
}

static void
an_id_by_basic_is_part_of_the_token(void **state)
{
	struct credential cred = { .kind = CREDENTIAL_KEY,
		.id_len = 2,
		.key_len = 3,
		.id = "me",
		.key = "key" };

	(void)state;
	st->p.upgrade = (struct upgrade *)(void *)&cred;
	st->c.state = CLIENT_HTTP;
	remote_check_request(&st->c);
	assert_string_equal(st->asked, "me:key");
	assert_int_equal(st->c.state, CLIENT_SIGN_IN);
	/* one that is too long with it */
	cred.key_len = sizeof(cred.key) - 2;
	st->c.state = CLIENT_HTTP;
	remote_check_request(&st->c);
	assert_int_equal(st->refused, 401);
}

static void
after_too_many_failures_no_token_is_looked_at(void **state)
{
	struct credential cred = { .kind = CREDENTIAL_KEY, .key_len = 1 };

	(void)state;
	st->failures = 3;
	st->p.upgrade = (struct upgrade *)(void *)&cred;
	st->c.state = CLIENT_HTTP;
	remote_check_request(&st->c);
	assert_int_equal(st->refused, 429);
	assert_null(st->p.login);
	st->c.state = CLIENT_OPEN;
	hello("c", "{\"auth_token\":\"t\"}");
	assert_string_equal(st->asked, "");
	assert_int_equal(st->closed, WS_POLICY);
}

static void
answers_of_auth_end_or_go_on(void **state)
{
	static const struct {
		enum login_result result;
		bool entering;
		uint16_t closed;
		enum counter counter;
	} answers[] = {
		{ LOGIN_REFUSED, false, 1008, COUNT_DIST_AUTH_FAILED },
		{ LOGIN_UNAVAILABLE, false, 1008, COUNT_DIST_AUTH_FAILED },
		{ LOGIN_GONE, false, 1013, COUNT__MAX },
		{ LOGIN_REFUSED, true, 1013, COUNT_DIST_SESSION_LIMIT },
		{ LOGIN_GONE, true, 1013, COUNT__MAX },
	};
	struct str id;
	size_t i;

	(void)state;
	st->p.hello = named("a");
	for (i = 0; i < COUNT_OF(answers); i++) {
		memset(&st->w.count.now, 0, sizeof(st->w.count.now));
		st->closed = 0;
		st->c.state = CLIENT_OPEN;
		st->c.remote->entering = answers[i].entering;
		assert_false(remote_signed_in(&st->c, answers[i].result, &id));
		assert_int_equal(st->closed, answers[i].closed);
		assert_false(st->c.remote->entered);
		if (answers[i].counter != COUNT__MAX)
			assert_int_equal(
			    *client_counter(&st->c, answers[i].counter), 1);
	}
}

static void
who_is_replaced_ends_once(void **state)
{
	(void)state;
	in_session();
	remote_replaced(&st->w, 41);
	assert_int_equal(st->closed, 0);
	remote_replaced(&st->w, 42);
	assert_refused(COUNT_DIST_REPLAY_DETECTED, WS_POLICY);
	remote_replaced(&st->w, 42);
	assert_int_equal(st->errors, 1);
	/* Auth knows. */
	remote_leave(&st->c);
	assert_int_equal(st->left, 0);
}

static void
another_auth_is_told_of_sessions_alone(void **state)
{
	(void)state;
	remote_introduce(&st->w);
	assert_int_equal(st->here, 0);
	in_session();
	st->c.identity = IDENTITY_TOKEN;
	remote_introduce(&st->w);
	assert_int_equal(st->here, 1);
}

static void
other_settings_hold_for_those_who_are_there(void **state)
{
	(void)state;
	in_session();
	assert_int_equal(st->c.ws.max_message, 77);
	st->s.remote.max_message_bytes = 88;
	remote_commit(&st->w);
	assert_int_equal(st->c.ws.max_message, 88);
	assert_int_equal(st->closed, 0);
	st->allowed = "other";
	remote_commit(&st->w);
	assert_refused(COUNT_DIST_AUTH_FAILED, WS_POLICY);
	st->s.has_remote = false;
	remote_commit(&st->w);
	assert_int_equal(st->closed, WS_GOING_AWAY);
}

/* ---- rate and time ---- */

/* Returns whether the message is to be acted upon. */
static bool
one_message(void)
{
	remote_message_begins(&st->c);
	return remote_message_ends(&st->c);
}

static void
complaints_of_the_rate_have_a_rate_too(void **state)
{
	int i;

	(void)state;
	assert_true(one_message());
	assert_true(one_message());
	for (i = 0; i < 10; i++)
		assert_false(one_message());
	assert_int_equal(st->closed, 0);
	st->w.now.us += 500000;
	assert_true(one_message());
	for (i = 0; i < 5; i++)
		assert_false(one_message());
	assert_int_equal(st->closed, 0);
	assert_false(one_message());
	assert_int_equal(st->closed, WS_POLICY);
	assert_int_equal(*client_counter(&st->c, COUNT_DIST_RATE_LIMITED), 16);
}

static void
input(size_t partial)
{
	st->partial = partial;
	remote_input_ends(&st->c);
}

static void
a_message_that_has_begun_must_end(void **state)
{
	(void)state;
	assert_int_equal(remote_deadline(&st->w.remotes).us, 0);
	input(1);
	assert_int_equal(remote_deadline(&st->w.remotes).us, 2000000);
	/* more of it does not put it off */
	st->w.now.us += 900000;
	input(2);
	assert_int_equal(remote_deadline(&st->w.remotes).us, 2000000);
	remote_expire(&st->w);
	assert_int_equal(st->closed, 0);
	st->w.now.us = 2000000;
	remote_expire(&st->w);
	assert_refused(COUNT_DIST_MESSAGE_TIMEOUT, WS_POLICY);
	assert_int_equal(remote_deadline(&st->w.remotes).us, 0);
}

static void
each_message_has_its_own_time(void **state)
{
	(void)state;
	input(1);
	st->w.now.us += 900000;
	/* its end, and the beginning of the next */
	assert_true(one_message());
	input(1);
	assert_int_equal(remote_deadline(&st->w.remotes).us, 2900000);
	input(0);
	assert_int_equal(remote_deadline(&st->w.remotes).us, 0);
	input(1);
	st->c.state = CLIENT_CLOSING;
	input(1);
	assert_int_equal(remote_deadline(&st->w.remotes).us, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_client_is_no_larger_for_it),
		TEST(each_code_has_its_counter_its_error_and_its_close),
		TEST(errors_have_the_form_of_their_dialect),
		TEST(numbers_must_rise),
		TEST(messages_must_name_the_session),
		TEST(sixteen_replays_in_a_row_are_the_end),
		TEST(a_message_in_another_name_is_refused),
		TEST(who_was_silent_for_too_long_has_no_session),
		TEST(a_hello_is_asked_about_with_the_token_that_it_has),
		TEST(a_token_without_an_id_makes_the_claimed_one_good),
		TEST(a_token_with_an_id_proves_it),
		TEST(only_those_on_the_list_are_let_in),
		TEST(who_is_off_the_list_meanwhile_is_not_let_in),
		TEST(who_claims_nothing_is_nobody),
		TEST(a_certificate_must_be_there_and_agree),
		TEST(who_has_no_room_for_its_id_is_not_let_in),
		TEST(with_certificates_alone_no_token_is_looked_at),
		TEST(an_id_by_basic_is_part_of_the_token),
		TEST(after_too_many_failures_no_token_is_looked_at),
		TEST(answers_of_auth_end_or_go_on),
		TEST(who_is_replaced_ends_once),
		TEST(another_auth_is_told_of_sessions_alone),
		TEST(other_settings_hold_for_those_who_are_there),
		TEST(complaints_of_the_rate_have_a_rate_too),
		TEST(a_message_that_has_begun_must_end),
		TEST(each_message_has_its_own_time),
	};

	return cmocka_run_group_tests_name("remote", tests, NULL, NULL);
}
