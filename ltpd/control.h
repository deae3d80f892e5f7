/*
 * ltpctl's socket, and who may connect to it.
 */
#ifndef CONTROL_H
#define CONTROL_H

struct callers;
struct control;
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

/* Who is connected; the children's answers go there. */
struct callers *control_callers(struct control *);

#endif /* CONTROL_H */
