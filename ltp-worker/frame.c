/*
 * LTP messages: which members there are and what they may hold is one table,
 * which of them belong to which message of which dialect is another.
 */
#include <string.h>

#include "frame.h"
#include "number.h"

/*
 * What a member holds, and the type in struct frame that it is stored as.
 */
enum kind {
	KIND_TYPE, /* enum frame_type */
	KIND_TEXT, /* struct str */
	KIND_INTEGER, /* struct str: it is sent back as it came */
	KIND_DOUBLE, /* double */
	KIND_DIRECTION, /* enum direction */
	KIND_OBJECT, /* not stored, its members are */
};

/*
 * While a message is parsed, members of a time_orientation have bits of
 * their own, and it is good when both are.
 */
#define PART_DIRECTION (1U << 16)
#define PART_STRENGTH  (1U << 17)
#define PART_BOTH      (PART_DIRECTION | PART_STRENGTH)
/* The message itself, where the holder of a member is meant. */
#define HOLDER_MESSAGE (1U << 18)

#define FIELDS_ALL     (2U * FIELD_SEQ - 1)

struct member {
	struct str name;
	unsigned holder; /* the field that it is a member of */
	unsigned field; /* 0: it is none, but the type */
	enum kind kind;
	size_t offset; /* in struct frame */
	size_t min; /* bytes of a string */
	size_t max;
};

#define NAME(name)                     \
	{                              \
		name, sizeof(name) - 1 \
	}
#define INTO(kind, name)     kind, offsetof(struct frame, name), 0, 0
#define TEXT(name, min, max) KIND_TEXT, offsetof(struct frame, name), min, max

/* What every heartbeat has comes first. */
static const struct member members[] = {
	{ NAME("type"), HOLDER_MESSAGE, 0, INTO(KIND_TYPE, type) },
	{ NAME("client_id"), HOLDER_MESSAGE, FIELD_CLIENT_ID,
	    TEXT(client_id, 1, LTP_ID_MAX) },
	{ NAME("session_id"), HOLDER_MESSAGE, FIELD_SESSION_ID,
	    TEXT(session_id, 1, LTP_ID_MAX) },
	{ NAME("timestamp_ms"), HOLDER_MESSAGE, FIELD_TIMESTAMP,
	    INTO(KIND_INTEGER, timestamp) },
	{ NAME("session_tag"), HOLDER_MESSAGE, FIELD_SESSION_TAG,
	    TEXT(session_tag, 1, LTP_ID_MAX) },
	{ NAME("client_label"), HOLDER_MESSAGE, FIELD_CLIENT_LABEL,
	    TEXT(client_label, 1, LTP_ID_MAX) },
	{ NAME("auth_token"), HOLDER_MESSAGE, FIELD_AUTH_TOKEN,
	    TEXT(auth_token, 0, AUTH_KEY_MAX) },
	{ NAME("api_key"), HOLDER_MESSAGE, FIELD_API_KEY,
	    TEXT(api_key, 0, AUTH_KEY_MAX) },
	{ NAME("focus_momentum"), HOLDER_MESSAGE, FIELD_MOMENTUM,
	    INTO(KIND_DOUBLE, focus_momentum) },
	{ NAME("time_orientation"), HOLDER_MESSAGE, FIELD_TIME, KIND_OBJECT, 0,
	    0, 0 },
	{ NAME("direction"), FIELD_TIME, PART_DIRECTION,
	    INTO(KIND_DIRECTION, direction) },
	{ NAME("strength"), FIELD_TIME, PART_STRENGTH,
	    INTO(KIND_DOUBLE, strength) },
	{ NAME("hint_sector"), HOLDER_MESSAGE, FIELD_HINT,
	    TEXT(hint_sector, 1, LTP_ID_MAX) },
	{ NAME("Custom"), FIELD_HINT, FIELD_HINT,
	    TEXT(hint_sector, 1, LTP_ID_MAX) },
	{ NAME("seq"), HOLDER_MESSAGE, FIELD_SEQ, INTO(KIND_INTEGER, seq) },
};

#define NMEMBERS (sizeof(members) / sizeof(members[0]))

static const struct {
	struct str name;
	enum frame_type type;
} types[] = {
	{ NAME("hello"), FRAME_HELLO },
	{ NAME("heartbeat"), FRAME_HEARTBEAT },
	{ NAME("orientation"), FRAME_ORIENTATION },
	{ NAME("route_request"), FRAME_ROUTE_REQUEST },
};

#define NTYPES (sizeof(types) / sizeof(types[0]))

/* No message does without a member, so an empty row is no message. */
static const struct rule {
	unsigned required;
	unsigned optional;
} rules[DIALECT_SESSION + 1][FRAME_ROUTE_REQUEST + 1] = {
	[DIALECT_CLIENT] = {
		[FRAME_HELLO] = { FIELD_CLIENT_ID,
		    FIELD_SESSION_TAG | FIELD_AUTH_TOKEN },
		[FRAME_HEARTBEAT] = { FIELD_CLIENT_ID | FIELD_TIMESTAMP, 0 },
		[FRAME_ORIENTATION] = { FIELD_CLIENT_ID,
		    FIELD_MOMENTUM | FIELD_TIME },
		[FRAME_ROUTE_REQUEST] = { FIELD_CLIENT_ID, FIELD_HINT },
	},
	[DIALECT_SESSION] = {
		[FRAME_HELLO] = { FIELD_API_KEY, FIELD_CLIENT_LABEL },
		[FRAME_HEARTBEAT] = { FIELD_SESSION_ID | FIELD_TIMESTAMP, 0 },
		[FRAME_ORIENTATION] = { FIELD_SESSION_ID,
		    FIELD_MOMENTUM | FIELD_TIME },
		[FRAME_ROUTE_REQUEST] = { FIELD_SESSION_ID, FIELD_HINT },
	},
};

struct parse {
	struct frame *frame;
	unsigned seen; /* fields that are there */
	unsigned good; /* fields that hold what they should */
	unsigned holder; /* the last member of the message itself */
};

static enum frame_type
type_parse(const struct str *name)
{
	size_t i;

	for (i = 0; i < NTYPES; i++) {
		if (str_same(name, &types[i].name))
			return types[i].type;
	}
	return FRAME_NONE;
}

static const struct member *
member_find(unsigned holder, const struct str *name)
{
	const struct member *m;

	for (m = members; m < members + NMEMBERS; m++) {
		if (m->holder == holder && str_same(&m->name, name))
			return m;
	}
	return NULL;
}

/* Returns whether the value is what the member should hold. */
static bool
member_take(const struct member *m, struct frame *frame, enum json_type type,
    const struct str *value)
{
	void *field = (char *)frame + m->offset;
	int64_t integer;

	switch (m->kind) {
	case KIND_TYPE:
		if (type == JSON_STRING)
			*(enum frame_type *)field = type_parse(value);
		return true;
	case KIND_TEXT:
		if (type != JSON_STRING || value->len < m->min ||
		    value->len > m->max)
			return false;
		*(struct str *)field = *value;
		return true;
	case KIND_INTEGER:
		if (type != JSON_NUMBER ||
		    !number_get_int64(value->p, value->len, &integer))
			return false;
		*(struct str *)field = *value;
		return true;
	case KIND_DOUBLE:
		return type == JSON_NUMBER &&
		       number_get_double(value->p, value->len, field);
	case KIND_DIRECTION:
		if (type != JSON_STRING)
			return false;
		*(enum direction *)field =
		    direction_parse(value->p, value->len);
		return *(enum direction *)field != DIRECTION_NONE;
	case KIND_OBJECT:
		break;
	}
	return false;
}

static void
parse_visit(unsigned depth, const struct str *name, enum json_type type,
    const struct str *value, void *arg)
{
	struct parse *parse = arg;
	const struct member *m;

	m = member_find(depth == 1 ? HOLDER_MESSAGE : parse->holder, name);
	if (depth == 1)
		parse->holder = m != NULL ? m->field : 0;
	if (m == NULL || type == JSON_NULL)
		return;
	parse->seen |= m->field;
	if (!member_take(m, parse->frame, type, value))
		return;
	parse->good |= m->field;
	if (m->field == FIELD_HINT)
		parse->frame->hint_custom = depth > 1;
}

/* Member by member: for this size memset(3) becomes a slow instruction. */
static void
frame_clear(struct frame *f)
{
	static const struct str absent = { NULL, 0 };

	f->type = FRAME_NONE;
	f->present = 0;
	f->bad = 0;
	f->client_id = absent;
	f->session_id = absent;
	f->session_tag = absent;
	f->client_label = absent;
	f->auth_token = absent;
	f->api_key = absent;
	f->hint_sector = absent;
	f->hint_custom = false;
	f->timestamp = absent;
	f->seq = absent;
	f->focus_momentum = 0;
	f->direction = DIRECTION_NONE;
	f->strength = 0;
}

bool
frame_parse(struct json *json, char *text, size_t len, struct frame *out)
{
	struct parse parse = { out, 0, 0, 0 };

	frame_clear(out);
	if (json_scan(json, text, len, parse_visit, &parse) != JSON_OBJECT) {
		frame_clear(out);
		return false;
	}
	if ((parse.good & PART_BOTH) == PART_BOTH)
		parse.good |= FIELD_TIME;
	out->present = parse.seen & FIELDS_ALL;
	out->bad = out->present & ~parse.good;
	return true;
}

bool
frame_valid(const struct frame *frame, enum conf_dialect dialect)
{
	const struct rule *rule = &rules[dialect][frame->type];

	return rule->required != 0 &&
	       (frame->present & rule->required) == rule->required &&
	       (frame->bad & (rule->required | rule->optional)) == 0;
}

unsigned
frame_fields(enum conf_dialect dialect, enum frame_type type)
{
	return rules[dialect][type].required | rules[dialect][type].optional;
}

const char *
frame_type_name(enum frame_type type)
{
	size_t i;

	for (i = 0; i < NTYPES; i++) {
		if (types[i].type == type)
			return types[i].name.p;
	}
	return NULL;
}

enum conf_dialect
frame_dialect(const struct frame *frame)
{
	if (frame->type == FRAME_HELLO && (frame->present & FIELD_API_KEY))
		return DIALECT_SESSION;
	if ((frame->present & (FIELD_SESSION_ID | FIELD_CLIENT_ID)) ==
	    FIELD_SESSION_ID)
		return DIALECT_SESSION;
	return DIALECT_CLIENT;
}

/* ---- replies ---- */

/* Inline, since that makes the length of a literal a constant. */
static inline char *
put(char *out, const char *text)
{
	size_t len = strlen(text);

	memcpy(out, text, len);
	return out + len;
}

/*
 * Nothing longer than an id is ever printed; what comes from elsewhere is
 * cut rather than trusted, so that FRAME_REPLY_MAX holds.
 */
static char *
put_string(char *out, const char *p, size_t len)
{
	return json_put_string(out, p, len < LTP_ID_MAX ? len : LTP_ID_MAX);
}

_Static_assert(2 * JSON_STRING_MAX(LTP_ID_MAX) + 256 <= FRAME_REPLY_MAX,
    "two ids and the longest frame of a reply");

static char *
put_str(char *out, const struct str *s)
{
	return put_string(out, s->p, s->len);
}

static char *
put_text(char *out, const char *text)
{
	return put_string(out, text, strlen(text));
}

/* One that was read, so it is no longer than any. */
static char *
put_number(char *out, const struct str *s)
{
	size_t len = s->len < NUMBER_TEXT_MAX ? s->len : NUMBER_TEXT_MAX;

	memcpy(out, s->p, len);
	return out + len;
}

size_t
frame_print_hello_ack(char out[FRAME_REPLY_MAX], const struct str *node_id,
    const struct str *session_id)
{
	char *p;

	p = put(out, "{\"type\":\"hello_ack\",\"node_id\":");
	p = put_str(p, node_id);
	p = put(p, ",\"accepted\":true");
	if (session_id != NULL) {
		p = put(p, ",\"session_id\":");
		p = put_str(p, session_id);
	}
	p = put(p, "}");
	return (size_t)(p - out);
}

/* Whom a reply to a session is for. */
static char *
put_id(char *p, enum conf_dialect dialect, const struct str *id)
{
	if (dialect == DIALECT_SESSION)
		p = put(p, ",\"session_id\":");
	else
		p = put(p, ",\"client_id\":");
	return put_str(p, id);
}

size_t
frame_print_heartbeat_ack(char out[FRAME_REPLY_MAX], enum conf_dialect dialect,
    const struct str *id, const struct str *timestamp)
{
	char *p;

	p = put(out, "{\"type\":\"heartbeat_ack\"");
	p = put_id(p, dialect, id);
	p = put(p, ",\"timestamp_ms\":");
	p = put_number(p, timestamp);
	p = put(p, "}");
	return (size_t)(p - out);
}

size_t
frame_print_suggestion(char out[FRAME_REPLY_MAX], enum conf_dialect dialect,
    const struct str *id, const struct orientation *o)
{
	char sector[ROUTE_SECTOR_MAX], *p;

	p = put(out, "{\"type\":\"route_suggestion\"");
	p = put_id(p, dialect, id);
	p = put(p, ",\"suggested_sector\":");
	p = put_text(p, route_sector(sector, dialect, o));
	p = put(p, ",\"reason\":");
	p = put_text(p, route_reason(o));
	p = put(p, ",\"debug\":{\"focus_momentum\":");
	if (o->has_momentum)
		p = number_put_double(p, o->momentum);
	else
		p = put(p, "null");
	p = put(p, ",\"time_orientation\":");
	if (o->direction != DIRECTION_NONE) {
		p = put(p, "{\"direction\":");
		p = put_text(p, direction_name(o->direction));
		p = put(p, ",\"strength\":");
		p = number_put_double(p, o->strength);
		p = put(p, "}");
	} else
		p = put(p, "null");
	p = put(p, "}}");
	return (size_t)(p - out);
}

size_t
frame_print_error(char out[FRAME_REPLY_MAX], const char *code,
    const char *message, const char *dist_code)
{
	char *p;

	p = put(out, "{\"type\":\"error\",");
	if (code != NULL) {
		p = put(p, "\"code\":");
		p = put_text(p, code);
		p = put(p, ",");
	}
	p = put(p, "\"message\":");
	p = put_text(p, message);
	if (dist_code != NULL) {
		p = put(p, ",\"dist_code\":");
		p = put_text(p, dist_code);
	}
	p = put(p, "}");
	return (size_t)(p - out);
}
