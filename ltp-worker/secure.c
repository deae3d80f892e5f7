/*
 * TLS handshakes.  A client is served by secure_event() until its handshake is
 * over, and like all others from then on, so that those pay nothing for it.
 */
#include "secure.h"

#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "handshake.h"
#include "remote.h"
#include "tls.h"
#include "worker.h"

static void secure_go_on(struct client *);

static void
secure_event(int fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	(void)what;
	worker_wake(c->worker);
	secure_go_on(c);
}

/* ltp-sign has answered. */
static void
secure_resume(void *arg)
{
	struct client *c = arg;

	worker_wake(c->worker);
	secure_go_on(c);
}

static void
secure_wait(struct client *c, short what)
{
	int fd = event_get_fd(&c->readable);

	if ((event_get_events(&c->readable) & what) == 0) {
		event_del(&c->readable);
		event_assign(&c->readable, c->worker->base, fd,
		    (short)(what | EV_PERSIST), secure_event, c);
	}
	if (event_add(&c->readable, NULL) == -1)
		client_no_memory(c);
}

static void
secure_done(struct client *c)
{
	struct remote *r = c->remote;
	const char *id = tls_identity(r->tls);

	++*client_counter(c, COUNT_TLS_HANDSHAKES);
	if (id != NULL && (r->certified = strdup(id)) == NULL)
		client_no_memory(c);
	client_secured(c);
}

/* Behind a proxy there is no telling yet whose failure it is. */
static void
secure_count_failure(struct client *c)
{
	++*client_counter(c, COUNT_DIST_AUTH_FAILED);
	if (c->proxied)
		++*client_counter(c, COUNT_AUTH_FAILURES);
	else
		handshake_count_failure(c);
}

/* The alert is said; leave the peer a moment to read it. */
static void
secure_failed(struct client *c)
{
	struct remote *r = c->remote;
	const char *what = "tls handshake failed";

	++*client_counter(c, COUNT_TLS_HANDSHAKE_FAILURES);
	if (tls_blames_certificate(r->tls)) {
		secure_count_failure(c);
		what = "tls handshake failed dist_code=dist.auth_failed";
	}
	c->passage->close_reason = tls_reason(r->tls);
	client_warn(c, CATEGORY_HANDSHAKE, what, tls_reason(r->tls));
	client_insecure(c);
}

static void
secure_go_on(struct client *c)
{
	switch (tls_handshake(c->remote->tls)) {
	case TLS_DONE:
		secure_done(c);
		return;
	case TLS_FAILED:
		secure_failed(c);
		return;
	case TLS_READ:
		secure_wait(c, EV_READ);
		break;
	case TLS_WRITE:
		secure_wait(c, EV_WRITE);
		break;
	case TLS_SIGN:
		event_del(&c->readable);
		break;
	}
	client_served(c);
}

int
secure_new(struct client *c)
{
	int fd = event_get_fd(&c->readable);

	if ((c->remote->tls = tls_new(c->worker->tls, fd)) == NULL)
		return -1;
	tls_set_resume(c->remote->tls, secure_resume, c);
	c->state = CLIENT_TLS;
	event_del(&c->readable);
	event_assign(&c->readable, c->worker->base, fd, EV_READ | EV_PERSIST,
	    secure_event, c);
	return event_add(&c->readable, NULL);
}

void
secure_expired(struct client *c)
{
	remote_cut(c, DIST_HANDSHAKE_TIMEOUT, "handshake timeout");
}
