#include <stdlib.h>
#include <string.h>

#include "child.h"
#include "log.h"
#include "peers.h"

static void
peer_dispatch(struct chan *ch, struct msg *m, void *arg)
{
	struct peer *peer = arg;

	peer->all->ops->message(peer, m);
	/* Who does not take answers is not asked for more questions. */
	if (chan_queued(ch) > CHAN_LOW_WATER)
		chan_pause(ch, true);
}

static void
peer_writable(struct chan *ch, void *arg)
{
	(void)arg;
	chan_pause(ch, false);
}

static void
peer_gone(struct chan *ch, enum chan_end end, void *arg)
{
	struct peer *peer = arg;

	if (end == CHAN_VIOLATION) {
		log_warnx("worker: %s", chan_violation(ch));
		child_accuse(peer->all->parent, &peer->who);
	}
	peer_end(peer);
}

static const struct chan_ops peer_chan_ops = {
	.message = peer_dispatch,
	.gone = peer_gone,
	.writable = peer_writable,
};

void
peers_init(struct peers *all, enum role me, struct chan *parent,
    const struct peer_ops *ops)
{
	TAILQ_INIT(&all->list);
	all->me = me;
	all->parent = parent;
	all->ops = ops;
}

struct peer *
peers_take(struct peers *all, struct msg *m)
{
	struct peer *peer;

	if ((peer = calloc(1, all->ops->size)) == NULL)
		fatal("worker");
	peer->all = all;
	memcpy(&peer->who, m->data, sizeof(peer->who));
	peer->ch = chan_new(chan_base(all->parent), m->fds[0], all->me,
	    ROLE_WORKER, &peer_chan_ops, peer);
	if (peer->ch == NULL)
		fatal("worker");
	m->fds[0] = -1;
	TAILQ_INSERT_TAIL(&all->list, peer, entry);
	return peer;
}

void
peer_end(struct peer *peer)
{
	if (peer->all->ops->gone != NULL)
		peer->all->ops->gone(peer);
	TAILQ_REMOVE(&peer->all->list, peer, entry);
	chan_free(peer->ch);
	free(peer);
}
