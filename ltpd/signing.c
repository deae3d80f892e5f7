/*
 * Passing pairs to ltp-sign.
 *
 * It keeps the pair before the last one, since handshakes may be under way
 * with it.  So when a pair that it was given did not come into force, the one
 * that is in force is given to it once more before the next.
 */
#include "signing.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "log.h"
#include "parent.h"
#include "pool.h"
#include "reload.h"
#include "tlsfiles.h"

static int
signing_send(struct parent *p, struct tlsfiles *f)
{
	struct child *c = p->pool->sign;
	struct msg_conf_tls m;
	int fds[2];

	/*
	 * Where to read from is one place for us and all copies; ltp-sign sets
	 * it, and may be reading by an earlier one now.
	 */
	fds[0] = dup(f->fd);
	fds[1] = dup(f->key_fd);
	if (fds[0] == -1 || fds[1] == -1) {
		if (fds[0] != -1)
			close(fds[0]);
		if (fds[1] != -1)
			close(fds[1]);
		return -1;
	}
	tlsfiles_describe(f, p->conf, &m);
	p->owed++;
	return chan_send_fds(c->ch, MSG_SIGN_PAIR, fds, 2, &m, sizeof(m));
}

static void
signing_pass(struct parent *p, struct tlsfiles *f)
{
	/* It gets them when it is started. */
	if (p->pool->sign->ch == NULL)
		return;
	if (signing_send(p, f) == -1)
		pool_kill(p->pool->sign, "cannot be given its key");
}

struct tlsfiles *
signing_ask(struct parent *p, struct tlsfiles *f)
{
	struct tlsfiles *last = p->asked;

	if (tlsfiles_equal(f, p->tls)) {
		tlsfiles_unref(f);
		return tlsfiles_ref(p->tls);
	}
	if (last != NULL && last->state != TLSFILES_BAD &&
	    tlsfiles_equal(f, last)) {
		tlsfiles_unref(f);
		return tlsfiles_ref(last);
	}
	if (last != NULL && last != p->tls && last->state != TLSFILES_BAD)
		signing_pass(p, p->tls);
	tlsfiles_unref(last);
	f->pair = ++p->last_pair;
	f->state = TLSFILES_ASKED;
	p->asked = tlsfiles_ref(f);
	signing_pass(p, f);
	return f;
}

void
signing_give_up(struct parent *p, struct tlsfiles *f, const char *why)
{
	if (f->state != TLSFILES_ASKED)
		return;
	f->state = TLSFILES_BAD;
	strlcpy(f->why, why, sizeof(f->why));
	reload_judged(p, f);
}

/* Those in force, which a new ltp-sign was given. */
static void
signing_again(struct parent *p, bool good, const char *why)
{
	if (good) {
		pool_sign_usable(p->pool);
		return;
	}
	p->counters.n[COUNT_TLS_RELOAD_FAILURE]++;
	log_at(LEVEL_ERROR,
	    "distributed.tls: %s: no key to sign with, new handshakes fail",
	    why);
}

/* The first answer of all: the node can start, or cannot. */
static void
signing_first(struct parent *p, bool good, const char *why)
{
	if (p->stopping)
		return;
	if (!good) {
		parent_fail(p, "distributed.tls: %s", why);
		return;
	}
	p->tls->state = TLSFILES_GOOD;
	pool_sign_usable(p->pool);
	if (pool_start_others(p->pool) == -1)
		parent_fail(p, "children cannot be started");
}

/* It goes to the log and to terminals. */
static void
signing_copy_why(char why[SIGN_WHY_MAX + 1], const uint8_t *text, size_t len)
{
	size_t i;

	for (i = 0; i < len && i < SIGN_WHY_MAX; i++)
		why[i] =
		    (char)(text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
	why[i] = '\0';
}

bool
signing_loaded(struct parent *p, struct msg *m)
{
	struct msg_sign_loaded loaded;
	struct tlsfiles *f = p->asked;
	char why[SIGN_WHY_MAX + 1];

	memcpy(&loaded, m->data, sizeof(loaded));
	if (p->owed == 0 || loaded.good > 1 || loaded.pair == 0 ||
	    loaded.pair > p->last_pair)
		return false;
	p->owed--;
	signing_copy_why(
	    why, m->data + sizeof(loaded), m->len - sizeof(loaded));
	if (p->tls != NULL && loaded.pair == p->tls->pair) {
		if (p->tls->state == TLSFILES_ASKED)
			signing_first(p, loaded.good, why);
		else
			signing_again(p, loaded.good, why);
		return true;
	}
	/* Too late, or superseded. */
	if (f == NULL || loaded.pair != f->pair || f->state != TLSFILES_ASKED)
		return true;
	f->state = loaded.good ? TLSFILES_GOOD : TLSFILES_BAD;
	strlcpy(f->why, why, sizeof(f->why));
	/* It has a key now, whatever became of the one before. */
	if (loaded.good)
		pool_sign_usable(p->pool);
	reload_judged(p, f);
	return true;
}

/* An ltp-sign that was started meanwhile was given those before. */
void
signing_adopted(struct parent *p)
{
	if (p->asked != p->tls)
		signing_pass(p, p->tls);
}

int
signing_equip(struct parent *p)
{
	if (p->tls->state == TLSFILES_NEW) {
		p->tls->pair = ++p->last_pair;
		p->tls->state = TLSFILES_ASKED;
	}
	if (signing_send(p, p->tls) == -1)
		return -1;
	if (p->asked == NULL || p->asked == p->tls ||
	    p->asked->state != TLSFILES_ASKED)
		return 0;
	return signing_send(p, p->asked);
}

void
signing_child_gone(struct parent *p)
{
	p->owed = 0;
	/* A new one has not been given it. */
	if (p->asked == NULL || p->asked == p->tls)
		return;
	if (p->asked->state == TLSFILES_ASKED)
		signing_give_up(p, p->asked, "ltp-sign has died");
	tlsfiles_unref(p->asked);
	p->asked = NULL;
}

void
signing_free(struct parent *p)
{
	tlsfiles_unref(p->asked);
	tlsfiles_unref(p->tls);
	p->asked = p->tls = NULL;
}
