/*
 * LTP sessions: what a client says after its upgrade, in both dialects, with
 * and without authentication.  The input is a byte of settings and lines: a
 * message each, but for those that begin with one of the letters of act().
 */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "frame.h"
#include "fuzz.h"
#include "handshake.h"
#include "journal.h"
#include "oracle.h"
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
	unsigned replies; /* to the present message */
} world;

static const char node_id[] = "node";
static const char identity[] = "the key's id";

/* ---- what session.c calls ---- */

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
	oracle_free(o);
	c->messages_out++;
	world.replies++;
}

void
client_close(struct client *c, uint16_t code, const char *reason)
{
	(void)c;
	FUZZ_ASSERT(code >= 1000 && code < 5000);
	FUZZ_ASSERT(strlen(reason) <= WS_CONTROL_MAX - 2);
	world.closed = true;
}

struct str
client_identity(const struct client *c)
{
	struct str id = { identity, sizeof(identity) - 1 };

	if (!c->proven && c->passage->identity == NULL)
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
journal_error(struct client *c, const char *code, const char *message)
{
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

/* Auth answers, as login.c and client.c would have it. */
static void
answer(struct client *c, enum login_result result)
{
	if (!world.held)
		return;
	c->passage->login = NULL;
	world.held = false;
	if (result == LOGIN_GRANTED && c->passage->identity == NULL)
		c->passage->identity = strdup(identity);
	session_signed_in(c, result);
}

static void
message(struct client *c, char *text, size_t len)
{
	uint8_t dialect = c->dialect;

	if (world.held)
		return;
	world.replies = 0;
	c->messages_in++;
	session_text(c, text, len);
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
	case '#':
		world.journal =
		    world.journal == JOURNAL_OPEN ? JOURNAL_SHUT : JOURNAL_OPEN;
		break;
	default:
		message(c, line, strlen(line));
	}
	FUZZ_ASSERT(world.places ==
		    (c->session != NULL && !c->session->over ? 1U : 0U));
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
	world.closed = world.held = false;
	world.worker.settings = s;
	s->node.dialect = (flags & FLAG_DIALECT) % 3;
	s->node.auth = (flags & FLAG_AUTH) != 0;
	s->node.max_sessions = (flags & FLAG_FULL) != 0 ? 0 : 10;
	s->node_id = (struct str){ node_id, sizeof(node_id) - 1 };
	c->worker = &world.worker;
	if ((flags & FLAG_AUTH) != 0 && (flags & FLAG_IDENTITY) != 0)
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
	session_free(&c);
	session_discard(p.hello);
	FUZZ_ASSERT(world.places == 0);
	free(p.identity);
	return 0;
}
