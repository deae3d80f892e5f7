/*
 * Canonical frames for the audit log: what a message said, members sorted at
 * every level, absent ones null, without credentials and unknown members,
 * numbers in the one form that all readers agree on.  A frame is printed in
 * two parts, around the place of its "env", which is ltp-audit's to fill.
 */
#ifndef TRACE_H
#define TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "json.h"
#include "msg.h"
#include "route.h"

/* What a frame says, of any message, in or out. */
struct trace {
	unsigned members; /* enum trace_member: those that it has */
	unsigned given; /* of them, those that are not null */
	unsigned chosen; /* of them, those that a client chose */
	bool hash; /* SHA-256 in place of what a client chose */
	struct str client_id;
	struct str client_label;
	struct str code;
	struct str dist_code;
	struct str hint_sector;
	struct str identity;
	struct str message;
	struct str node_id;
	struct str reason;
	struct str seq; /* decimal */
	struct str session_id;
	struct str session_tag;
	struct str suggested_sector;
	struct str type;
	bool hint_custom; /* it was {"Custom":".."} */
	struct str timestamp; /* decimal */
	struct orientation orientation;
};

/* Bits, in the order of the names. */
enum trace_member {
	TRACE_ACCEPTED = 1 << 0,
	TRACE_CLIENT_ID = 1 << 1,
	TRACE_CLIENT_LABEL = 1 << 2,
	TRACE_CODE = 1 << 3,
	TRACE_DEBUG = 1 << 4,
	TRACE_DIST_CODE = 1 << 5,
	TRACE_MOMENTUM = 1 << 6,
	TRACE_HINT = 1 << 7,
	TRACE_IDENTITY = 1 << 8,
	TRACE_MESSAGE = 1 << 9,
	TRACE_NODE_ID = 1 << 10,
	TRACE_REASON = 1 << 11,
	TRACE_SEQ = 1 << 12,
	TRACE_SESSION_ID = 1 << 13,
	TRACE_SESSION_TAG = 1 << 14,
	TRACE_SECTOR = 1 << 15,
	TRACE_TIME = 1 << 16,
	TRACE_TIMESTAMP = 1 << 17,
	TRACE_TYPE = 1 << 18,
	TRACE_V = 1 << 19,
};

/*
 * Begin a frame.  identity is what a key has proven, NULL: nothing; hash as
 * above.  All strings must outlive the trace.
 */
void trace_init(struct trace *, const struct str *identity, bool hash);

/*
 * One of these, then trace_print().  own_id is the session id that the node
 * gave, which no client chose; empty in the client dialect.
 */
void trace_of_message(struct trace *, enum conf_dialect, const struct frame *,
    const char *own_id);
void trace_of_hello_ack(
    struct trace *, const struct str *node_id, const char *own_id);
void trace_of_heartbeat_ack(struct trace *, enum conf_dialect,
    const struct str *id, const struct str *timestamp);
/* sector must outlive the trace, too. */
void
trace_of_suggestion(struct trace *, enum conf_dialect, const struct str *id,
    const struct orientation *, char sector[ROUTE_SECTOR_MAX]);
/*
 * A message of the remote listener, besides: its number, and its session
 * whatever the dialect.
 */
void trace_of_remote(struct trace *, const struct frame *, const char *own_id);
/*
 * code is NULL in the client dialect, dist_code but on the remote listener.
 */
void trace_of_error(struct trace *, const char *code, const char *message,
    const char *dist_code);

/* Returns the length, and in *before that of the part before "env". */
size_t
trace_print(char out[AUDIT_FRAME_MAX], const struct trace *, size_t *before);

#endif /* TRACE_H */
