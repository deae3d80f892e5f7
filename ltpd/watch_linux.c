/*
 * Watching with inotify(7).
 */
#include "watch.h"

#include <sys/inotify.h>

#include <event2/event.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WATCH_DIRS_MAX 64
/* A file that is being replaced causes several events; one look is enough. */
#define WATCH_SETTLE_MS 20

#define WATCH_EVENTS                                                \
	(IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_CLOSE_WRITE | \
	    IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)

struct watch {
	void (*changed)(void *);
	void *arg;
	int fd;
	struct event *readable;
	struct event *settled;
	int wd[WATCH_DIRS_MAX];
	size_t count;
};

/*
 * Whether anything happened.  A watch that was given up says so by an event,
 * too, and watch_path() gives up all: to look for that would never end.
 */
static bool
watch_has_news(const char *buf, size_t len)
{
	struct inotify_event ev;
	size_t at;

	for (at = 0; at + sizeof(ev) <= len; at += sizeof(ev) + ev.len) {
		memcpy(&ev, buf + at, sizeof(ev));
		if (!(ev.mask & IN_IGNORED))
			return true;
	}
	return false;
}

static void
watch_readable(int fd, short what, void *arg)
{
	struct timeval tv = { .tv_usec = WATCH_SETTLE_MS * 1000 };
	struct watch *w = arg;
	bool news = false;
	char buf[4096];
	ssize_t n;

	(void)what;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		if (watch_has_news(buf, (size_t)n))
			news = true;
	}
	if (news && !evtimer_pending(w->settled, NULL))
		evtimer_add(w->settled, &tv);
}

static void
watch_settled(int fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd;
	(void)what;
	w->changed(w->arg);
}

struct watch *
watch_new(struct event_base *base, void (*changed)(void *), void *arg)
{
	struct watch *w;

	if ((w = calloc(1, sizeof(*w))) == NULL)
		return NULL;
	w->changed = changed;
	w->arg = arg;
	if ((w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) == -1) {
		free(w);
		return NULL;
	}
	w->readable =
	    event_new(base, w->fd, EV_READ | EV_PERSIST, watch_readable, w);
	w->settled = evtimer_new(base, watch_settled, w);
	if (w->readable == NULL || w->settled == NULL ||
	    event_add(w->readable, NULL) == -1) {
		watch_free(w);
		errno = ENOMEM;
		return NULL;
	}
	return w;
}

void
watch_free(struct watch *w)
{
	if (w == NULL)
		return;
	if (w->readable != NULL)
		event_free(w->readable);
	if (w->settled != NULL)
		event_free(w->settled);
	close(w->fd);
	free(w);
}

static int
watch_add(const char *dir, void *arg)
{
	struct watch *w = arg;
	size_t i;
	int wd;

	if ((wd = inotify_add_watch(w->fd, dir, WATCH_EVENTS)) == -1)
		return -1;
	/* The same directory gives the same number again. */
	for (i = 0; i < w->count; i++) {
		if (w->wd[i] == wd)
			return 0;
	}
	if (w->count == WATCH_DIRS_MAX) {
		inotify_rm_watch(w->fd, wd);
		errno = E2BIG;
		return -1;
	}
	w->wd[w->count++] = wd;
	return 0;
}

int
watch_path(struct watch *w, const char *path)
{
	size_t i;

	for (i = 0; i < w->count; i++)
		inotify_rm_watch(w->fd, w->wd[i]);
	w->count = 0;
	return path == NULL ? 0 : watch_each_dir(path, watch_add, w);
}

int
watch_also(struct watch *w, const char *path)
{
	return watch_each_dir(path, watch_add, w);
}
