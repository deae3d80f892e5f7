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

struct session {
	struct monotime made;
	struct orientation orientation;
	bool over; /* its place is given back; only its names are of use */
	char session_id[UUID_TEXT_SIZE]; /* session dialect; else empty */
	struct str client_id; /* both point into text */
	struct str tag; /* session_tag or client_label */
	char text[];
};

/* A text message; it is spoiled. */
void session_text(struct client *, char *text, size_t len);
void session_binary(struct client *);
/* Auth has answered about a hello's credential. */
void session_signed_in(struct client *, enum login_result);
/* Ends the session, gives its place back.  None is fine. */
void session_end(struct client *);
/* Ends and forgets it. */
void session_free(struct client *);

#endif /* SESSION_H */
