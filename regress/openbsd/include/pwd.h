/* getpwnam(3). */
#ifndef OPENBSD_PWD_H
#define OPENBSD_PWD_H

#include <sys/types.h>

struct passwd {
	char *pw_name;
	uid_t pw_uid;
	gid_t pw_gid;
	char *pw_dir;
};

struct passwd *getpwnam(const char *);
struct passwd *getpwuid(uid_t);

#endif /* OPENBSD_PWD_H */
