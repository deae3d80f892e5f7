/*
 * Passages.
 */
#include "passage.h"

#include <event2/event.h>

#include <stdlib.h>

#include "client.h"
#include "session.h"
#include "upgrade.h"
#include "worker.h"

struct passage *
passage_get(struct client *c)
{
	if (c->passage == NULL &&
	    (c->passage = calloc(1, sizeof(*c->passage))) == NULL)
		client_no_memory(c);
	return c->passage;
}

void
passage_free(struct client *c)
{
	struct passage *p = c->passage;

	c->passage = NULL;
	if (p == NULL)
		return;
	upgrade_free(p->upgrade);
	freezero(p->held, p->held_len);
	session_discard(p->hello);
	free(p->identity);
	free(p->out);
	if (p->writable != NULL)
		event_free(p->writable);
	free(p);
}

bool
passage_is_stuck(const struct client *c)
{
	return c->passage != NULL && c->passage->out != NULL;
}

bool
passage_is_timed(const struct client *c)
{
	return c->passage != NULL && c->passage->timed_on != TIMED_NONE;
}

static struct client_list *
passage_list_of(const struct client *c)
{
	struct worker *w = c->worker;

	if (c->passage->timed_on == TIMED_LINGERING)
		return &w->lingering;
	return c->remote == NULL ? &w->greeting : &w->entering;
}

void
passage_untime(struct client *c)
{
	if (!passage_is_timed(c))
		return;
	TAILQ_REMOVE(passage_list_of(c), c, passage->timed);
	c->passage->timed_on = TIMED_NONE;
}

/* It goes to the end, but for a reload that made the time-out shorter. */
static void
passage_insert(struct client_list *list, struct client *c)
{
	struct client *before;

	TAILQ_FOREACH_REVERSE(before, list, client_list, passage->timed) {
		if (monotime_reached(
			c->passage->deadline, before->passage->deadline))
			break;
	}
	if (before == NULL)
		TAILQ_INSERT_HEAD(list, c, passage->timed);
	else
		TAILQ_INSERT_AFTER(list, before, c, passage->timed);
}

void
passage_time(struct client *c, enum passage_list list, struct monotime deadline)
{
	passage_untime(c);
	c->passage->deadline = deadline;
	c->passage->timed_on = list;
	passage_insert(passage_list_of(c), c);
	worker_set_deadline(c->worker);
}
