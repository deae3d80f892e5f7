/*
 * One ltpctl on the control socket: what it asks, and answers that never
 * make the supervisor wait.  A long answer is made a piece at a time, when
 * the caller has taken the piece before.
 */
#ifndef CALLER_H
#define CALLER_H

#include <sys/queue.h>
#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

struct caller;
struct child;
struct msg;
struct parent;

struct callers {
	struct parent *parent;
	TAILQ_HEAD(, caller) list;
	unsigned count;
	uint32_t last_request; /* of a child's answer */
};

void callers_init(struct callers *);
/* A new connection; takes fd.  uid is whom the kernel says it is.  0 or -1. */
int caller_new(struct callers *, int fd, uid_t uid);
/* Sends what can be sent at once and drops them all. */
void callers_free(struct callers *);

/* Answers of children; false when nobody asked, which is a lie. */
bool callers_sessions_page(struct callers *, struct child *, struct msg *);
bool callers_session_killed(struct callers *, struct child *, struct msg *);
bool callers_keys_page(struct callers *, struct child *, struct msg *);
/* A child has gone: go on without its answer. */
void callers_child_gone(struct callers *, struct child *);

#endif /* CALLER_H */
