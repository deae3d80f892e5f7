/* getgrnam(3). */
#ifndef OPENBSD_GRP_H
#define OPENBSD_GRP_H

#include <sys/types.h>

struct group {
	char *gr_name;
	gid_t gr_gid;
};

struct group *getgrnam(const char *);
struct group *getgrgid(gid_t);
int setgroups(int, const gid_t *);

#endif /* OPENBSD_GRP_H */
