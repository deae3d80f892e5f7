/*
 * The worker's side of the audit log: records of what came in and went out,
 * on their way to ltp-audit, and whether anything may be done that needs
 * one.
 *
 * Records of one turn of the event loop leave with one message, at its end.
 * With audit_required nothing is acted upon that cannot be logged: a worker
 * whose records pile up, or whose ltp-audit is away for less than a second,
 * reads no more from its clients until it is better; when the log cannot be
 * written, messages are refused.  Without it, service comes first, and what
 * is not logged is counted.
 */
#ifndef JOURNAL_H
#define JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "monotime.h"
#include "msg.h"

struct chan;
struct client;
struct event;
struct frame;
struct msg;
struct orientation;
struct worker;

struct journal {
	struct chan *audit; /* NULL: not introduced, or it died */
	struct msg_peer audit_is; /* who that channel leads to */
	bool allowed; /* the log can be written */
	bool parked; /* some client is not read from */
	struct monotime away_until; /* without audit: refuse from then on */
	struct event *flush;
	struct event *away;
	uint8_t *buf; /* records that are not sent yet */
	size_t len;
	size_t size;
	int64_t now_ms; /* wall clock of this turn, 0: not looked at */
};

enum journal_state {
	JOURNAL_OPEN = 1, /* go on */
	JOURNAL_WAIT, /* leave clients unread for a while */
	JOURNAL_SHUT, /* refuse their messages */
};

#define JOURNAL_REFUSAL "audit log is not available"

/* 0 or -1. */
int journal_init(struct worker *);
/* A channel to ltp-audit; takes fd. */
void journal_set_audit(struct worker *, int fd, const struct msg_peer *);
/* MSG_AUDIT_ALLOW */
void journal_allow(struct worker *, const struct msg *);
enum journal_state journal_state(const struct worker *);
/*
 * May a message be acted upon?  If so, there is room for its record and for
 * that of its answer, if the log is required.
 */
bool journal_accepts(struct worker *);
/* The process ends: send what there is. */
void journal_leave(struct worker *);

/* A valid message. */
void journal_message(struct client *, const struct frame *);
/* Replies, refusals among them. */
void journal_hello_ack(struct client *);
void journal_heartbeat_ack(
    struct client *, const struct str *id, const struct str *timestamp);
void journal_suggestion(
    struct client *, const struct str *id, const struct orientation *);
/*
 * code is NULL in the client dialect, dist_code but on the remote listener.
 */
void journal_error(struct client *, const char *code, const char *message,
    const char *dist_code);

#endif /* JOURNAL_H */
