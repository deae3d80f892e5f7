/*
 * ltpctl's socket: who may connect, what may be asked, and answers that
 * never make the supervisor wait.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include <stdbool.h>

struct child;
struct control;
struct msg;
struct parent;

#define CONTROL_ERROR_MAX 512

/*
 * Make the socket (0660, in a directory that is ours or root's alone; a
 * stale one is replaced, a live one is an error).  NULL with a text in
 * error.
 */
struct control *control_open(
    const char *path, const char *group, char error[CONTROL_ERROR_MAX]);
/* Drops every client and removes the socket.  NULL is allowed. */
void control_free(struct control *);
int control_start(struct control *, struct parent *);

/* Answers of workers; false when nobody asked, which is a lie. */
bool control_sessions_page(struct control *, struct child *, struct msg *);
bool control_session_killed(struct control *, struct child *, struct msg *);
/* A worker has gone: go on without its answer. */
void control_child_gone(struct control *, struct child *);

#endif /* CONTROL_H */
