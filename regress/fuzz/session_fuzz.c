/*
 * LTP sessions: what a client says after its upgrade, in both dialects, with
 * and without authentication, or by the rules of the remote listener.  The
 * input is a byte of settings and lines: a message each, but for those that begin with one of the letters of act().
 */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "frame.h"
#include "fuzz.h"
#include "handshake.h"
#include "journal.h"
#include "oracle.h"
#include "remote.h"
#include "session.h"
#include "shared.h"
#include "upgrade.h"
#include "worker.h"

enum flag {
	FLAG_DIALECT = 3, /* enum conf_dialect, 3: auto too */
	FLAG_AUTH = 1 << 2,
	FLAG_IDENTITY = 1 << 3, /* proven by the upgrade */
	FLAG_FULL = 1 << 4, /* no room for a session */
	FLAG_THROTTLED = 1 << 5, /* too many failures of the address */
	FLAG_REMOTE = 1 << 6, /* auth: a token is wanted */
	FLAG_LIST = 1 << 7, /* remote: only the key's id is allowed */
};

/* The client's surroundings, seen from session.c. */
static struct {
	struct worker worker;
	struct settings settings;
	enum journal_state journal;
	unsigned places; /* sessions that were taken */
	bool throttled;
	bool closed;
	bool held;
	bool seated; /* auth knows the agent */
	int64_t seq; /* remote: of the last message that was answered */
	unsigned replies; /* to the present message */
	unsigned acts; /* likewise: it was acted upon */
} world;

static const char node_id[] = "node";
static const char identity[] = "the key's id";

/* ---- what session.c calls ---- */

/* A code is one of the remote listener's, which says so to nobody else. */
static void
check_error(const struct client *c, const struct json_t *o)
{
	const char *code;
	size_t n;

	code = oracle_string(oracle_member(o, "dist_code"), &n);
	FUZZ_ASSERT(code == NULL ||
		    (c->remote != NULL && strncmp(code, "dist.", 5) == 0));
}

void
client_reply(struct client *c, const char *text, size_t len)
{
	const char *type, *id;
	struct json_t *o;
	size_t n;

	FUZZ_ASSERT(!world.closed && len < FRAME_REPLY_MAX);
	FUZZ_ASSERT(oracle_read(text, len, false, &o) == ORACLE_GOOD);
	FUZZ_ASSERT(oracle_is_object(o));
	type = oracle_string(oracle_member(o, "type"), &n);
	FUZZ_ASSERT(type != NULL);
	id = oracle_string(oracle_member(o, "client_id"), &n);
	if (client_identity(c).len > 0 && id != NULL)
		FUZZ_ASSERT(str_is(&(struct str){ id, n }, identity));
	FUZZ_ASSERT(c->session != NULL || strcmp(type, "error") == 0);
	if (strcmp(type, "error") == 0)
		check_error(c, o);
	else
		world.acts++;
	oracle_free(o);
	c->messages_out++;
	world.replies++;
}

void
client_close(struct client *c, uint16_t code, const char *reason)
{
	if (world.closed)
		return;
	FUZZ_ASSERT(code >= 1000 && code < 5000);
	FUZZ_ASSERT(strlen(reason) <= WS_CONTROL_MAX - 2);
	world.closed = true;
	c->state = CLIENT_CLOSING;
	session_end(c);
	if (c->remote != NULL) {
		remote_leave(c);
		remote_quiet(c);
	}
}

uint32_t
client_idle_ms(const struct client *c)
{
	(void)c;
	return world.worker.now.us % 64 == 63 ? 5000 : 0;
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
client_no_memory(struct client *c)
{
	(void)c;
	FUZZ_ASSERT(!"no memory");
}

struct str
client_identity(const struct client *c)
{
	struct str id = { identity, sizeof(identity) - 1 };

	if (c->identity == IDENTITY_CLAIMED && c->passage->identity == NULL)
		id.len = 0;
	return id;
}

uint32_t
client_age_ms(const struct client *c)
{
	return (uint32_t)c->worker->now.us;
}

void
client_seen(struct client *c)
{
	(void)c;
}

uint64_t *
client_counter(struct client *c, enum counter n)
{
	FUZZ_ASSERT(n < COUNT__MAX);
	return &c->worker->count.now.n[n];
}

void
client_greeted(struct client *c)
{
	(void)c;
}

void
client_hold(struct client *c)
{
	FUZZ_ASSERT(c->passage->login != NULL);
	world.held = true;
}

void
client_log(const struct client *c, enum log_level level, const char *what,
    const char *reason)
{
	(void)c;
	(void)level;
	(void)what;
	(void)reason;
}

bool
client_warn(struct client *c, enum log_category category, const char *what,
    const char *reason)
{
	(void)what;
	(void)reason;
	return count_may_log(&c->worker->count, category, c->worker->now);
}

bool
count_may_log(struct count *c, enum log_category category, struct monotime now)
{
	FUZZ_ASSERT(category < CATEGORY__MAX);
	(void)c;
	return (now.us & 1) != 0;
}

void
handshake_accept(struct client *c)
{
	(void)c;
	FUZZ_ASSERT(!"there is no upgrade");
}

void
handshake_refuse_as(struct client *c, unsigned status,
    enum log_category category, const char *what, const char *body,
    const char *reason)
{
	(void)c;
	(void)status;
	(void)category;
	(void)what;
	(void)body;
	(void)reason;
	FUZZ_ASSERT(!"there is no upgrade");
}

void
handshake_count_failure(struct client *c)
{
	(void)c;
}

bool
handshake_too_many_failures(struct client *c)
{
	(void)c;
	return world.throttled;
}

void
handshake_refuse_guesses(struct client *c)
{
	(void)c;
}

bool
journal_accepts(struct worker *w)
{
	return journal_state(w) == JOURNAL_OPEN;
}

enum journal_state
journal_state(const struct worker *w)
{
	(void)w;
	return world.journal;
}

void
journal_message(struct client *c, const struct frame *f)
{
	FUZZ_ASSERT(frame_valid(f, c->dialect));
}

void
journal_hello_ack(struct client *c)
{
	FUZZ_ASSERT(c->session != NULL);
}

void
journal_heartbeat_ack(
    struct client *c, const struct str *id, const struct str *timestamp)
{
	(void)c;
	FUZZ_ASSERT(timestamp->len > 0);
	FUZZ_ASSERT(id->len > 0 && id->len <= LTP_ID_MAX);
}

void
journal_suggestion(
    struct client *c, const struct str *id, const struct orientation *o)
{
	(void)c;
	FUZZ_ASSERT(o != NULL);
	FUZZ_ASSERT(id->len > 0 && id->len <= LTP_ID_MAX);
}

void
journal_error(struct client *c, const char *code, const char *message,
    const char *dist_code)
{
	FUZZ_ASSERT(dist_code == NULL || c->remote != NULL);
	FUZZ_ASSERT((code != NULL) == (c->dialect == DIALECT_SESSION));
	FUZZ_ASSERT(message != NULL);
}

struct login *
login_ask(struct worker *w, struct client *c, const struct credential *cred)
{
	(void)w;
	FUZZ_ASSERT(c->passage->login == NULL && c->session == NULL);
	FUZZ_ASSERT(cred->kind == CREDENTIAL_KEY && cred->key_len > 0 &&
		    cred->key_len <= AUTH_KEY_MAX);
	return (struct login *)&world;
}

struct login *
login_enter(
    struct worker *w, struct client *c, const struct str *id, bool proven)
{
	(void)w;
	FUZZ_ASSERT(c->passage->login == NULL && c->session == NULL);
	FUZZ_ASSERT(id->len > 0 && id->len <= LTP_ID_MAX);
	FUZZ_ASSERT(proven == (client_identity(c).len > 0));
	FUZZ_ASSERT(!world.seated && c->remote->member);
	return (struct login *)&world;
}

void
login_agent_left(struct worker *w, uint64_t conn)
{
	(void)w;
	(void)conn;
	FUZZ_ASSERT(world.seated);
	world.seated = false;
}

void
login_agent_here(
    struct worker *w, uint64_t conn, const struct str *id, bool proven)
{
	(void)w;
	(void)conn;
	(void)proven;
	FUZZ_ASSERT(world.seated && id->len > 0);
}

bool
settings_allows_agent(const struct settings *s, const struct str *id)
{
	return s->nagents == 0 || str_is(id, identity);
}

void
worker_set_deadline(struct worker *w)
{
	(void)w;
}

bool
shared_take(
    struct shared *s, enum shared_kind kind, unsigned slot, uint32_t cap)
{
	(void)s;
	(void)slot;
	FUZZ_ASSERT(kind == SHARED_SESSIONS);
	if (world.places >= cap)
		return false;
	world.places++;
	return true;
}

void
shared_give(struct shared *s, enum shared_kind kind, unsigned slot)
{
	(void)s;
	(void)slot;
	FUZZ_ASSERT(kind == SHARED_SESSIONS && world.places > 0);
	world.places--;
}

/* ---- the client ---- */

/* A token of no id when the client's number is odd. */
static enum login_result
answer_agent(struct client *c, enum login_result result)
{
	if (result == LOGIN_GRANTED && c->remote->entering)
		world.seated = true;
	else if (result == LOGIN_GRANTED)
		result = remote_identify(
		    c, identity, c->id % 2 == 0 ? sizeof(identity) - 1 : 0);
	return result;
}

/* Auth answers, as login.c and client.c would have it. */
static void
answer(struct client *c, enum login_result result)
{
	if (!world.held)
		return;
	c->passage->login = NULL;
	world.held = false;
	if (c->remote != NULL) {
		session_signed_in(c, answer_agent(c, result));
		return;
	}
	if (result == LOGIN_GRANTED && c->passage->identity == NULL)
		c->passage->identity = strdup(identity);
	session_signed_in(c, result);
}

/* Nobody guesses the session's id: where this stands, it is put. */
static void
put_own_id(const struct client *c, char *text)
{
	static const char place[] = "00000000-0000-4000-8000-000000000000";
	char own[UUID_TEXT_SIZE], *p;

	if (c->session == NULL || strlen(session_id(c->session, own)) == 0)
		return;
	while ((p = strstr(text, place)) != NULL)
		memcpy(p, own, strlen(own));
}

/* Nothing is acted upon but with a number that is new. */
static void
check_seq(const struct client *c)
{
	if (c->remote == NULL || world.acts == 0)
		return;
	FUZZ_ASSERT(c->remote->seq > world.seq);
	world.seq = c->remote->seq;
}

static void
message(struct client *c, char *text, size_t len)
{
	uint8_t dialect = c->dialect;

	if (world.held)
		return;
	world.replies = world.acts = 0;
	if (c->remote != NULL) {
		remote_message_begins(c);
		if (!remote_message_ends(c) || world.closed)
			return;
	}
	c->messages_in++;
	put_own_id(c, text);
	session_text(c, text, len);
	check_seq(c);
	FUZZ_ASSERT(world.replies <= 1);
	FUZZ_ASSERT(dialect == DIALECT_AUTO || c->dialect == dialect);
}

static void
act(struct client *c, char *line)
{
	switch (line[0]) {
	case '+':
		answer(c, LOGIN_GRANTED);
		break;
	case '-':
		answer(c, LOGIN_REFUSED);
		break;
	case '~':
		answer(c, LOGIN_GONE);
		break;
	case '!':
		if (!world.held)
			session_binary(c);
		break;
	case '*':
		remote_replaced(c->worker, c->id);
		world.seated = world.seated && !world.closed;
		break;
	case '#':
		world.journal =
		    world.journal == JOURNAL_OPEN ? JOURNAL_SHUT : JOURNAL_OPEN;
		break;
	default:
		message(c, line, strlen(line));
	}
	FUZZ_ASSERT(world.places ==
		    (c->session != NULL && !c->session->over ? 1U : 0U));
	FUZZ_ASSERT(world.seated == (c->remote != NULL && c->remote->entered));
}

static void
begin_remote(struct client *c, uint8_t flags)
{
	struct settings *s = &world.settings;

	remote_init(&world.worker.remotes);
	s->has_remote = true;
	s->remote.token = (flags & FLAG_AUTH) != 0;
	s->remote.session_ttl_secs = 5;
	s->remote.rate_limit = 1000;
	s->nagents = (flags & FLAG_LIST) != 0 ? 1 : 0;
	c->id = (flags & FLAG_FULL) != 0 ? 1 : 2;
	FUZZ_ASSERT(remote_new(c) == 0);
	if ((flags & FLAG_IDENTITY) != 0 || !s->remote.token)
		remote_identify(c, identity, sizeof(identity) - 1);
}

static void
begin(struct client *c, struct passage *p, uint8_t flags)
{
	struct settings *s = &world.settings;

	memset(c, 0, sizeof(*c));
	memset(p, 0, sizeof(*p));
	c->passage = p;
	memset(s, 0, sizeof(*s));
	world.journal = JOURNAL_OPEN;
	world.places = 0;
	world.throttled = (flags & FLAG_THROTTLED) != 0;
	world.closed = world.held = world.seated = false;
	world.seq = -1;
	world.worker.settings = s;
	s->node.dialect = (flags & FLAG_DIALECT) % 3;
	s->node.auth = (flags & FLAG_AUTH) != 0;
	s->node.max_sessions = (flags & FLAG_FULL) != 0 ? 0 : 10;
	s->node_id = (struct str){ node_id, sizeof(node_id) - 1 };
	c->worker = &world.worker;
	c->state = CLIENT_OPEN;
	if ((flags & FLAG_REMOTE) != 0)
		begin_remote(c, flags);
	else if ((flags & FLAG_AUTH) != 0 && (flags & FLAG_IDENTITY) != 0)
		c->passage->identity = strdup(identity);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz f = { data, len };
	struct passage p;
	struct client c;
	char *line;

	if (world.worker.json == NULL)
		FUZZ_ASSERT((world.worker.json = json_new()) != NULL);
	begin(&c, &p, fuzz_u8(&f));
	while (f.left > 0 && !world.closed) {
		line = fuzz_text_until(&f, '\n');
		world.worker.now.us++;
		act(&c, line);
		free(line);
	}
	/* As when the connection ends, and then its client. */
	session_end(&c);
	FUZZ_ASSERT(world.places == 0);
	remote_free(&c);
	FUZZ_ASSERT(!world.seated);
	session_free(&c);
	session_discard(p.hello);
	FUZZ_ASSERT(world.places == 0);
	free(p.identity);
	return 0;
}
