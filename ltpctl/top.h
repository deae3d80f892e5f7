/*
 * `ltpctl top': the node at work, refreshed.
 */
#ifndef TOP_H
#define TOP_H

struct ltpctl;

/* The verb.  Returns the exit status. */
int top_run(struct ltpctl *);

#endif /* TOP_H */
