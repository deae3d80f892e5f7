/*
 * `ltpctl trace': is an audit log what ltpd wrote, and where does it end?
 */
#ifndef TRACE_H
#define TRACE_H

#include <stddef.h>
#include <stdint.h>

struct ltpctl;

/*
 * The last whole line of an audit log: 1, and which index follows it; 0 when
 * the file is empty; -1 when that line is bad or cannot be read, with a text
 * in why.
 */
int trace_head(const char *path, uint64_t *next, char *why, size_t size);

/* The verbs.  They return the exit status. */
int trace_verify_run(struct ltpctl *);
int trace_head_run(struct ltpctl *);

#endif /* TRACE_H */
