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
#include "json.h"
#include "log.h"
#include "login.h"
#include "monotime.h"
#include "msg.h"
#include "passage.h"
#include "ws.h"

struct remote;
struct session;
struct worker;

enum client_state {
	CLIENT_TLS = 1, /* its handshake; see secure.c */
	CLIENT_HTTP, /* the upgrade request is coming in */
	CLIENT_SIGN_IN, /* auth is asked about the upgrade */
	CLIENT_OPEN, /* WebSocket frames */
	CLIENT_GREETING, /* auth is asked about a hello */
	CLIENT_CLOSING, /* our last word is said; waiting for the peer's
			    end of file, for a second at most */
};

/*
 * Most of the node's memory is these, so there is nothing in it that an idle
 * session does not need.
 */
struct client {
	TAILQ_ENTRY(client) all;
	struct event readable;
	struct worker *worker;
	struct passage *passage; /* NULL only when there is a session */
	struct session *session;
	struct remote *remote; /* NULL: not by the remote listener */
	struct ws ws;

	uint64_t id;
	uint64_t messages_in;
	uint64_t messages_out;
	uint64_t bytes_in;
	uint64_t bytes_out;
	struct monotime accepted;
	struct monotime rate; /* GCRA of messages */
	struct monotime control_rate;
	uint32_t seen_ms; /* its age when the last valid message came */

	struct addr addr; /* its own; the peer's as long as nobody knows */
	uint8_t state: 3; /* enum client_state */
	uint8_t dialect: 2; /* enum conf_dialect; AUTO: not settled */
	bool refused: 1; /* over the cap: holds a refusal, no connection */
	bool proxied: 1; /* the peer is a proxy, and it is in proxy[] */
	uint8_t identity: 2; /* enum identity_source, of the session */
	bool broken: 1; /* the socket failed; free it when served */
	bool starved: 1; /* no memory was left for it */
	bool parked: 1; /* not read from until client_unpark() */
	bool ip_conn: 1; /* its address holds a connection for it */
	bool ip_half_open: 1; /* and a half-open one */
	struct addr proxy[];
};

/*
 * Take over a connection that the supervisor handed over; takes fd.
 */
void client_new(struct worker *, int fd, const struct msg_conn *);
/* The socket's other end. */
const struct addr *client_peer(const struct client *);
/* The id that is proven, empty: none has.  Points into the client. */
struct str client_identity(const struct client *);
/* Milliseconds since it was accepted, modulo 2^32. */
uint32_t client_age_ms(const struct client *);
/* A valid message has come. */
void client_seen(struct client *);
/* Milliseconds since that, or since the client itself came. */
uint32_t client_idle_ms(const struct client *);
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

/* Its TLS handshake is done; serve what came behind it. */
void client_secured(struct client *);
/* Its TLS handshake has failed: nothing more is said. */
void client_insecure(struct client *);

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

/* The connection has ended. */
void client_log_end(const struct client *);

#endif /* CLIENT_H */
