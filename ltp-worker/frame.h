/*
 * LTP messages <-> JSON: section 2 of the LTP node protocol, both dialects.
 * What a message must and may hold is a table; what it means is session.c's
 * business.
 */
#ifndef FRAME_H
#define FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "msg.h"
#include "route.h"

enum frame_type {
	FRAME_NONE = 0, /* absent, unknown, or no string */
	FRAME_HELLO,
	FRAME_HEARTBEAT,
	FRAME_ORIENTATION,
	FRAME_ROUTE_REQUEST,
};

/* Members, as bits of struct frame's masks. */
enum frame_field {
	FIELD_CLIENT_ID = 1 << 0,
	FIELD_SESSION_ID = 1 << 1,
	FIELD_SESSION_TAG = 1 << 2,
	FIELD_CLIENT_LABEL = 1 << 3,
	FIELD_AUTH_TOKEN = 1 << 4,
	FIELD_API_KEY = 1 << 5,
	FIELD_TIMESTAMP = 1 << 6,
	FIELD_MOMENTUM = 1 << 7,
	FIELD_TIME = 1 << 8, /* time_orientation */
	FIELD_HINT = 1 << 9,
	FIELD_SEQ = 1 << 10, /* remote listener; never in frame_fields() */
};

struct frame {
	enum frame_type type;
	unsigned present; /* fields that are there, null ones not */
	unsigned bad; /* fields of a wrong type, length or range */
	struct str client_id;
	struct str session_id;
	struct str session_tag;
	struct str client_label;
	struct str auth_token; /* at most AUTH_KEY_MAX bytes, as api_key */
	struct str api_key;
	struct str hint_sector;
	bool hint_custom; /* it was {"Custom":".."} */
	struct str timestamp; /* as it came: an int64_t in decimal */
	struct str seq; /* likewise */
	double focus_momentum;
	enum direction direction;
	double strength;
};

/*
 * Parse a text message; it is spoiled, the strings of out lie in it.
 * Returns false when it is not one acceptable JSON object.
 */
bool frame_parse(struct json *, char *text, size_t len, struct frame *out);

/*
 * Is it a valid message of a dialect: a known type with every member that
 * must be there, and none of its members bad?
 */
bool frame_valid(const struct frame *, enum conf_dialect);
/* The fields that a message of a dialect may have; 0: there is none. */
unsigned frame_fields(enum conf_dialect, enum frame_type);
/* "hello", ..; NULL for FRAME_NONE. */
const char *frame_type_name(enum frame_type);
/*
 * The dialect that a connection speaks whose first JSON object this is.
 */
enum conf_dialect frame_dialect(const struct frame *);

/*
 * Replies.  Each returns the length of the text written to out.
 */
#define FRAME_REPLY_MAX 4096

/* session_id is NULL when the client is not to know one. */
size_t frame_print_hello_ack(char out[FRAME_REPLY_MAX],
    const struct str *node_id, const struct str *session_id);
size_t frame_print_heartbeat_ack(char out[FRAME_REPLY_MAX], enum conf_dialect,
    const struct str *id, const struct str *timestamp);
size_t frame_print_suggestion(char out[FRAME_REPLY_MAX], enum conf_dialect,
    const struct str *id, const struct orientation *);
/*
 * code is NULL in the client dialect, dist_code but on the remote listener.
 */
size_t frame_print_error(char out[FRAME_REPLY_MAX], const char *code,
    const char *message, const char *dist_code);

#endif /* FRAME_H */
