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

/* The lists stay sorted: the time-outs are constants but for a reload. */
void
passage_time(struct client *c, enum passage_list list, struct monotime deadline)
{
	passage_untime(c);
	c->passage->deadline = deadline;
	c->passage->timed_on = list;
	TAILQ_INSERT_TAIL(passage_list_of(c), c, passage->timed);
	worker_set_deadline(c->worker);
}
