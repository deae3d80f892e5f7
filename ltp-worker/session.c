/*
 * LTP sessions.
 *
 * Which dialect a connection speaks is decided in one place,
 * session_settle_dialect(); what each makes of a message is a function per
 * message type in a table per dialect.
 */
#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "frame.h"
#include "handshake.h"
#include "log.h"
#include "remote.h"
#include "shared.h"
#include "upgrade.h"
#include "worker.h"
#include "ws.h"

enum session_code {
	CODE_UNAUTHORIZED,
	CODE_FORBIDDEN,
	CODE_RATE_LIMIT,
	CODE_INVALID,
};

static const char *const code_names[] = {
	[CODE_UNAUTHORIZED] = "UNAUTHORIZED",
	[CODE_FORBIDDEN] = "FORBIDDEN",
	[CODE_RATE_LIMIT] = "RATE_LIMIT",
	[CODE_INVALID] = "INVALID",
};

static const enum counter type_counters[] = {
	[FRAME_HELLO] = COUNT_MSG_HELLO,
	[FRAME_HEARTBEAT] = COUNT_MSG_HEARTBEAT,
	[FRAME_ORIENTATION] = COUNT_MSG_ORIENTATION,
	[FRAME_ROUTE_REQUEST] = COUNT_MSG_ROUTE_REQUEST,
};

/* What one is taken to say that never spoke of itself. */
static const struct orientation orientation_none;

/* ---- replies ---- */

static void
session_error(struct client *c, enum session_code code, const char *message)
{
	const char *name =
	    c->dialect == DIALECT_SESSION ? code_names[code] : NULL;
	char buf[FRAME_REPLY_MAX];

	client_reply(c, buf, frame_print_error(buf, name, message, NULL));
	journal_error(c, name, message, NULL);
}

static void
session_hello_ack(struct client *c)
{
	char buf[FRAME_REPLY_MAX], own[UUID_TEXT_SIZE];
	struct str id;

	id.p = session_id(c->session, own);
	id.len = strlen(own);
	client_reply(c, buf,
	    frame_print_hello_ack(
		buf, &c->worker->settings->node_id, id.len > 0 ? &id : NULL));
	journal_hello_ack(c);
}

/*
 * An invalid message, and a warning about it: one a second at most for all
 * connections, so for each as well.  What is left out is counted.
 */
static void
session_count_invalid(struct client *c, const char *what, const char *message)
{
	++*client_counter(c, COUNT_INVALID_JSON);
	++*client_counter(c, COUNT_REJECT_INVALID_JSON);
	if (!client_warn(c, CATEGORY_INVALID_JSON, what, message))
		++*client_counter(c, COUNT_INVALID_JSON_SUPPRESSED);
}

/* Bad JSON, an unknown type, a bad field, a binary frame. */
static void
session_invalid(struct client *c, const char *message)
{
	session_count_invalid(c, "message refused", message);
	session_error(c, CODE_INVALID, message);
}

static void
session_forbidden(struct client *c, const char *message)
{
	++*client_counter(c, COUNT_REJECT_FORBIDDEN);
	client_log(c, LEVEL_DEBUG, "message refused", message);
	session_error(c, CODE_FORBIDDEN, message);
}

static void
session_unauthorized(struct client *c)
{
	handshake_count_failure(c);
	++*client_counter(c, COUNT_REJECT_UNAUTHORIZED);
	client_warn(c, CATEGORY_AUTH, "sign-in refused", "unauthorized");
	session_error(c, CODE_UNAUTHORIZED, "unauthorized");
	client_close(c, WS_POLICY, "unauthorized");
}

/* ---- making and ending a session ---- */

static void
session_full(struct client *c)
{
	if (c->remote != NULL) {
		remote_fail(c, DIST_SESSION_LIMIT, NULL);
		return;
	}
	++*client_counter(c, COUNT_CAPACITY_REJECTIONS);
	client_warn(
	    c, CATEGORY_HANDSHAKE, "no session", "session limit reached");
	session_error(c, CODE_RATE_LIMIT, "session limit reached");
	if (c->dialect == DIALECT_SESSION)
		client_close(c, WS_TRY_LATER, "session limit reached");
}

/*
 * What cannot be logged is not acted upon: no session is made, and one that
 * there is ends.
 */
static void
session_unlogged(struct client *c)
{
	++*client_counter(c, COUNT_CAPACITY_REJECTIONS);
	client_warn(c, CATEGORY_HANDSHAKE, "message refused", JOURNAL_REFUSAL);
	if (c->session == NULL)
		session_error(c, CODE_RATE_LIMIT, JOURNAL_REFUSAL);
	if (c->session != NULL || c->dialect == DIALECT_SESSION)
		client_close(c, WS_TRY_LATER, JOURNAL_REFUSAL);
}

/* The struct with copies of the names behind it, and a new id if wanted. */
static struct session *
session_alloc(const struct str *client_id, const struct str *tag, bool has_id)
{
	size_t names = client_id->len + tag->len;
	struct session *s;

	s = calloc(1,
	    offsetof(struct session, text) + names + (has_id ? UUID_SIZE : 0));
	if (s == NULL)
		return NULL;
	/* An absent one has no place either. */
	if (client_id->len > 0)
		memcpy(s->text, client_id->p, client_id->len);
	if (tag->len > 0)
		memcpy(s->text + client_id->len, tag->p, tag->len);
	if (has_id)
		uuid_random((uint8_t *)s->text + names);
	s->client_id_len = client_id->len;
	s->tag_len = tag->len;
	s->has_id = has_id;
	return s;
}

void
session_discard(struct session *s)
{
	if (s != NULL)
		free(s->orientation);
	free(s);
}

struct str
session_client_id(const struct session *s)
{
	struct str id = { s->text, s->client_id_len };

	return id;
}

struct str
session_tag(const struct session *s)
{
	struct str tag = { s->text + s->client_id_len, s->tag_len };

	return tag;
}

const char *
session_id(const struct session *s, char out[UUID_TEXT_SIZE])
{
	if (s->has_id)
		return uuid_print(out,
		    (const uint8_t *)s->text + s->client_id_len + s->tag_len);
	out[0] = '\0';
	return out;
}

/*
 * The first valid message makes the session.  With a proven identity that is
 * the client's id, whatever it claims.  False when there is none: the node
 * is full, or cannot log, and the client was told.
 */
static bool
session_new(struct client *c, const struct str *claimed, const struct str *tag)
{
	struct worker *w = c->worker;
	struct str identity = client_identity(c);

	client_greeted(c);
	if (!journal_accepts(w)) {
		session_unlogged(c);
		return false;
	}
	if (!shared_take(w->shared, SHARED_SESSIONS, w->slot,
		w->settings->node.max_sessions)) {
		session_full(c);
		return false;
	}
	c->session = session_alloc(identity.len > 0 ? &identity : claimed, tag,
	    c->dialect == DIALECT_SESSION || c->remote != NULL);
	if (c->session == NULL) {
		shared_give(w->shared, SHARED_SESSIONS, w->slot);
		client_close(c, WS_INTERNAL_ERROR, "out of memory");
		return false;
	}
	c->session->made_ms = client_age_ms(c);
	if (identity.len > 0)
		c->identity = c->passage->source;
	client_log(c, LEVEL_DEBUG, "session made", NULL);
	return true;
}

void
session_end(struct client *c)
{
	if (c->session == NULL || c->session->over)
		return;
	shared_give(c->worker->shared, SHARED_SESSIONS, c->worker->slot);
	c->session->over = true;
}

void
session_free(struct client *c)
{
	session_end(c);
	session_discard(c->session);
	c->session = NULL;
}

/* Every valid message is counted and keeps the session alive. */
static void
session_touch(struct client *c, enum frame_type type)
{
	++*client_counter(c, type_counters[type]);
	client_seen(c);
}

/* ---- what a message does, in both dialects ---- */

/*
 * The id that replies carry.  In the session dialect the message had it, or
 * it would not have come this far.
 */
static struct str
session_reply_id(const struct client *c, const struct frame *f)
{
	return c->dialect == DIALECT_SESSION ? f->session_id
					     : session_client_id(c->session);
}

static void
session_heartbeat(struct client *c, const struct frame *f)
{
	struct str id = session_reply_id(c, f);
	char buf[FRAME_REPLY_MAX];

	client_reply(c, buf,
	    frame_print_heartbeat_ack(buf, c->dialect, &id, &f->timestamp));
	journal_heartbeat_ack(c, &id, &f->timestamp);
}

/* Absent members keep the stored value. */
static void
session_orientation(struct client *c, const struct frame *f)
{
	struct session *s = c->session;
	struct orientation *o = s->orientation;

	if (o == NULL && (o = calloc(1, sizeof(*o))) == NULL) {
		client_close(c, WS_INTERNAL_ERROR, "out of memory");
		return;
	}
	s->orientation = o;
	if ((f->present & FIELD_MOMENTUM) != 0) {
		o->has_momentum = true;
		o->momentum = f->focus_momentum;
	}
	if ((f->present & FIELD_TIME) != 0) {
		o->direction = f->direction;
		o->strength = f->strength;
	}
}

static void
session_route_request(struct client *c, const struct frame *f)
{
	struct str id = session_reply_id(c, f);
	const struct orientation *o = c->session->orientation;
	char buf[FRAME_REPLY_MAX];

	if (o == NULL)
		o = &orientation_none;
	client_reply(c, buf, frame_print_suggestion(buf, c->dialect, &id, o));
	journal_suggestion(c, &id, o);
}

static void
session_act(struct client *c, const struct frame *f)
{
	static void (*const act[])(struct client *, const struct frame *) = {
		[FRAME_HEARTBEAT] = session_heartbeat,
		[FRAME_ORIENTATION] = session_orientation,
		[FRAME_ROUTE_REQUEST] = session_route_request,
	};

	session_touch(c, f->type);
	act[f->type](c, f);
}

/* ---- signing in by hello ---- */

static void
session_end_guesses(struct client *c)
{
	const char *why = "too many failed sign-ins";

	session_error(c, CODE_RATE_LIMIT, why);
	client_close(c, WS_POLICY, why);
}

/*
 * Ask auth about a hello's key.  What else the hello said is kept as a
 * session that has no place yet.
 */
static void
session_sign_in(struct client *c, const struct str *key,
    const struct str *claimed, const struct str *tag)
{
	struct passage *p = c->passage;
	struct credential *cred;

	if (handshake_too_many_failures(c)) {
		session_end_guesses(c);
		return;
	}
	if (key->len == 0) {
		session_unauthorized(c);
		return;
	}
	if ((cred = calloc(1, sizeof(*cred))) != NULL &&
	    (p->hello = session_alloc(claimed, tag, false)) != NULL) {
		cred->kind = CREDENTIAL_KEY;
		cred->key_len = key->len;
		memcpy(cred->key, key->p, key->len);
		p->login = login_ask(c->worker, c, cred);
	}
	freezero(cred, sizeof(*cred));
	if (p->login == NULL)
		client_close(c, WS_INTERNAL_ERROR, "out of memory");
	else
		client_hold(c);
}

/* The session that the hello of an agent asked for, or another question. */
static void
session_remote_signed_in(struct client *c, enum login_result result)
{
	struct session *hello = c->passage->hello;
	struct str claimed, tag = session_tag(hello);

	if (remote_signed_in(c, result, &claimed)) {
		if (session_new(c, &claimed, &tag)) {
			session_touch(c, FRAME_HELLO);
			session_hello_ack(c);
		} else {
			remote_leave(c);
		}
	}
	if (c->passage->login == NULL) {
		c->passage->hello = NULL;
		session_discard(hello);
	}
}

void
session_signed_in(struct client *c, enum login_result result)
{
	struct session *hello = c->passage->hello;
	struct str claimed = session_client_id(hello);
	struct str tag = session_tag(hello);

	if (c->remote != NULL) {
		session_remote_signed_in(c, result);
		return;
	}
	c->passage->hello = NULL;
	switch (result) {
	case LOGIN_GRANTED:
		if (session_new(c, &claimed, &tag)) {
			session_touch(c, FRAME_HELLO);
			session_hello_ack(c);
		}
		break;
	case LOGIN_GONE:
		client_close(
		    c, WS_TRY_LATER, "authentication is not available");
		break;
	case LOGIN_REFUSED:
	case LOGIN_UNAVAILABLE:
		session_unauthorized(c);
		break;
	case LOGIN_LIMITED:
		session_end_guesses(c);
		break;
	}
	session_discard(hello);
}

/* ---- the client dialect ---- */

static void
session_client_hello(struct client *c, const struct frame *f)
{
	session_touch(c, FRAME_HELLO);
	session_hello_ack(c);
	(void)f;
}

/* Authentication is on and nothing has been proven: only a hello will do. */
static void
session_client_must_sign_in(struct client *c, const struct frame *f)
{
	const struct str *key = &f->auth_token;

	if (f->type != FRAME_HELLO) {
		session_unauthorized(c);
		return;
	}
	if ((f->present & FIELD_API_KEY) != 0 && (f->bad & FIELD_API_KEY) == 0)
		key = &f->api_key;
	session_sign_in(c, key, &f->client_id, &f->session_tag);
}

static void
session_client_message(struct client *c, const struct frame *f)
{
	bool proven = client_identity(c).len > 0;
	struct str id;

	if (!frame_valid(f, DIALECT_CLIENT)) {
		session_invalid(c, "invalid message");
		return;
	}
	journal_message(c, f);
	if (c->worker->settings->node.auth && !proven) {
		session_client_must_sign_in(c, f);
		return;
	}
	if (c->session == NULL &&
	    !session_new(c, &f->client_id, &f->session_tag))
		return;
	id = session_client_id(c->session);
	if (!proven && (f->client_id.len != id.len ||
			   memcmp(f->client_id.p, id.p, id.len) != 0)) {
		session_forbidden(c, "client_id mismatch");
		return;
	}
	if (f->type == FRAME_HELLO)
		session_client_hello(c, f);
	else
		session_act(c, f);
}

/* ---- the session dialect ---- */

/* The handshake is over before it began. */
static void
session_no_handshake(struct client *c, const char *message)
{
	session_count_invalid(c, "handshake refused", message);
	session_error(c, CODE_INVALID, message);
	client_close(c, WS_POLICY, message);
}

static void
session_session_hello(struct client *c, const struct frame *f)
{
	static const struct str nobody = { "", 0 };

	if (c->session != NULL) {
		/* Valid, but once is enough. */
		client_seen(c);
		session_error(c, CODE_INVALID, "handshake already completed");
		return;
	}
	if (c->worker->settings->node.auth) {
		session_sign_in(c, &f->api_key, &nobody, &f->client_label);
		return;
	}
	if (session_new(c, &nobody, &f->client_label)) {
		session_touch(c, FRAME_HELLO);
		session_hello_ack(c);
	}
}

static void
session_session_first(struct client *c, const struct frame *f)
{
	bool fixed = c->worker->settings->node.dialect == DIALECT_SESSION;

	if (frame_valid(f, DIALECT_SESSION)) {
		journal_message(c, f);
		if (f->type == FRAME_HELLO)
			session_session_hello(c, f);
		else
			session_no_handshake(c, "handshake required");
	} else if (f->type != FRAME_NONE && f->type != FRAME_HELLO &&
		   (f->present & FIELD_SESSION_ID) != 0) {
		session_no_handshake(c, "handshake required");
	} else if (fixed) {
		session_no_handshake(c, "invalid handshake");
	} else {
		session_invalid(c, "invalid message");
	}
}

static void
session_session_message(struct client *c, const struct frame *f)
{
	char own[UUID_TEXT_SIZE];

	if (c->session == NULL) {
		session_session_first(c, f);
		return;
	}
	if (!frame_valid(f, DIALECT_SESSION)) {
		session_invalid(c, "invalid message");
		return;
	}
	journal_message(c, f);
	if (f->type == FRAME_HELLO) {
		session_session_hello(c, f);
		return;
	}
	if (!str_is(&f->session_id, session_id(c->session, own))) {
		session_forbidden(c, "session mismatch");
		client_close(c, WS_POLICY, "session mismatch");
		return;
	}
	session_act(c, f);
}

/* ---- the remote listener, both dialects ---- */

/* What the hello says is kept until auth has answered about it. */
static void
session_remote_hello(struct client *c, const struct frame *f)
{
	static const struct str nobody = { "", 0 };
	const struct str *claimed = &nobody, *tag = &f->session_tag;

	if ((f->present & ~f->bad & FIELD_CLIENT_ID) != 0)
		claimed = &f->client_id;
	if (c->dialect == DIALECT_SESSION)
		tag = &f->client_label;
	c->passage->hello = session_alloc(claimed, tag, false);
	if (c->passage->hello == NULL) {
		client_close(c, WS_INTERNAL_ERROR, "out of memory");
		return;
	}
	remote_hello(c, f);
	/* Refused: it has no more to say. */
	if (c->passage->login == NULL) {
		session_discard(c->passage->hello);
		c->passage->hello = NULL;
	}
}

static void
session_remote_message(struct client *c, const struct frame *f)
{
	if (!frame_valid(f, c->dialect)) {
		session_invalid(c, "invalid message");
		return;
	}
	journal_message(c, f);
	if (c->session == NULL) {
		if (f->type == FRAME_HELLO)
			session_remote_hello(c, f);
		else
			remote_no_hello(c);
		return;
	}
	if (!remote_accepts(c, f))
		return;
	if (f->type != FRAME_HELLO)
		session_act(c, f);
	else if (c->dialect == DIALECT_SESSION)
		session_session_hello(c, f);
	else
		session_client_hello(c, f);
}

/* ---- the choice ---- */

static void
session_settle_dialect(struct client *c, const struct frame *f)
{
	uint8_t fixed = c->worker->settings->node.dialect;

	if (c->dialect == DIALECT_AUTO)
		c->dialect = fixed == DIALECT_AUTO ? frame_dialect(f) : fixed;
}

/* No JSON object at all: which dialect would have been spoken is unknown. */
static void
session_not_json(struct client *c)
{
	if (c->dialect == DIALECT_AUTO &&
	    c->worker->settings->node.dialect == DIALECT_SESSION) {
		c->dialect = DIALECT_SESSION;
		session_no_handshake(c, "invalid handshake");
		return;
	}
	session_invalid(c, "invalid message");
}

void
session_text(struct client *c, char *text, size_t len)
{
	struct frame f;
	bool parsed;

	parsed = frame_parse(c->worker->json, text, len, &f);
	if (parsed)
		session_settle_dialect(c, &f);
	if (!journal_accepts(c->worker))
		session_unlogged(c);
	else if (!parsed)
		session_not_json(c);
	else if (c->remote != NULL)
		session_remote_message(c, &f);
	else if (c->dialect == DIALECT_SESSION)
		session_session_message(c, &f);
	else
		session_client_message(c, &f);
}

void
session_binary(struct client *c)
{
	if (!journal_accepts(c->worker)) {
		session_unlogged(c);
		return;
	}
	if (c->session == NULL &&
	    c->worker->settings->node.dialect == DIALECT_SESSION) {
		c->dialect = DIALECT_SESSION;
		session_no_handshake(c, "binary handshake not supported");
		return;
	}
	session_invalid(c, "binary messages are not supported");
}
