/*
 * The listening sockets: bound here or passed by a service manager, accepted
 * from with a reserve of descriptors, handed to workers in batches.
 */
#ifndef LISTENER_H
#define LISTENER_H

#include <stddef.h>

#include "conf.h"

struct listener;
struct parent;

#define LISTENER_ERROR_MAX 512

/*
 * Open what the configuration names, or take over the sockets that were
 * passed (LISTEN_FDS; the one named "metrics" for the metrics address, the one
 * named "remote" for the remote listener).  NULL with a text in error.
 */
struct listener *
listener_open(const struct conf *, char error[LISTENER_ERROR_MAX]);
/* Closes them all.  NULL is allowed. */
void listener_free(struct listener *);

/* Start accepting; p has a pool by now.  0 or -1. */
int listener_start(struct listener *, struct parent *);
/* Accept no more, for good: the sockets are closed. */
void listener_stop(struct listener *);
/* A worker is ready again, or descriptors may be free. */
void listener_resume(struct listener *);

/* The metrics socket, for ltp-metrics; stays ours. */
int listener_metrics_fd(const struct listener *);
/*
 * "ltp ws://127.0.0.1:7070", "remote wss://127.0.0.1:4141", ..; NULL beyond the last.
 */
const char *listener_text(const struct listener *, size_t i);

#endif /* LISTENER_H */
