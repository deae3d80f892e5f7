/*
 * Watching with kqueue(2).
 */
#include "watch.h"

#include <sys/types.h>
#include <sys/event.h>
#include <sys/time.h>

#include <event2/event.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define WATCH_DIRS_MAX  64
#define WATCH_SETTLE_MS 20

struct watch {
	void (*changed)(void *);
	void *arg;
	int kq;
	struct event *readable;
	struct event *settled;
	int dir[WATCH_DIRS_MAX];
	size_t count;
};

static void
watch_readable(int fd, short what, void *arg)
{
	struct timeval tv = { .tv_usec = WATCH_SETTLE_MS * 1000 };
	struct timespec now = { .tv_sec = 0 };
	struct watch *w = arg;
	struct kevent ev[16];

	(void)what;
	while (kevent(fd, NULL, 0, ev, 16, &now) > 0)
		continue;
	if (!evtimer_pending(w->settled, NULL))
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
	if ((w->kq = kqueue()) == -1 ||
	    fcntl(w->kq, F_SETFD, FD_CLOEXEC) == -1) {
		free(w);
		return NULL;
	}
	w->readable =
	    event_new(base, w->kq, EV_READ | EV_PERSIST, watch_readable, w);
	w->settled = evtimer_new(base, watch_settled, w);
	if (w->readable == NULL || w->settled == NULL ||
	    event_add(w->readable, NULL) == -1) {
		watch_free(w);
		errno = ENOMEM;
		return NULL;
	}
	return w;
}

static void
watch_forget(struct watch *w)
{
	size_t i;

	for (i = 0; i < w->count; i++)
		close(w->dir[i]);
	w->count = 0;
}

void
watch_free(struct watch *w)
{
	if (w == NULL)
		return;
	watch_forget(w);
	if (w->readable != NULL)
		event_free(w->readable);
	if (w->settled != NULL)
		event_free(w->settled);
	close(w->kq);
	free(w);
}

static int
watch_add(const char *dir, void *arg)
{
	struct watch *w = arg;
	struct kevent ev;
	int fd;

	if (w->count == WATCH_DIRS_MAX) {
		errno = E2BIG;
		return -1;
	}
	if ((fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return -1;
	EV_SET(&ev, fd, EVFILT_VNODE, EV_ADD | EV_CLEAR,
	    NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_DELETE | NOTE_RENAME,
	    0, NULL);
	if (kevent(w->kq, &ev, 1, NULL, 0, NULL) == -1) {
		close(fd);
		return -1;
	}
	w->dir[w->count++] = fd;
	return 0;
}

int
watch_path(struct watch *w, const char *path)
{
	watch_forget(w);
	return path == NULL ? 0 : watch_each_dir(path, watch_add, w);
}

int
watch_also(struct watch *w, const char *path)
{
	return watch_each_dir(path, watch_add, w);
}
