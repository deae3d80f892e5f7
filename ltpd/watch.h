/*
 * Being told when a file may have changed: written, replaced, removed, its
 * mode changed, or one of the symbolic links on its path turned elsewhere
 * (mounted secrets rotate that way).  What is watched are the directories,
 * so a report says "look again" and no more.  watch_linux.c uses inotify(7),
 * watch_openbsd.c kqueue(2).
 */
#ifndef WATCH_H
#define WATCH_H

struct event_base;
struct watch;

/* changed is called some time after an event, once for several.  NULL with
 * errno. */
struct watch *
watch_new(struct event_base *, void (*changed)(void *), void *arg);
/* NULL is allowed. */
void watch_free(struct watch *);
/*
 * Watch this path and forget the last one.  Call it again after a change,
 * since the way to the file may be another one.  NULL: watch nothing.  0, or
 * -1 with errno when some directory cannot be watched.
 */
int watch_path(struct watch *, const char *path);
/* Watch this one, too. */
int watch_also(struct watch *, const char *path);

/*
 * For the implementations: call fn for every directory that holds a name on
 * the way of path to its file, links followed.  0, or -1 with errno.
 */
typedef int watch_dir(const char *dir, void *arg);
int watch_each_dir(const char *path, watch_dir *, void *arg);

#endif /* WATCH_H */
