/*
 * Keys: where they come from, and noticing that they changed.
 *
 * A look reads the file and compares what it says with what is in force;
 * only a difference starts a reload of the keys.  A file that cannot be read
 * or makes no sense may have been caught half-written, so it is looked at
 * once more before it counts as a failure.
 */
#include "keys.h"

#include <event2/event.h>

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "parent.h"
#include "reload.h"
#include "watch.h"

#define KEYS_SECOND_LOOK_MS 100

struct keywatch {
	struct parent *parent;
	struct watch *watch;
	struct event *interval;
	struct event *again; /* the second look, or one that must wait */
	bool failed_once; /* the next look is the second one */
	char error[KEYFILE_ERROR_MAX]; /* the failure that was reported */
};

/* ---- putting them together ---- */

struct keyset *
keys_read_base(
    struct conf *conf, const struct keyset *old, char error[KEYFILE_ERROR_MAX])
{
	bool from_env = conf_keys_from_environment(conf);
	struct keyset *base;

	if (conf->auth_keys != NULL)
		base = keyset_parse(conf->auth_keys,
		    from_env ? KEY_SOURCE_ENVIRONMENT : KEY_SOURCE_CONFIG,
		    error);
	else
		base =
		    from_env && old != NULL ? keyset_copy(old) : keyset_new();
	conf_forget(conf);
	return base;
}

struct keyset *
keys_read_file(const struct conf *conf, const struct keyset *base,
    char error[KEYFILE_ERROR_MAX])
{
	struct keyset *file, *all;

	if (conf->auth_mode == AUTH_MODE_NONE)
		return keyset_new();
	if (conf->auth_keys_file == NULL)
		return keyset_merge(base, NULL, error);
	if ((file = keyfile_load(conf->auth_keys_file, error)) == NULL)
		return NULL;
	all = keyset_merge(base, file, error);
	keyset_free(file);
	return all;
}

/* ---- looking ---- */

static void
keywatch_look_later(struct keywatch *kw)
{
	struct timeval tv = { .tv_usec = KEYS_SECOND_LOOK_MS * 1000 };

	evtimer_add(kw->again, &tv);
}

static void
keywatch_failed(struct keywatch *kw, const char *error)
{
	struct parent *p = kw->parent;
	bool open; /* and must not be */

	if (!kw->failed_once) {
		kw->failed_once = true;
		keywatch_look_later(kw);
		return;
	}
	/* An event brought us here before the time. */
	if (evtimer_pending(kw->again, NULL))
		return;
	kw->failed_once = false;
	p->counters.n[COUNT_KEYS_RELOAD_FAILURE]++;
	open =
	    p->keys != NULL && p->conf->reload_failure != RELOAD_FAILURE_KEEP;
	/* Said before; but a reload may have let people in again since. */
	if (strcmp(kw->error, error) == 0 && !open)
		return;
	strlcpy(kw->error, error, sizeof(kw->error));
	if (!open) {
		log_at(LEVEL_ERROR, "%s: %s", error,
		    p->keys == NULL ? "new handshakes are refused"
				    : "the last good keys are kept");
		return;
	}
	log_at(LEVEL_ERROR, "%s: new handshakes are refused", error);
	reload_keys(p, NULL);
}

static void
keywatch_look(struct keywatch *kw)
{
	struct parent *p = kw->parent;
	char error[KEYFILE_ERROR_MAX];
	struct keyset *keys;

	if (p->conf->auth_keys_file == NULL || p->stopping)
		return;
	if (p->reload != NULL || !p->ready) {
		keywatch_look_later(kw);
		return;
	}
	/* The way to the file may be another one now. */
	watch_path(kw->watch, p->conf->auth_keys_file);
	keys = keys_read_file(p->conf, p->base_keys, error);
	if (keys == NULL) {
		keywatch_failed(kw, error);
		return;
	}
	kw->failed_once = false;
	if (p->keys != NULL && keyset_equal(keys, p->keys)) {
		if (kw->error[0] != '\0')
			log_info("keys: good again, nothing has changed");
		keyset_free(keys);
	} else {
		reload_keys(p, keys);
	}
	kw->error[0] = '\0';
}

static void
keywatch_changed(void *arg)
{
	keywatch_look(arg);
}

static void
keywatch_timer(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	keywatch_look(arg);
}

struct keywatch *
keywatch_new(struct parent *p)
{
	struct keywatch *kw;

	if ((kw = calloc(1, sizeof(*kw))) == NULL)
		return NULL;
	kw->parent = p;
	kw->watch = watch_new(p->base, keywatch_changed, kw);
	kw->interval = event_new(p->base, -1, EV_PERSIST, keywatch_timer, kw);
	kw->again = evtimer_new(p->base, keywatch_timer, kw);
	if (kw->watch == NULL || kw->interval == NULL || kw->again == NULL) {
		keywatch_free(kw);
		return NULL;
	}
	keywatch_follow(kw);
	return kw;
}

void
keywatch_free(struct keywatch *kw)
{
	if (kw == NULL)
		return;
	watch_free(kw->watch);
	if (kw->interval != NULL)
		event_free(kw->interval);
	if (kw->again != NULL)
		event_free(kw->again);
	free(kw);
}

void
keywatch_follow(struct keywatch *kw)
{
	const struct conf *conf = kw->parent->conf;
	struct timeval tv = { .tv_sec = conf->auth_keys_reload_interval_secs };
	const char *path =
	    conf->auth_mode == AUTH_MODE_NONE ? NULL : conf->auth_keys_file;

	if (watch_path(kw->watch, path) == -1 && path != NULL)
		log_warn("keys: %s is not watched", path);
	event_del(kw->interval);
	if (path != NULL)
		event_add(kw->interval, &tv);
}
