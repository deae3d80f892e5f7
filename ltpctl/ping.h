/*
 * `ltpctl ping': is the node there, and how fast does it answer?
 */
#ifndef PING_H
#define PING_H

struct ltpctl;

/* The verb.  Returns the exit status. */
int ping_run(struct ltpctl *);

#endif /* PING_H */
