/*
 * All that the running node says of itself over the control socket: what
 * doctor looks at.
 */
#ifndef NODEVIEW_H
#define NODEVIEW_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>

#include "ask.h"
#include "conf.h"

#define NODEVIEW_TEXT_MAX 160

struct nodeview_process {
	TAILQ_ENTRY(nodeview_process) entry;
	struct msg_process p;
};

struct nodeview_listener {
	TAILQ_ENTRY(nodeview_listener) entry;
	char kind[16]; /* "ltp", "metrics", "remote" */
	char url[NODEVIEW_TEXT_MAX];
};

struct nodeview_key {
	TAILQ_ENTRY(nodeview_key) entry;
	struct msg_ctl_key k;
	char id[LTP_ID_MAX + 1];
};

struct nodeview {
	bool up; /* all of what follows is known */
	bool denied; /* there is a node, but we may not ask it */
	bool stuck; /* we may, but it does not answer, or not in our language */
	char text[ASK_TEXT_MAX]; /* why it is not up */
	struct msg_ctl_summary summary;
	char version[NODEVIEW_TEXT_MAX];
	TAILQ_HEAD(, nodeview_process) processes; /* the supervisor first */
	TAILQ_HEAD(, nodeview_listener) listeners;
	TAILQ_HEAD(, nodeview_key) keys; /* and tokens */
	/*
	 * What it runs with.  Secrets have no value, but an origin that tells
	 * whether they were given.
	 */
	struct conf *conf;
};

void nodeview_init(struct nodeview *);
/* Ask; up, or text says why not. */
void nodeview_ask(struct nodeview *, const char *socket);
void nodeview_free(struct nodeview *);

#endif /* NODEVIEW_H */
