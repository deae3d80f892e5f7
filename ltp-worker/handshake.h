/*
 * The way in: from the first byte of an upgrade request to the 101, or to a
 * refusal that says why (LTP node protocol, section 1).
 */
#ifndef HANDSHAKE_H
#define HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "count.h"
#include "login.h"

struct client;

/* Returns how much of the input belonged to the request. */
size_t handshake_input(struct client *, const uint8_t *, size_t len);
/* Auth has answered about the request's credential. */
void handshake_signed_in(struct client *, enum login_result);
/*
 * Answer with this status and close.  body is what the client reads, reason
 * what the log says; both are static texts.
 */
void handshake_refuse(struct client *, unsigned status, enum log_category,
    const char *body, const char *reason);
/* The same, with what the log calls it. */
void handshake_refuse_as(struct client *, unsigned status, enum log_category,
    const char *what, const char *body, const char *reason);
/* Answer with 101. */
void handshake_accept(struct client *);
/* Not the node's limit is reached, but that of the client's address. */
void handshake_refuse_address(struct client *);
/* A sign-in failed; so many in a minute, and the address is refused. */
void handshake_count_failure(struct client *);

/* Has the address had so many?  Then no key of it is even looked at. */
bool handshake_too_many_failures(struct client *);
/* An upgrade of it gets 429. */
void handshake_refuse_guesses(struct client *);

#endif /* HANDSHAKE_H */
