/*
 * One socket: its state, its deadlines, what it owns.  client.c moves bytes;
 * what LTP messages mean is session.c.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include <sys/queue.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "count.h"
#include "log.h"
#include "login.h"
#include "monotime.h"
#include "msg.h"
#include "ws.h"

struct session;
struct upgrade;
struct worker;

enum client_state {
	CLIENT_HTTP = 1, /* the upgrade request is coming in */
	CLIENT_SIGN_IN, /* auth is asked about the upgrade */
	CLIENT_OPEN, /* WebSocket frames */
	CLIENT_GREETING, /* auth is asked about a hello */
	CLIENT_CLOSING, /* our last word is said; waiting for the peer's
			    end of file, for a second at most */
};

/* Which of the worker's deadline lists a client is on. */
enum client_timed {
	TIMED_NONE = 0,
	TIMED_GREETING,
	TIMED_LINGERING,
};

struct client {
	TAILQ_ENTRY(client) all;
	TAILQ_ENTRY(client) timed;
	struct worker *worker;
	uint64_t id;
	struct event readable;
	struct event *writable; /* only while output waits */
	int fd;
	uint8_t state; /* enum client_state */
	uint8_t timed_on; /* enum client_timed */
	uint8_t dialect; /* enum conf_dialect; AUTO: not settled */
	bool refused; /* over the cap: holds a refusal, no connection */
	bool keyless; /* its upgrade request offered no credential */
	bool broken; /* the socket failed; free it when served */
	bool shut; /* nothing more is sent */
	bool parked; /* not read from until client_unpark() */
	bool ip_conn; /* its address holds a connection for it */
	bool ip_half_open; /* and a half-open one */

	struct addr peer; /* the socket's other end */
	struct addr client_ip; /* behind a trusted proxy, else the peer */
	uint8_t limit_key[16]; /* of client_ip */

	struct monotime accepted;
	struct monotime deadline; /* of the list that it is on */
	struct monotime seen; /* last valid message */
	struct monotime rate; /* GCRA of messages */
	struct monotime control_rate;
	struct monotime quiet_until; /* no warning about its messages */

	struct upgrade *upgrade; /* until the 101 or the refusal */
	struct login *login; /* while auth is asked */
	struct ws ws;
	uint8_t *held; /* input that arrived while auth is asked */
	size_t held_len;
	uint8_t *out; /* output that the socket did not take yet */
	size_t out_len;
	size_t out_done;

	char *identity; /* proven by a key; NULL: none */
	struct session *session;
	struct session *hello; /* what a hello said, while auth is asked */

	uint64_t messages_in;
	uint64_t messages_out;
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint16_t close_code; /* ours or the peer's, 0: none */
	const char *close_reason; /* static text, for the log */
};

/*
 * Take over a connection that the supervisor handed over; takes fd.
 */
void client_new(struct worker *, int fd, const struct msg_conn *);
/* Close at once and forget it. */
void client_free(struct client *);
uint64_t client_id(const struct client *);
/* What is counted for the worker. */
uint64_t *client_counter(struct client *, enum counter);
/* Whatever auth will say is of no interest any more. */
void client_forget_login(struct client *);

/* There is no memory to go on with it: it ends when it has been served. */
void client_no_memory(struct client *);

/* Everything below ends with client_served(), which writes what was said. */
void client_served(struct client *);

/* An LTP message to the client. */
void client_reply(struct client *, const char *text, size_t len);
/* Say goodbye with a close frame; reason is a static text. */
void client_close(struct client *, uint16_t code, const char *reason);
/* The first valid message has come: no handshake deadline any more. */
void client_greeted(struct client *);
/* Stop taking input until client_signed_in(). */
void client_hold(struct client *);

/* The answer of auth.  id is not NUL-terminated, NULL unless granted. */
void client_signed_in(
    struct client *, enum login_result, const char *id, size_t len);

/* The audit log has room again, or it never will: read on. */
void client_unpark(struct client *);

/* The clock has passed its deadline. */
void client_expired(struct client *);
/* It said nothing valid for too long. */
void client_idle(struct client *);
/* The key that signed it in is no key any more. */
void client_revoked(struct client *);
/* The node is going down. */
void client_shutdown(struct client *);

/*
 * One line about a client: "client 7: what remote_addr=.. client_ip=..
 * client_id=.. reason=".."".  reason is a static text or NULL.
 */
void client_log(const struct client *, enum log_level, const char *what,
    const char *reason);
/*
 * The same as a warning, unless its category had one this second; returns
 * whether it was written.
 */
bool client_warn(
    struct client *, enum log_category, const char *what, const char *reason);

#endif /* CLIENT_H */
