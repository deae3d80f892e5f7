/*
 * Sign-ins under way: questions to ltp-auth and its answers.  The key is
 * here until it is sent, and nowhere in the worker after that.
 */
#ifndef LOGIN_H
#define LOGIN_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "monotime.h"
#include "msg.h"

struct chan;
struct client;
struct credential;
struct str;
struct worker;

enum login_result {
	LOGIN_GRANTED = 1,
	LOGIN_REFUSED,
	LOGIN_UNAVAILABLE, /* auth has no usable key */
	LOGIN_GONE, /* auth is not there */
	LOGIN_LIMITED, /* its address has failed too often, it may be right */
};

struct login;

struct login_desk {
	struct chan *auth; /* NULL: not introduced, or it died */
	struct msg_peer auth_is; /* who that channel leads to */
	TAILQ_HEAD(, login) pending;
	uint32_t last_serial;
	bool asked_who; /* once is enough for an honest auth */
};

void login_init(struct login_desk *);
/* A channel to ltp-auth; takes fd. */
void login_set_auth(struct worker *, int fd, const struct msg_peer *);
/*
 * Ask for a client.  The answer comes as client_signed_in(), never from
 * inside this call.  NULL when there is no memory.
 */
struct login *
login_ask(struct worker *, struct client *, const struct credential *);
/*
 * Ask for a place among the agents, likewise.  id in lower case; proven: not
 * only claimed.
 */
struct login *login_enter(
    struct worker *, struct client *, const struct str *id, bool proven);
/* An agent has gone, or does not want the place any more. */
void login_agent_left(struct worker *, uint64_t conn);
/* One that another auth knew. */
void login_agent_here(
    struct worker *, uint64_t conn, const struct str *id, bool proven);
/* A client that had signed in as this id has gone. */
void login_left(struct worker *, const char *id, size_t len);
/* The client is not interested any more. */
void login_cancel(struct worker *, struct login *);
/* When the first question that could not be asked times out; us 0: none. */
struct monotime login_deadline(const struct login_desk *);
/* Answer LOGIN_GONE to those whose time is up. */
void login_expire(struct worker *);

#endif /* LOGIN_H */
