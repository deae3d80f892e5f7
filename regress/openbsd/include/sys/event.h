/* kqueue(2). */
#ifndef OPENBSD_SYS_EVENT_H
#define OPENBSD_SYS_EVENT_H

#include <sys/types.h>

struct timespec;
struct kevent {
	uintptr_t ident;
	short filter;
	unsigned short flags;
	unsigned int fflags;
	int64_t data;
	void *udata;
};
#define EV_SET(kevp, a, b, c, d, e, f)               \
	do {                                         \
		struct kevent *openbsd_kev = (kevp); \
		openbsd_kev->ident = (a);            \
		openbsd_kev->filter = (b);           \
		openbsd_kev->flags = (c);            \
		openbsd_kev->fflags = (d);           \
		openbsd_kev->data = (e);             \
		openbsd_kev->udata = (f);            \
	} while (0)
#define EVFILT_VNODE (-4)
#define EV_ADD       0x0001
#define EV_CLEAR     0x0020
#define NOTE_DELETE  0x0001
#define NOTE_WRITE   0x0002
#define NOTE_EXTEND  0x0004
#define NOTE_ATTRIB  0x0008
#define NOTE_LINK    0x0010
#define NOTE_RENAME  0x0020

int kqueue(void);
int kevent(int, const struct kevent *, int, struct kevent *, int,
    const struct timespec *);

#endif /* OPENBSD_SYS_EVENT_H */
