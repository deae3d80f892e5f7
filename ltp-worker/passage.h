/*
 * What a client needs while it comes in, while it goes, and while it does not
 * take its answers; and its deadlines, which it has only then.
 */
#ifndef PASSAGE_H
#define PASSAGE_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "monotime.h"

struct client;
struct event;
struct login;
struct session;
struct upgrade;

/* Which of the worker's deadline lists a client is on. */
enum passage_list {
	TIMED_NONE = 0,
	TIMED_GREETING,
	TIMED_LINGERING,
};

/* A client with a session that keeps up has none of this. */
struct passage {
	TAILQ_ENTRY(client) timed;
	enum passage_list timed_on;
	struct monotime deadline; /* of the list that it is on */

	struct upgrade *upgrade; /* until the 101 or the refusal */
	bool keyless; /* that request offered no credential */
	struct login *login; /* while auth is asked */
	uint8_t *held; /* input that arrived meanwhile */
	size_t held_len;
	struct session *hello; /* what a hello said, meanwhile */
	char *identity; /* a proven id; then it is the session's */
	uint8_t source; /* enum identity_source, of that */

	uint8_t *out; /* output that the socket did not take yet */
	size_t out_len;
	size_t out_done;
	struct event *writable;

	bool shut; /* nothing more is sent */
	uint16_t close_code; /* ours or the peer's, 0: none */
	const char *close_reason; /* static text, for the log */
};

/* The client's, or a new one; NULL: there is no memory, and it will end. */
struct passage *passage_get(struct client *);
/* With all that it owns; none is fine. */
void passage_free(struct client *);

/* Be on this list until then, and on no other. */
void passage_time(struct client *, enum passage_list, struct monotime);
void passage_untime(struct client *);
bool passage_is_timed(const struct client *);
/* Is there output that the socket did not take? */
bool passage_is_stuck(const struct client *);

#endif /* PASSAGE_H */
