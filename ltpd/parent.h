/*
 * The supervisor's state, one struct, and what its files ask of each other.
 */
#ifndef PARENT_H
#define PARENT_H

#include <event2/event.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf.h"
#include "keyfile.h"
#include "metric.h"
#include "monotime.h"
#include "msg.h"

struct auditlog;
struct chan;
struct child;
struct control;
struct keywatch;
struct listener;
struct msg;
struct paths;
struct pool;
struct reload;
struct remotewatch;
struct shared;
struct tlsfiles;
struct tokens;

/* What the command line said; lives as long as the process. */
struct options {
	const char *conf_path; /* NULL: built-in defaults */
	char **defs; /* -D name=value */
	size_t ndefs;
	bool debug; /* -d: foreground, log on stderr */
	unsigned check; /* -n: 1, -nn: 2 */
	unsigned verbose; /* -v: debug, -vv: trace */
};

#define PARENT_ERROR_MAX 512

struct parent {
	const struct options *opts;
	struct paths *paths;
	struct event_base *base;
	struct conf *conf;
	struct conf_env *env;
	struct keyset *base_keys; /* of auth_keys alone */
	struct keyset *keys; /* in force; NULL: nobody is let in */
	struct tokens *tokens; /* in force, of the remote listener */
	struct tlsfiles *tls; /* in force; NULL: no TLS */
	struct tlsfiles *asked; /* that ltp-sign was given last, or NULL */
	uint32_t last_pair; /* number of a certificate and its key */
	unsigned owed; /* verdicts that ltp-sign has not given yet */
	struct remotewatch *remotewatch;
	struct shared *shared;
	int shared_fd;
	struct keywatch *keywatch;
	struct auditlog *auditlog; /* NULL: none is configured */
	struct pool *pool;
	struct listener *listener;
	struct control *control;
	struct reload *reload; /* NULL when none is in progress */
	struct event *signals[5];
	struct event *tick; /* once a second */
	struct event *stop_timer; /* drain no longer than this */
	struct counters counters; /* of all processes that ever were */
	uint64_t next_conn; /* connection ids, from 1 */
	uint32_t generation; /* of the configuration in force */
	uint32_t last_generation; /* that was sent to a child */
	struct monotime started;
	bool ready; /* the whole node was up once */
	bool stopping; /* draining, no child is started again */
	int status; /* what main returns */
	int ready_fd; /* told when the node is up, -1: nobody waits */
};

/*
 * Run the node until it is told to stop.  p has options, conf, env and keys;
 * the listening sockets and the control socket are open; the sandbox is
 * entered.  Returns the exit status.
 */
int parent_run(struct parent *);

/* Drain and leave; returns at once.  A second call changes nothing. */
void parent_stop(struct parent *);
/* The node cannot go on (a child never came up): stop with status 1. */
void parent_fail(struct parent *, const char *fmt, ...) LOG_PRINTF(2, 3);
/* Called by the pool whenever a child has become ready. */
void parent_child_ready(struct parent *, struct child *);
/* Called by the pool when a child has left while stopping. */
void parent_child_left(struct parent *);
/* One message of a child. */
void parent_dispatch_child(struct chan *, struct msg *, void *arg);
/*
 * Open the log and the audit log again.  As auditlog_reopen(): 1 when done
 * will be called, else 0, or -1 with a text.
 */
int parent_rotate(struct parent *, void (*done)(const char *error, void *arg),
    void *arg, char error[PARENT_ERROR_MAX]);
/* Set the log level here and in all children. */
void parent_log_level(struct parent *, enum log_level);

#endif /* PARENT_H */
