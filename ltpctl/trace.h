/*
 * `ltpctl trace': is an audit log what ltpd wrote, and where does it end?
 */
#ifndef TRACE_H
#define TRACE_H

struct ltpctl;

/* The verbs.  They return the exit status. */
int trace_verify_run(struct ltpctl *);
int trace_head_run(struct ltpctl *);

#endif /* TRACE_H */
