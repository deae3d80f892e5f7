/*
 * The control connection: ltpctl asks, the supervisor answers with records
 * and MSG_CTL_END.  Synchronous, with a deadline for every message.  The
 * peer is the supervisor, yet every message is held against the rule table.
 */
#ifndef ASK_H
#define ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msg.h"

#define ASK_TIMEOUT_MS   5000 /* for one message */
#define ASK_SLOW_MS      30000 /* the same, for an answer that is work */
#define ASK_TEXT_MAX     4096
#define ASK_DATAGRAM_MAX (sizeof(struct msg_hdr) + MSG_MAX_PAYLOAD)

struct ask {
	int fd;
	bool greeted; /* the version is agreed on */
	bool absent; /* nobody listens on the socket */
	bool late; /* somebody does, who has not answered in time */
	int timeout_ms; /* for the next message */
	char text[ASK_TEXT_MAX]; /* printable: what failed, or a remark */
	uint8_t buf[ASK_DATAGRAM_MAX];
};

/* One record.  data is valid until the next call and not aligned. */
struct ask_msg {
	enum msg_type type;
	const uint8_t *data;
	size_t len;
};

enum ask_result {
	ASK_FAILED = 0, /* text says why */
	ASK_RECORD,
	ASK_END, /* the answer is complete; text is empty or a remark */
};

/* Connect and agree on the version.  0, or -1 with text. */
int ask_open(struct ask *, const char *path);
void ask_close(struct ask *);

/* One request; after its ASK_END another may follow.  0, or -1 with text. */
int ask_send(struct ask *, enum msg_type, const void *payload, size_t len);
/* The next message of the answer. */
enum ask_result ask_next(struct ask *, struct ask_msg *);
/* A handler found a lie in a record: sets text.  Returns -1. */
int ask_malformed(struct ask *, enum msg_type);

#endif /* ASK_H */
