/*
 * The worker's state, one struct.
 */
#ifndef WORKER_H
#define WORKER_H

#include <sys/queue.h>

#include <event2/event.h>

#include <stdbool.h>
#include <stdint.h>

#include "count.h"
#include "journal.h"
#include "login.h"
#include "metric.h"
#include "monotime.h"
#include "msg.h"
#include "output.h"
#include "remote.h"
#include "settings.h"

#define WORKER_READ_MAX (32 * 1024) /* bytes taken from a socket at once */

struct chan;
struct client;
struct json;
struct shared;
struct tls_desk;

TAILQ_HEAD(client_list, client);

struct worker {
	struct event_base *base;
	struct chan *parent;
	unsigned slot;
	struct settings *settings; /* in force; NULL before the first commit */
	struct settings *next; /* being received or waiting for commit */
	struct shared *shared;
	struct json *json;
	struct login_desk logins;
	struct journal journal;
	struct remote_desk remotes;
	struct tls_desk *tls; /* NULL before it is needed */
	struct count count;
	struct monotime now; /* when the current wake-up began */

	struct client_list clients; /* all, by rising connection id */
	struct client_list greeting; /* no valid message yet, by deadline */
	struct client_list entering; /* the same of the remote listener */
	struct client_list lingering; /* closing, by deadline */
	size_t nclients;

	struct event *deadline; /* the next of all these */
	struct event *janitor;
	struct event *drain; /* what is left then is cut off */
	bool draining;

	struct output output; /* of the client that is being served */
	uint8_t input[WORKER_READ_MAX];
};

/* A new wake-up: look at the clock, once. */
void worker_wake(struct worker *);
/* Some deadline may have become the next one. */
void worker_set_deadline(struct worker *);
/* A client has gone; ends the process when it was the last to drain. */
void worker_client_gone(struct worker *);

#endif /* WORKER_H */
