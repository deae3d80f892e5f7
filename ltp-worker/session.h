/*
 * The LTP session of a connection: dialects, greetings, orientation, route
 * suggestions (LTP node protocol, section 2).  A session belongs to its
 * connection and ends with it.
 */
#ifndef SESSION_H
#define SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "digest.h"
#include "json.h"
#include "login.h"
#include "monotime.h"
#include "route.h"

struct client;

/* A name may be LTP_ID_MAX bytes long; most are short. */
struct session {
	struct orientation *orientation; /* NULL: it never said */
	uint32_t made_ms; /* after its client was accepted */
	uint16_t client_id_len;
	uint16_t tag_len; /* of session_tag or client_label */
	bool has_id; /* session dialect */
	bool over; /* its place is given back; only its names are of use */
	char text[]; /* client_id, tag, UUID_SIZE bytes of an id */
};

/* They point into the session. */
struct str session_client_id(const struct session *);
struct str session_tag(const struct session *);
/* The id that the node gave, in out; empty in the client dialect. */
const char *session_id(const struct session *, char out[UUID_TEXT_SIZE]);

/* A text message; it is spoiled. */
void session_text(struct client *, char *text, size_t len);
void session_binary(struct client *);
/* Auth has answered about a hello's credential. */
void session_signed_in(struct client *, enum login_result);
/* Ends the session, gives its place back.  None is fine. */
void session_end(struct client *);
/* Ends and forgets it. */
void session_free(struct client *);
/* Forgets what is no client's session yet.  NULL is allowed. */
void session_discard(struct session *);

#endif /* SESSION_H */
