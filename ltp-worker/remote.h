/*
 * Clients of the remote listener, and the rules that hold for them alone:
 * who they are is proven by a token or a certificate, each message carries
 * the session's id and a number that rises, and what is refused is refused
 * with a code.
 */
#ifndef REMOTE_H
#define REMOTE_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "login.h"
#include "monotime.h"

struct client;
struct credential;
struct frame;
struct str;
struct tls;
struct worker;

/* In the order of COUNT_DIST_*. */
enum dist_code {
	DIST_AUTH_FAILED = 0,
	DIST_REPLAY_DETECTED,
	DIST_SESSION_LIMIT,
	DIST_CONNECTION_LIMIT,
	DIST_MESSAGE_TOO_LARGE,
	DIST_RATE_LIMITED,
	DIST_HANDSHAKE_TIMEOUT,
	DIST_MESSAGE_TIMEOUT,
	DIST__MAX
};

/* What a client of the remote listener has besides struct client. */
struct remote {
	TAILQ_ENTRY(remote) all;
	TAILQ_ENTRY(remote) reading; /* if a message has begun, by deadline */
	struct client *client;
	struct monotime deadline; /* of that message */

	struct tls *tls; /* NULL: plaintext; owned */
	char *certified; /* the id that its certificate proved, NULL: none;
			    owned, set before its first byte of HTTP */

	int64_t seq; /* of the last message that was good */
	struct monotime complaints; /* GCRA of what it is told of its rate */
	uint8_t replays; /* in a row */
	bool begun; /* a message has begun, it is on the list */
	bool over_rate; /* the message that has begun will be dropped */
	bool member; /* it has shown a token */
	bool entering; /* auth is asked for its place, not about its token */
	bool entered; /* auth knows its session */
};

TAILQ_HEAD(remote_list, remote);

struct remote_desk {
	struct remote_list all;
	struct remote_list reading;
};

void remote_init(struct remote_desk *);
/* 0, or -1 when there is no memory. */
int remote_new(struct client *);
/* None is fine. */
void remote_free(struct client *);

/* ---- codes ---- */

/*
 * Refuse what a client said, or the client: an error if the code's row says
 * so, a line in the log, and the close that goes with it.  message is a
 * static text, NULL: that of the row.
 */
void remote_fail(struct client *, enum dist_code, const char *message);
/* The same, and close whatever the row says. */
void remote_end(struct client *, enum dist_code, const char *message);
/* Instead of the upgrade: this status, with the code as its text. */
void remote_refuse(
    struct client *, enum dist_code, unsigned status, const char *reason);
/* Before its TLS handshake is over: without a word, reason is for the log. */
void remote_cut(struct client *, enum dist_code, const char *reason);
/* Sign-in failed: count it for the address, too, and refuse. */
void remote_unauthorized(struct client *, const char *message);

/* ---- who it is ---- */

/* The request is good; may this client come in? */
void remote_check_request(struct client *);
/* Auth has granted its token, of this id, or of none. */
enum login_result remote_identify(struct client *, const char *id, size_t len);
/*
 * A first hello: it is granted, refused, or auth is asked.  Its names are
 * the passage's hello.
 */
void remote_hello(struct client *, const struct frame *);
/* A first message that is no hello. */
void remote_no_hello(struct client *);
/*
 * Auth has answered.  True when the session of the hello is to be made, as
 * *id; else the client was told, or waits again.
 */
bool remote_signed_in(struct client *, enum login_result, struct str *id);
/* Auth need not know its session any more. */
void remote_leave(struct client *);
/* There is a newer session of its id. */
void remote_replaced(struct worker *, uint64_t conn);
/* Another auth: tell it of the sessions that there are. */
void remote_introduce(struct worker *);

/* ---- messages ---- */

/* The header of a message has come. */
void remote_message_begins(struct client *);
/* All of it has; false: it was too many, drop it. */
bool remote_message_ends(struct client *);
/* The input that there was is used up: has a message begun? */
void remote_input_ends(struct client *);
/* No message is waited for any more. */
void remote_quiet(struct client *);
/* May this message of a session be acted upon?  If not, it was refused. */
bool remote_accepts(struct client *, const struct frame *);

/* ---- time ---- */

/* Milliseconds from accept() to the session. */
uint32_t remote_handshake_ms(const struct client *);
/* Milliseconds that it may be silent. */
uint32_t remote_idle_ms(const struct client *);
/* When the first message that has begun should have ended; us 0: none. */
struct monotime remote_deadline(const struct remote_desk *);
void remote_expire(struct worker *);
/* Other settings are in force. */
void remote_commit(struct worker *);

#endif /* REMOTE_H */
