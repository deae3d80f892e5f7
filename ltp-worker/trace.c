/*
 * Canonical frames.  All members that any message has are one table, sorted
 * by name; a message is a mask over it.
 */
#include "trace.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "number.h"

/* Integers beyond it are not the same in every reader. */
#define EXACT_MAX    (INT64_C(1) << 53)
#define EXACT_DIGITS 16 /* no number of fewer is beyond it */
/* The least and the first too great double that is printed as a number. */
#define DOUBLE_LEAST 1e-5
#define DOUBLE_GREAT 1e16

/*
 * Every string of a frame is an id or a fixed text.  No message has more
 * than four ids: client_id, session_id, session_tag, identity; or client_id,
 * identity, and two names of the node's.
 */
_Static_assert(4 * JSON_STRING_MAX(LTP_ID_MAX) + 1024 <= AUDIT_FRAME_MAX,
    "the longest frame");

enum kind {
	KIND_TRUE,
	KIND_TEXT, /* struct str */
	KIND_HINT, /* the same, perhaps as an object */
	KIND_INTEGER, /* struct str: an int64_t in decimal */
	KIND_MOMENTUM, /* these three: struct orientation */
	KIND_TIME,
	KIND_DEBUG,
	KIND_VERSION,
	KIND_ENV, /* not printed: its place */
};

struct member {
	const char *name; /* as it is printed */
	size_t name_len;
	unsigned bit;
	enum kind kind;
	size_t offset; /* in struct trace, of a struct str */
};

#define NAME(name)      "\"" name "\":", sizeof("\"" name "\":") - 1
#define TEXT(member)    KIND_TEXT, offsetof(struct trace, member)
#define INTEGER(member) KIND_INTEGER, offsetof(struct trace, member)
#define OTHER(kind)     kind, 0

static const struct member members[] = {
	{ NAME("accepted"), TRACE_ACCEPTED, OTHER(KIND_TRUE) },
	{ NAME("client_id"), TRACE_CLIENT_ID, TEXT(client_id) },
	{ NAME("client_label"), TRACE_CLIENT_LABEL, TEXT(client_label) },
	{ NAME("code"), TRACE_CODE, TEXT(code) },
	{ NAME("debug"), TRACE_DEBUG, OTHER(KIND_DEBUG) },
	{ NAME("dist_code"), TRACE_DIST_CODE, TEXT(dist_code) },
	{ NAME("env"), ~0U, OTHER(KIND_ENV) },
	{ NAME("focus_momentum"), TRACE_MOMENTUM, OTHER(KIND_MOMENTUM) },
	{ NAME("hint_sector"), TRACE_HINT, OTHER(KIND_HINT) },
	{ NAME("identity"), TRACE_IDENTITY, TEXT(identity) },
	{ NAME("message"), TRACE_MESSAGE, TEXT(message) },
	{ NAME("node_id"), TRACE_NODE_ID, TEXT(node_id) },
	{ NAME("reason"), TRACE_REASON, TEXT(reason) },
	{ NAME("seq"), TRACE_SEQ, INTEGER(seq) },
	{ NAME("session_id"), TRACE_SESSION_ID, TEXT(session_id) },
	{ NAME("session_tag"), TRACE_SESSION_TAG, TEXT(session_tag) },
	{ NAME("suggested_sector"), TRACE_SECTOR, TEXT(suggested_sector) },
	{ NAME("time_orientation"), TRACE_TIME, OTHER(KIND_TIME) },
	{ NAME("timestamp_ms"), TRACE_TIMESTAMP, INTEGER(timestamp) },
	{ NAME("type"), TRACE_TYPE, TEXT(type) },
	{ NAME("v"), TRACE_V, OTHER(KIND_VERSION) },
};

#define NMEMBERS (sizeof(members) / sizeof(members[0]))

/* ---- values ---- */

static char *
put(char *out, const char *p, size_t len)
{
	memcpy(out, p, len);
	return out + len;
}

#define PUT(out, literal) put(out, literal, sizeof(literal) - 1)

static char *
put_str(char *out, const struct str *s)
{
	return json_put_string(
	    out, s->p, s->len < LTP_ID_MAX ? s->len : LTP_ID_MAX);
}

static char *
put_integer(char *out, int64_t value)
{
	if (value >= -EXACT_MAX && value <= EXACT_MAX)
		return number_put_int64(out, value);
	*out++ = '"';
	out = number_put_int64(out, value);
	*out++ = '"';
	return out;
}

/* The same of a text that is an integer. */
static char *
put_decimal(char *out, const struct str *s)
{
	int64_t value = 0;

	/* So few digits are always exact. */
	if (s->len < EXACT_DIGITS)
		return put(out, s->p, s->len);
	(void)number_get_int64(s->p, s->len, &value);
	return put_integer(out, value);
}

/* How many digits carry meaning. */
static int
significant(const char *p, const char *end)
{
	int n = 0;

	for (; p < end && *p != 'e'; p++) {
		if ((*p >= '1' && *p <= '9') || (*p == '0' && n > 0))
			n++;
	}
	return n;
}

static char *
put_double(char *out, double value)
{
	double size = fabs(value);
	char text[32], *end;

	if (size < DOUBLE_GREAT && value == (double)(int64_t)value)
		return put_integer(out, (int64_t)value);
	if (size < DOUBLE_LEAST || size >= DOUBLE_GREAT) {
		*out++ = '"';
		out = number_put_double(out, value);
		*out++ = '"';
		return out;
	}
	end = number_put_double(out, value);
	if (significant(out, end) > 15) {
		snprintf(text, sizeof(text), "%.14e", value);
		end = number_put_double(out, strtod(text, NULL));
	}
	/* Rounded, it may have become an integer. */
	if (end - out > 2 && end[-2] == '.' && end[-1] == '0')
		end -= 2;
	return end;
}

/* What stands from start to end is printed as its SHA-256, if need be. */
static char *
put_hidden(const struct trace *t, unsigned bit, char *start, char *end)
{
	uint8_t digest[DIGEST_SIZE];
	char hex[DIGEST_HEX_SIZE];

	if (!t->hash || (t->chosen & bit) == 0)
		return end;
	digest_sha256(digest, start, (size_t)(end - start));
	*start++ = '"';
	start = put(start, digest_hex(hex, digest), 2 * DIGEST_SIZE);
	*start++ = '"';
	return start;
}

static char *
put_momentum(char *out, const struct trace *t, unsigned bit)
{
	if (!t->orientation.has_momentum)
		return PUT(out, "null");
	return put_hidden(
	    t, bit, out, put_double(out, t->orientation.momentum));
}

static char *
put_time(char *out, const struct trace *t, unsigned bit)
{
	const char *name = direction_name(t->orientation.direction);
	char *p;

	if (name == NULL)
		return PUT(out, "null");
	p = PUT(out, "{\"direction\":");
	p = put_hidden(t, bit, p, json_put_string(p, name, strlen(name)));
	p = PUT(p, ",\"strength\":");
	p = put_hidden(t, bit, p, put_double(p, t->orientation.strength));
	return PUT(p, "}");
}

static char *
put_debug(char *out, const struct trace *t)
{
	out = PUT(out, "{\"focus_momentum\":");
	out = put_momentum(out, t, TRACE_DEBUG);
	out = PUT(out, ",\"time_orientation\":");
	out = put_time(out, t, TRACE_DEBUG);
	return PUT(out, "}");
}

static char *
put_hint(char *out, const struct trace *t)
{
	char *p = out;

	if (t->hint_custom)
		p = PUT(p, "{\"Custom\":");
	p = put_hidden(t, TRACE_HINT, p, put_str(p, &t->hint_sector));
	return t->hint_custom ? PUT(p, "}") : p;
}

static const struct str *
str_of(const struct trace *t, const struct member *m)
{
	return (const struct str *)((const char *)t + m->offset);
}

static char *
put_value(char *out, const struct trace *t, const struct member *m)
{
	if ((t->given & m->bit) == 0)
		return PUT(out, "null");
	switch (m->kind) {
	case KIND_TRUE:
		return PUT(out, "true");
	case KIND_TEXT:
		return put_hidden(t, m->bit, out, put_str(out, str_of(t, m)));
	case KIND_HINT:
		return put_hint(out, t);
	case KIND_INTEGER:
		return put_hidden(
		    t, m->bit, out, put_decimal(out, str_of(t, m)));
	case KIND_MOMENTUM:
		return put_momentum(out, t, m->bit);
	case KIND_TIME:
		return put_time(out, t, m->bit);
	case KIND_DEBUG:
		return put_debug(out, t);
	case KIND_VERSION:
		return PUT(out, "\"0.1\"");
	case KIND_ENV:
		break;
	}
	return out;
}

size_t
trace_print(char out[AUDIT_FRAME_MAX], const struct trace *t, size_t *before)
{
	const struct member *m;
	char *p = out;

	*p++ = '{';
	for (m = members; m < members + NMEMBERS; m++) {
		if ((t->members & m->bit) == 0)
			continue;
		if (m->kind == KIND_ENV) {
			*before = (size_t)(p - out);
			continue;
		}
		p = put(p, m->name, m->name_len);
		p = put_value(p, t, m);
		*p++ = ',';
	}
	p[-1] = '}';
	return (size_t)(p - out);
}

/* ---- what messages say ---- */

static struct str
text(const char *p)
{
	struct str s = { p, strlen(p) };

	return s;
}

void
trace_init(struct trace *t, const struct str *identity, bool hash)
{
	memset(t, 0, sizeof(*t));
	t->hash = hash;
	t->members = TRACE_IDENTITY | TRACE_TYPE | TRACE_V;
	t->given = TRACE_TYPE | TRACE_V;
	if (identity != NULL) {
		t->identity = *identity;
		t->given |= TRACE_IDENTITY;
	}
}

/* The members that a frame's fields are; credentials are none. */
static const struct {
	enum frame_field field;
	unsigned bit;
} fields[] = {
	{ FIELD_CLIENT_ID, TRACE_CLIENT_ID },
	{ FIELD_SESSION_ID, TRACE_SESSION_ID },
	{ FIELD_SESSION_TAG, TRACE_SESSION_TAG },
	{ FIELD_CLIENT_LABEL, TRACE_CLIENT_LABEL },
	{ FIELD_TIMESTAMP, TRACE_TIMESTAMP },
	{ FIELD_MOMENTUM, TRACE_MOMENTUM },
	{ FIELD_TIME, TRACE_TIME },
	{ FIELD_HINT, TRACE_HINT },
};

void
trace_of_message(struct trace *t, enum conf_dialect dialect,
    const struct frame *f, const char *own_id)
{
	unsigned known = frame_fields(dialect, f->type);
	size_t i;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if ((known & fields[i].field) == 0)
			continue;
		t->members |= fields[i].bit;
		if ((f->present & fields[i].field) == 0)
			continue;
		t->given |= fields[i].bit;
		t->chosen |= fields[i].bit;
	}
	t->type = text(frame_type_name(f->type));
	t->client_id = f->client_id;
	t->client_label = f->client_label;
	t->session_id = f->session_id;
	t->session_tag = f->session_tag;
	t->hint_sector = f->hint_sector;
	t->hint_custom = f->hint_custom;
	t->timestamp = f->timestamp;
	t->orientation.has_momentum = (f->present & FIELD_MOMENTUM) != 0;
	t->orientation.momentum = f->focus_momentum;
	t->orientation.direction = f->direction;
	t->orientation.strength = f->strength;
	if (own_id[0] != '\0' && str_is(&f->session_id, own_id))
		t->chosen &= ~(unsigned)TRACE_SESSION_ID;
}

void
trace_of_remote(struct trace *t, const struct frame *f, const char *own_id)
{
	t->members |= TRACE_SEQ | TRACE_SESSION_ID;
	t->seq = f->seq;
	if ((f->present & ~f->bad & FIELD_SEQ) != 0) {
		t->given |= TRACE_SEQ;
		t->chosen |= TRACE_SEQ;
	}
	if ((f->present & ~f->bad & FIELD_SESSION_ID) != 0) {
		t->given |= TRACE_SESSION_ID;
		if (own_id[0] == '\0' || !str_is(&f->session_id, own_id))
			t->chosen |= TRACE_SESSION_ID;
	}
}

void
trace_of_hello_ack(
    struct trace *t, const struct str *node_id, const char *own_id)
{
	t->type = text("hello_ack");
	t->node_id = *node_id;
	t->members |= TRACE_ACCEPTED | TRACE_NODE_ID;
	t->given |= TRACE_ACCEPTED | TRACE_NODE_ID;
	if (own_id[0] == '\0')
		return;
	t->session_id = text(own_id);
	t->members |= TRACE_SESSION_ID;
	t->given |= TRACE_SESSION_ID;
}

/* Whom a reply is for.  A client chose its id unless a key has proven it. */
static void
trace_addressee(
    struct trace *t, enum conf_dialect dialect, const struct str *id)
{
	if (dialect == DIALECT_SESSION) {
		t->session_id = *id;
		t->members |= TRACE_SESSION_ID;
		t->given |= TRACE_SESSION_ID;
		return;
	}
	t->client_id = *id;
	t->members |= TRACE_CLIENT_ID;
	t->given |= TRACE_CLIENT_ID;
	if ((t->given & TRACE_IDENTITY) == 0)
		t->chosen |= TRACE_CLIENT_ID;
}

void
trace_of_heartbeat_ack(struct trace *t, enum conf_dialect dialect,
    const struct str *id, const struct str *timestamp)
{
	t->type = text("heartbeat_ack");
	trace_addressee(t, dialect, id);
	t->timestamp = *timestamp;
	t->members |= TRACE_TIMESTAMP;
	t->given |= TRACE_TIMESTAMP;
	t->chosen |= TRACE_TIMESTAMP;
}

void
trace_of_suggestion(struct trace *t, enum conf_dialect dialect,
    const struct str *id, const struct orientation *o,
    char sector[ROUTE_SECTOR_MAX])
{
	t->type = text("route_suggestion");
	trace_addressee(t, dialect, id);
	t->suggested_sector = text(route_sector(sector, dialect, o));
	t->reason = text(route_reason(o));
	t->orientation = *o;
	t->members |= TRACE_SECTOR | TRACE_REASON | TRACE_DEBUG;
	t->given |= TRACE_SECTOR | TRACE_REASON | TRACE_DEBUG;
	t->chosen |= TRACE_DEBUG;
}

void
trace_of_error(struct trace *t, const char *code, const char *message,
    const char *dist_code)
{
	unsigned has = TRACE_MESSAGE;

	t->type = text("error");
	t->message = text(message);
	if (code != NULL) {
		t->code = text(code);
		has |= TRACE_CODE;
	}
	if (dist_code != NULL) {
		t->dist_code = text(dist_code);
		has |= TRACE_DIST_CODE;
	}
	t->members |= has;
	t->given |= has;
}
