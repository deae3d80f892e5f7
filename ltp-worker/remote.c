/*
 * The remote listener's rules.
 */
#include "remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "digest.h"
#include "frame.h"
#include "handshake.h"
#include "journal.h"
#include "limit.h"
#include "number.h"
#include "session.h"
#include "upgrade.h"
#include "worker.h"

#define REMOTE_REPLAYS_MAX    16 /* in a row */
#define REMOTE_COMPLAINTS_RPS 10

#define NOT_ALLOWED           "client_id is not allowed"

/* What each code means. */
static const struct dist_rule {
	const char *name;
	const char *code; /* in the session dialect; NULL: no error is sent */
	const char *text;
	uint16_t close; /* 0: it stays open */
	enum log_category category;
	enum counter counter;
	/* The node's own counters of it, COUNT__MAX: none. */
	enum counter kind;
	enum counter reject;
} dist_rules[DIST__MAX] = {
	[DIST_AUTH_FAILED] = { "dist.auth_failed", "UNAUTHORIZED",
	    "unauthorized", WS_POLICY, CATEGORY_AUTH, COUNT_DIST_AUTH_FAILED,
	    COUNT__MAX, COUNT_REJECT_UNAUTHORIZED },
	[DIST_REPLAY_DETECTED] = { "dist.replay_detected", "FORBIDDEN",
	    "replay detected", 0, CATEGORY_AUTH, COUNT_DIST_REPLAY_DETECTED,
	    COUNT__MAX, COUNT_REJECT_FORBIDDEN },
	[DIST_SESSION_LIMIT] = { "dist.session_limit", "RATE_LIMIT",
	    "session limit reached", WS_TRY_LATER, CATEGORY_HANDSHAKE,
	    COUNT_DIST_SESSION_LIMIT, COUNT_CAPACITY_REJECTIONS, COUNT__MAX },
	[DIST_CONNECTION_LIMIT] = { "dist.connection_limit", "RATE_LIMIT",
	    "connection limit reached", WS_TRY_LATER, CATEGORY_HANDSHAKE,
	    COUNT_DIST_CONNECTION_LIMIT, COUNT__MAX, COUNT__MAX },
	[DIST_MESSAGE_TOO_LARGE] = { "dist.message_too_large", "INVALID",
	    "message too large", WS_TOO_BIG, CATEGORY_TOO_LARGE,
	    COUNT_DIST_MESSAGE_TOO_LARGE, COUNT_OVERSIZE_MESSAGES,
	    COUNT_REJECT_TOO_LARGE },
	[DIST_RATE_LIMITED] = { "dist.rate_limited", "RATE_LIMIT",
	    "rate limit exceeded", 0, CATEGORY_RATE_LIMIT,
	    COUNT_DIST_RATE_LIMITED, COUNT_RATE_LIMIT_VIOLATIONS,
	    COUNT_REJECT_RATE_LIMIT },
	[DIST_HANDSHAKE_TIMEOUT] = { "dist.handshake_timeout", NULL,
	    "handshake timeout", WS_POLICY, CATEGORY_HANDSHAKE,
	    COUNT_DIST_HANDSHAKE_TIMEOUT, COUNT_HANDSHAKE_TIMEOUTS,
	    COUNT__MAX },
	[DIST_MESSAGE_TIMEOUT] = { "dist.message_timeout", "INVALID",
	    "message timeout", WS_POLICY, CATEGORY_HANDSHAKE,
	    COUNT_DIST_MESSAGE_TIMEOUT, COUNT__MAX, COUNT__MAX },
};

static const struct msg_conf_remote *
remote_rules(const struct client *c)
{
	return &c->worker->settings->remote;
}

/* ---- who has what ---- */

void
remote_init(struct remote_desk *desk)
{
	TAILQ_INIT(&desk->all);
	TAILQ_INIT(&desk->reading);
}

int
remote_new(struct client *c)
{
	struct remote *r;

	if ((r = calloc(1, sizeof(*r))) == NULL)
		return -1;
	r->client = c;
	r->seq = -1;
	c->remote = r;
	c->ws.max_message = remote_rules(c)->max_message_bytes;
	TAILQ_INSERT_TAIL(&c->worker->remotes.all, r, all);
	return 0;
}

void
remote_free(struct client *c)
{
	struct remote *r = c->remote;

	if (r == NULL)
		return;
	remote_leave(c);
	remote_quiet(c);
	TAILQ_REMOVE(&c->worker->remotes.all, r, all);
	c->remote = NULL;
	free(r->certified);
	free(r);
}

/* ---- codes ---- */

static void
remote_count(struct client *c, const struct dist_rule *rule)
{
	++*client_counter(c, rule->counter);
	if (rule->kind != COUNT__MAX)
		++*client_counter(c, rule->kind);
}

static void
remote_warn(struct client *c, const struct dist_rule *rule, const char *what,
    const char *reason)
{
	char buf[128];

	snprintf(buf, sizeof(buf), "%s dist_code=%s", what, rule->name);
	client_warn(c, rule->category, buf, reason);
}

static void
remote_say(struct client *c, const struct dist_rule *rule, const char *message)
{
	const char *code = c->dialect == DIALECT_SESSION ? rule->code : NULL;
	char buf[FRAME_REPLY_MAX];

	client_reply(c, buf, frame_print_error(buf, code, message, rule->name));
	journal_error(c, code, message, rule->name);
}

static void
remote_answer(struct client *c, const struct dist_rule *rule,
    const char *message, uint16_t code)
{
	if (message == NULL)
		message = rule->text;
	remote_count(c, rule);
	if (rule->reject != COUNT__MAX)
		++*client_counter(c, rule->reject);
	remote_warn(
	    c, rule, code == 0 ? "message refused" : "closing", message);
	if (rule->code != NULL)
		remote_say(c, rule, message);
	if (code != 0)
		client_close(c, code, message);
}

void
remote_fail(struct client *c, enum dist_code code, const char *message)
{
	const struct dist_rule *rule = &dist_rules[code];

	remote_answer(c, rule, message, rule->close);
}

void
remote_end(struct client *c, enum dist_code code, const char *message)
{
	const struct dist_rule *rule = &dist_rules[code];

	remote_answer(c, rule, message,
	    rule->close == 0 ? (uint16_t)WS_POLICY : rule->close);
}

void
remote_refuse(
    struct client *c, enum dist_code code, unsigned status, const char *reason)
{
	const struct dist_rule *rule = &dist_rules[code];
	char what[64];

	remote_count(c, rule);
	snprintf(
	    what, sizeof(what), "upgrade refused dist_code=%s", rule->name);
	handshake_refuse_as(
	    c, status, rule->category, what, rule->name, reason);
}

void
remote_cut(struct client *c, enum dist_code code, const char *reason)
{
	const struct dist_rule *rule = &dist_rules[code];

	remote_count(c, rule);
	remote_warn(c, rule, "closing", reason);
	c->passage->close_reason = reason;
	c->broken = true;
}

void
remote_unauthorized(struct client *c, const char *message)
{
	handshake_count_failure(c);
	if (c->state == CLIENT_HTTP || c->state == CLIENT_SIGN_IN)
		remote_refuse(c, DIST_AUTH_FAILED, 401, message);
	else
		remote_end(c, DIST_AUTH_FAILED, message);
}

/* So many in a row are no mistake. */
static void
remote_replayed(struct client *c, const char *message)
{
	if (++c->remote->replays < REMOTE_REPLAYS_MAX)
		remote_fail(c, DIST_REPLAY_DETECTED, message);
	else
		remote_end(c, DIST_REPLAY_DETECTED, message);
}

/* ---- who it is ---- */

static char
to_lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* The names of agents are compared as those of hosts are. */
static bool
same_id(const struct str *a, const struct str *b)
{
	size_t i;

	if (a->len != b->len)
		return false;
	for (i = 0; i < a->len; i++) {
		if (to_lower(a->p[i]) != to_lower(b->p[i]))
			return false;
	}
	return true;
}

/*
 * The id of a certificate or a token; a second one must be the same.  GONE:
 * there is no memory.
 */
static enum login_result
remote_prove(
    struct client *c, const struct str *id, enum identity_source source)
{
	struct str proven = client_identity(c);

	if (proven.len > 0)
		return same_id(&proven, id) ? LOGIN_GRANTED : LOGIN_REFUSED;
	if (!settings_allows_agent(c->worker->settings, id))
		return LOGIN_REFUSED;
	c->passage->source = source;
	c->passage->identity = strndup(id->p, id->len);
	if (c->passage->identity != NULL)
		return LOGIN_GRANTED;
	client_no_memory(c);
	return LOGIN_GONE;
}

enum login_result
remote_identify(struct client *c, const char *id, size_t len)
{
	enum login_result result = LOGIN_GRANTED;
	struct str name = { id, len };

	if (len > 0)
		result = remote_prove(c, &name, IDENTITY_TOKEN);
	if (result == LOGIN_GRANTED)
		c->remote->member = true;
	return result;
}

/* Refused: there must be a certificate, of somebody else. */
static enum login_result
remote_check_certificate(struct client *c)
{
	struct str id;

	if (!remote_rules(c)->mtls)
		return LOGIN_GRANTED;
	if (c->remote->certified == NULL)
		return LOGIN_REFUSED;
	id = (struct str){ c->remote->certified, strlen(c->remote->certified) };
	if (id.len == 0 || id.len > LTP_ID_MAX)
		return LOGIN_REFUSED;
	return remote_prove(c, &id, IDENTITY_MTLS_SUBJECT);
}

/* An id by Basic is the same as one in the token; false: it is too long. */
static bool
credential_join(struct credential *cred)
{
	if (cred->id_len == 0)
		return true;
	if (cred->id_len + 1 + cred->key_len > sizeof(cred->key))
		return false;
	memmove(cred->key + cred->id_len + 1, cred->key, cred->key_len);
	memcpy(cred->key, cred->id, cred->id_len);
	cred->key[cred->id_len] = ':';
	cred->key_len += cred->id_len + 1;
	cred->id_len = 0;
	return true;
}

static void
remote_check_token(struct client *c, struct credential *cred)
{
	upgrade_credential(c->passage->upgrade, cred);
	if (cred->kind == CREDENTIAL_NONE) {
		/* The hello must have one. */
		handshake_accept(c);
	} else if (handshake_too_many_failures(c)) {
		handshake_refuse_guesses(c);
	} else if (cred->kind != CREDENTIAL_KEY || !credential_join(cred)) {
		remote_unauthorized(c, "invalid token");
	} else {
		c->state = CLIENT_SIGN_IN;
		c->passage->login = login_ask(c->worker, c, cred);
		if (c->passage->login == NULL)
			client_no_memory(c);
	}
}

void
remote_check_request(struct client *c)
{
	enum login_result result = remote_check_certificate(c);
	struct credential *cred;

	if (result != LOGIN_GRANTED) {
		if (result == LOGIN_REFUSED)
			remote_unauthorized(c, "certificate not accepted");
		return;
	}
	if (!remote_rules(c)->token) {
		handshake_accept(c);
		return;
	}
	if ((cred = calloc(1, sizeof(*cred))) == NULL) {
		client_no_memory(c);
		return;
	}
	remote_check_token(c, cred);
	freezero(cred, sizeof(*cred));
}

/* A token in a hello; empty: there is none. */
static struct str
hello_token(const struct frame *f)
{
	unsigned good = f->present & ~f->bad;
	struct str none = { "", 0 };

	if ((good & FIELD_API_KEY) != 0 && f->api_key.len > 0)
		return f->api_key;
	return (good & FIELD_AUTH_TOKEN) != 0 ? f->auth_token : none;
}

static void
remote_end_guesses(struct client *c)
{
	remote_end(c, DIST_AUTH_FAILED, "too many failed sign-ins");
}

static void
remote_ask(struct client *c, const struct str *token)
{
	struct credential *cred;

	if (handshake_too_many_failures(c)) {
		remote_end_guesses(c);
		return;
	}
	if ((cred = calloc(1, sizeof(*cred))) != NULL) {
		cred->kind = CREDENTIAL_KEY;
		cred->key_len = token->len;
		memcpy(cred->key, token->p, token->len);
		c->passage->login = login_ask(c->worker, c, cred);
	}
	freezero(cred, sizeof(*cred));
	if (c->passage->login == NULL)
		client_close(c, WS_INTERNAL_ERROR, "out of memory");
	else
		client_hold(c);
}

/* In the registry an id has one spelling. */
static void
put_lower(char *out, const struct str *id)
{
	size_t i;

	for (i = 0; i < id->len; i++)
		out[i] = to_lower(id->p[i]);
}

/* The id that is proven; else the one that it claims, which may be empty. */
static struct str
remote_name(const struct client *c)
{
	struct str proven = client_identity(c);

	if (proven.len > 0)
		return proven;
	return session_client_id(
	    c->session != NULL ? c->session : c->passage->hello);
}

/* The list may be another one whenever there was something to wait for. */
static bool
remote_is_allowed(const struct client *c)
{
	struct str id = remote_name(c);

	return settings_allows_agent(c->worker->settings, &id);
}

/* Its token and its certificate are good.  Is the name that it goes by? */
static void
remote_enter(struct client *c)
{
	struct str proven = client_identity(c), claimed, id = remote_name(c);
	char name[LTP_ID_MAX];

	claimed = session_client_id(c->passage->hello);
	if (proven.len > 0 && claimed.len > 0 && !same_id(&proven, &claimed)) {
		remote_unauthorized(c, "client_id is not the proven one");
		return;
	}
	if (id.len == 0) {
		remote_unauthorized(c, "client_id is missing");
		return;
	}
	if (!remote_is_allowed(c)) {
		remote_unauthorized(c, NOT_ALLOWED);
		return;
	}
	put_lower(name, &id);
	id.p = name;
	c->passage->login = login_enter(c->worker, c, &id, proven.len > 0);
	if (c->passage->login == NULL) {
		client_close(c, WS_INTERNAL_ERROR, "out of memory");
		return;
	}
	c->remote->entering = true;
	client_hold(c);
}

void
remote_hello(struct client *c, const struct frame *f)
{
	struct remote *r = c->remote;
	struct str token = hello_token(f);

	/* A number of its own is one that has been used. */
	if ((f->present & ~f->bad & FIELD_SEQ) == 0 ||
	    !number_get_int64(f->seq.p, f->seq.len, &r->seq))
		r->seq = -1;
	if (remote_rules(c)->token && token.len > 0)
		remote_ask(c, &token);
	else if (!remote_rules(c)->token || r->member)
		remote_enter(c);
	else
		remote_unauthorized(c, "token is missing");
}

/* It may be recorded; no session there is has the id that it carries. */
void
remote_no_hello(struct client *c)
{
	if (remote_rules(c)->token && !c->remote->member)
		remote_unauthorized(c, "token is missing");
	else
		remote_replayed(c, "handshake required");
}

static void
remote_is_gone(struct client *c)
{
	client_close(c, WS_TRY_LATER, "authentication is not available");
}

static void
remote_token_answered(struct client *c, enum login_result result)
{
	switch (result) {
	case LOGIN_GRANTED:
		remote_enter(c);
		break;
	case LOGIN_GONE:
		remote_is_gone(c);
		break;
	case LOGIN_REFUSED:
	case LOGIN_UNAVAILABLE:
		remote_unauthorized(c, "invalid token");
		break;
	case LOGIN_LIMITED:
		remote_end_guesses(c);
		break;
	}
}

bool
remote_signed_in(struct client *c, enum login_result result, struct str *id)
{
	struct remote *r = c->remote;

	if (!r->entering) {
		remote_token_answered(c, result);
		return false;
	}
	r->entering = false;
	r->entered = result == LOGIN_GRANTED;
	*id = session_client_id(c->passage->hello);
	if (result == LOGIN_GONE) {
		remote_is_gone(c);
	} else if (result != LOGIN_GRANTED) {
		remote_fail(c, DIST_SESSION_LIMIT, NULL);
	} else if (!remote_is_allowed(c)) {
		remote_leave(c);
		remote_unauthorized(c, NOT_ALLOWED);
	}
	return r->entered;
}

void
remote_leave(struct client *c)
{
	if (c->remote->entered)
		login_agent_left(c->worker, c->id);
	c->remote->entered = false;
}

void
remote_replaced(struct worker *w, uint64_t conn)
{
	struct remote *r;

	TAILQ_FOREACH(r, &w->remotes.all, all) {
		if (r->client->id == conn)
			break;
	}
	if (r == NULL || !r->entered)
		return;
	r->entered = false;
	remote_end(
	    r->client, DIST_REPLAY_DETECTED, "replaced by a newer session");
	client_served(r->client);
}

void
remote_introduce(struct worker *w)
{
	char name[LTP_ID_MAX];
	struct remote *r;
	struct str id;

	TAILQ_FOREACH(r, &w->remotes.all, all) {
		if (!r->entered || r->client->session == NULL)
			continue;
		id = session_client_id(r->client->session);
		put_lower(name, &id);
		id.p = name;
		login_agent_here(w, r->client->id, &id,
		    r->client->identity != IDENTITY_CLAIMED);
	}
}

/* ---- messages ---- */

void
remote_message_begins(struct client *c)
{
	uint32_t rps = remote_rules(c)->rate_limit;
	struct remote *r = c->remote;

	c->messages_in++;
	r->over_rate = !limit_allow(&c->rate, rps, rps, c->worker->now);
	if (!r->over_rate)
		return;
	if (limit_allow(&r->complaints, REMOTE_COMPLAINTS_RPS,
		REMOTE_COMPLAINTS_RPS, c->worker->now))
		remote_fail(c, DIST_RATE_LIMITED, NULL);
	else
		remote_end(c, DIST_RATE_LIMITED, NULL);
}

void
remote_quiet(struct client *c)
{
	struct remote *r = c->remote;

	if (r->begun)
		TAILQ_REMOVE(&c->worker->remotes.reading, r, reading);
	r->begun = false;
}

bool
remote_message_ends(struct client *c)
{
	bool over = c->remote->over_rate;

	remote_quiet(c);
	c->remote->over_rate = false;
	return !over;
}

/* As passage_insert(). */
static void
remote_insert(struct remote_list *list, struct remote *r)
{
	struct remote *before;

	TAILQ_FOREACH_REVERSE(before, list, remote_list, reading) {
		if (monotime_reached(r->deadline, before->deadline))
			break;
	}
	if (before == NULL)
		TAILQ_INSERT_HEAD(list, r, reading);
	else
		TAILQ_INSERT_AFTER(list, before, r, reading);
}

void
remote_input_ends(struct client *c)
{
	struct remote *r = c->remote;

	if (c->state != CLIENT_OPEN || ws_memory(&c->ws) == 0) {
		remote_quiet(c);
		return;
	}
	if (r->begun)
		return;
	r->begun = true;
	r->deadline = monotime_add_ms(
	    c->worker->now, remote_rules(c)->message_timeout_ms);
	remote_insert(&c->worker->remotes.reading, r);
	worker_set_deadline(c->worker);
}

/* Said in this session, and for the first time. */
static bool
remote_is_new(struct client *c, const struct frame *f)
{
	unsigned good = f->present & ~f->bad;
	struct remote *r = c->remote;
	char own[UUID_TEXT_SIZE];
	int64_t seq;

	if ((good & FIELD_SESSION_ID) == 0 || (good & FIELD_SEQ) == 0 ||
	    !str_is(&f->session_id, session_id(c->session, own)) ||
	    !number_get_int64(f->seq.p, f->seq.len, &seq) || seq <= r->seq)
		return false;
	r->seq = seq;
	return true;
}

bool
remote_accepts(struct client *c, const struct frame *f)
{
	struct remote *r = c->remote;
	struct str id = session_client_id(c->session);

	if ((uint64_t)client_idle_ms(c) >=
	    (uint64_t)remote_rules(c)->session_ttl_secs * 1000) {
		++*client_counter(c, COUNT_EXPIRED_TTL);
		client_close(c, WS_GOING_AWAY, "session expired");
		return false;
	}
	if (!remote_is_new(c, f)) {
		remote_replayed(c, NULL);
		return false;
	}
	r->replays = 0;
	if ((f->present & ~f->bad & FIELD_CLIENT_ID) != 0 &&
	    !same_id(&f->client_id, &id)) {
		remote_unauthorized(c, "client_id is not the session's");
		return false;
	}
	return true;
}

/* ---- time ---- */

uint32_t
remote_handshake_ms(const struct client *c)
{
	return remote_rules(c)->handshake_timeout_ms;
}

uint32_t
remote_idle_ms(const struct client *c)
{
	const struct msg_conf_remote *rules = remote_rules(c);
	uint64_t ttl = (uint64_t)rules->session_ttl_secs * 1000;

	return ttl < rules->idle_timeout_ms ? (uint32_t)ttl
					    : rules->idle_timeout_ms;
}

struct monotime
remote_deadline(const struct remote_desk *desk)
{
	const struct remote *r = TAILQ_FIRST(&desk->reading);
	struct monotime none = { 0 };

	return r == NULL ? none : r->deadline;
}

void
remote_expire(struct worker *w)
{
	struct remote *r;

	while ((r = TAILQ_FIRST(&w->remotes.reading)) != NULL &&
	       monotime_reached(w->now, r->deadline)) {
		remote_quiet(r->client);
		remote_fail(r->client, DIST_MESSAGE_TIMEOUT, NULL);
		client_served(r->client);
	}
}

/* Who would not be let in any more does not stay. */
static void
remote_review(struct client *c)
{
	const struct settings *s = c->worker->settings;

	c->ws.max_message = s->remote.max_message_bytes;
	if (!s->has_remote) {
		client_shutdown(c);
		return;
	}
	if (c->session == NULL || c->session->over)
		return;
	if (!remote_is_allowed(c)) {
		remote_end(c, DIST_AUTH_FAILED, NOT_ALLOWED);
		client_served(c);
	}
}

void
remote_commit(struct worker *w)
{
	struct remote *r, *next;

	TAILQ_FOREACH_SAFE(r, &w->remotes.all, all, next)
		remote_review(r->client);
}
