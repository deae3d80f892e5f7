/*
 * Watching the remote listener's files.
 *
 * A look reads the files and compares them with what is in force; only a
 * difference starts a reload of that part.  What is bad may have been caught
 * half-written, or between two files of which one was replaced, so it is
 * looked at once more before it counts as a failure.
 */
#include "remotewatch.h"

#include <event2/event.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "parent.h"
#include "pool.h"
#include "reload.h"
#include "tlsfiles.h"
#include "tokens.h"
#include "watch.h"

/* Two files are replaced one after the other, perhaps by hand. */
#define SECOND_LOOK_MS 500
/* Another reload is in progress. */
#define LATER_MS  100

#define PATHS_MAX 4
#define ERROR_MAX 512

_Static_assert(ERROR_MAX >= TOKENS_ERROR_MAX, "one buffer for both");
_Static_assert(ERROR_MAX >= TLSFILES_ERROR_MAX, "one buffer for both");

struct look;

/* One kind of files. */
struct kind {
	const char *name;
	/* Those to be watched, how many. */
	size_t (*paths)(const struct parent *, const char *path[PATHS_MAX]);
	void (*look)(struct look *);
	/* Said twice. */
	void (*failed)(struct look *, const char *error);
};

struct look {
	const struct kind *kind;
	struct parent *parent;
	struct watch *watch;
	struct event *again; /* the second look, or one that must wait */
	struct event *interval; /* not every file system tells of changes */
	bool failed_once; /* the next look is the second one */
	char error[ERROR_MAX]; /* the failure that was reported */
};

enum {
	LOOK_TOKENS = 0,
	LOOK_TLS,
	KINDS
};

struct remotewatch {
	struct look look[KINDS];
};

static void
look_after(struct look *l, int ms)
{
	struct timeval tv = { .tv_usec = ms * 1000 };

	evtimer_add(l->again, &tv);
}

static void
look_failed(struct look *l, const char *error)
{
	if (!l->failed_once) {
		l->failed_once = true;
		look_after(l, SECOND_LOOK_MS);
		return;
	}
	/* An event brought us here before the time. */
	if (evtimer_pending(l->again, NULL))
		return;
	l->failed_once = false;
	if (strcmp(l->error, error) == 0)
		return;
	strlcpy(l->error, error, sizeof(l->error));
	l->kind->failed(l, error);
}

static void
look_good(struct look *l, bool same)
{
	l->failed_once = false;
	evtimer_del(l->again);
	if (same && l->error[0] != '\0')
		log_info("%s: good again, nothing has changed", l->kind->name);
	l->error[0] = '\0';
}

/* ---- tokens ---- */

static size_t
tokens_paths(const struct parent *p, const char *path[PATHS_MAX])
{
	const struct conf_distributed *d = &p->conf->distributed;
	size_t n = 0;

	if (!d->enabled || !(d->auth_mode & DISTRIBUTED_AUTH_TOKEN))
		return 0;
	if (d->token_path != NULL)
		path[n++] = d->token_path;
	if (d->token_prev_path != NULL)
		path[n++] = d->token_prev_path;
	return n;
}

static void
tokens_look(struct look *l)
{
	struct parent *p = l->parent;
	char error[TOKENS_ERROR_MAX];
	struct tokens *t;

	if ((t = tokens_read(p->conf, p->tokens, error)) == NULL) {
		look_failed(l, error);
		return;
	}
	if (tokens_equal(t, p->tokens)) {
		tokens_free(t);
		look_good(l, true);
		return;
	}
	look_good(l, false);
	reload_tokens(p, t);
}

static void
tokens_failed(struct look *l, const char *error)
{
	struct parent *p = l->parent;
	struct tokens *t;

	p->counters.n[COUNT_TOKENS_RELOAD_FAILURE]++;
	if (p->conf->reload_failure == RELOAD_FAILURE_KEEP) {
		log_at(LEVEL_ERROR, "%s: the last good tokens are kept", error);
		return;
	}
	log_at(
	    LEVEL_ERROR, "%s: new handshakes with a token are refused", error);
	if (p->tokens->shut)
		return;
	if ((t = tokens_copy(p->tokens)) == NULL) {
		log_warn("tokens");
		return;
	}
	t->shut = true;
	reload_tokens(p, t);
}

/* ---- certificates ---- */

static size_t
tls_paths(const struct parent *p, const char *path[PATHS_MAX])
{
	const struct conf_tls *tls = &p->conf->distributed.tls;
	size_t n = 0;

	if (!p->conf->distributed.enabled || !tls->enabled)
		return 0;
	path[n++] = tls->cert_path;
	path[n++] = tls->key_path;
	if (tls->client_ca_path != NULL)
		path[n++] = tls->client_ca_path;
	if (tls->client_crl_path != NULL)
		path[n++] = tls->client_crl_path;
	return n;
}

static void
tls_look(struct look *l)
{
	struct parent *p = l->parent;
	char error[TLSFILES_ERROR_MAX];
	struct tlsfiles *f;

	if ((f = tlsfiles_read(p->conf, error)) == NULL) {
		look_failed(l, error);
	} else if (tlsfiles_equal(f, p->tls)) {
		tlsfiles_unref(f);
		look_good(l, true);
	} else if (p->asked != NULL && p->asked->state == TLSFILES_BAD &&
		   tlsfiles_equal(f, p->asked)) {
		/* What ltp-sign thinks of them is known. */
		tlsfiles_unref(f);
		snprintf(
		    error, sizeof(error), "distributed.tls: %s", p->asked->why);
		look_failed(l, error);
	} else {
		reload_tls(p, f);
	}
}

static void
tls_failed(struct look *l, const char *error)
{
	l->parent->counters.n[COUNT_TLS_RELOAD_FAILURE]++;
	log_at(
	    LEVEL_ERROR, "%s: the certificate and key in use are kept", error);
}

/* ---- looking ---- */

static const struct kind kinds[KINDS] = {
	[LOOK_TOKENS] = { "tokens", tokens_paths, tokens_look, tokens_failed },
	[LOOK_TLS] = { "certificates", tls_paths, tls_look, tls_failed },
};

/* The ways to the files may be others now.  False: there are none. */
static bool
look_watch(struct look *l)
{
	const char *path[PATHS_MAX];
	size_t i, n = l->kind->paths(l->parent, path);

	watch_path(l->watch, NULL);
	for (i = 0; i < n; i++) {
		if (watch_also(l->watch, path[i]) == -1)
			log_warn(
			    "%s: %s is not watched", l->kind->name, path[i]);
	}
	return n > 0;
}

static void
look_now(struct look *l)
{
	struct parent *p = l->parent;

	if (p->stopping)
		return;
	if (p->reload != NULL || !p->ready)
		look_after(l, LATER_MS);
	else if (look_watch(l))
		l->kind->look(l);
}

static void
look_changed(void *arg)
{
	look_now(arg);
}

static void
look_timer(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	look_now(arg);
}

struct remotewatch *
remotewatch_new(struct parent *p)
{
	struct remotewatch *rw;
	struct look *l;
	size_t i;

	if ((rw = calloc(1, sizeof(*rw))) == NULL)
		return NULL;
	for (i = 0; i < KINDS; i++) {
		l = &rw->look[i];
		l->kind = &kinds[i];
		l->parent = p;
		l->watch = watch_new(p->base, look_changed, l);
		l->again = evtimer_new(p->base, look_timer, l);
		l->interval = event_new(p->base, -1, EV_PERSIST, look_timer, l);
		if (l->watch == NULL || l->again == NULL ||
		    l->interval == NULL) {
			remotewatch_free(rw);
			return NULL;
		}
	}
	remotewatch_follow(rw);
	return rw;
}

void
remotewatch_free(struct remotewatch *rw)
{
	size_t i;

	if (rw == NULL)
		return;
	for (i = 0; i < KINDS; i++) {
		watch_free(rw->look[i].watch);
		if (rw->look[i].again != NULL)
			event_free(rw->look[i].again);
		if (rw->look[i].interval != NULL)
			event_free(rw->look[i].interval);
	}
	free(rw);
}

static void
look_follow(struct look *l)
{
	const struct conf *conf = l->parent->conf;
	struct timeval tv = { .tv_sec = conf->auth_keys_reload_interval_secs };

	event_del(l->interval);
	if (look_watch(l))
		event_add(l->interval, &tv);
}

void
remotewatch_follow(struct remotewatch *rw)
{
	size_t i;

	for (i = 0; i < KINDS; i++)
		look_follow(&rw->look[i]);
}

void
remotewatch_told_tokens(struct remotewatch *rw, const char *error)
{
	struct look *l = &rw->look[LOOK_TOKENS];

	strlcpy(l->error, error, sizeof(l->error));
}

void
remotewatch_told_tls(struct remotewatch *rw, const char *error)
{
	struct look *l = &rw->look[LOOK_TLS];

	strlcpy(l->error, error, sizeof(l->error));
}

void
remotewatch_refused(struct remotewatch *rw, const char *why)
{
	look_failed(&rw->look[LOOK_TLS], why);
}
