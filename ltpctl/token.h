/*
 * `ltpctl token': tokens of the remote listener.
 */
#ifndef TOKEN_H
#define TOKEN_H

struct ltpctl;

/* The verb.  Returns the exit status. */
int token_generate_run(struct ltpctl *);

#endif /* TOKEN_H */
