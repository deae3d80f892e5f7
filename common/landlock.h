/*
 * Landlock: rights that a process gives up for good, and the paths for which
 * it keeps some of them.  Linux only, and by raw system calls with names of
 * our own, since a distribution's header may be years older than its kernel.
 * See landlock(7).
 */
#ifndef LANDLOCK_H
#define LANDLOCK_H

#include <stdint.h>

#define LL_FS_EXECUTE      (1ULL << 0)
#define LL_FS_WRITE_FILE   (1ULL << 1)
#define LL_FS_READ_FILE    (1ULL << 2)
#define LL_FS_READ_DIR     (1ULL << 3)
#define LL_FS_REMOVE_DIR   (1ULL << 4)
#define LL_FS_REMOVE_FILE  (1ULL << 5)
#define LL_FS_MAKE_CHAR    (1ULL << 6)
#define LL_FS_MAKE_DIR     (1ULL << 7)
#define LL_FS_MAKE_REG     (1ULL << 8)
#define LL_FS_MAKE_SOCK    (1ULL << 9)
#define LL_FS_MAKE_FIFO    (1ULL << 10)
#define LL_FS_MAKE_BLOCK   (1ULL << 11)
#define LL_FS_MAKE_SYM     (1ULL << 12)
#define LL_FS_REFER        (1ULL << 13)
#define LL_FS_TRUNCATE     (1ULL << 14)
#define LL_FS_IOCTL_DEV    (1ULL << 15)
#define LL_FS_RESOLVE_UNIX (1ULL << 16)

#define LL_NET_BIND_TCP    (1ULL << 0)
#define LL_NET_CONNECT_TCP (1ULL << 1)
#define LL_NET_BIND_UDP    (1ULL << 2)
#define LL_NET_SEND_UDP    (1ULL << 3)

#define LL_SCOPE_ABSTRACT  (1ULL << 0)
#define LL_SCOPE_SIGNAL    (1ULL << 1)

/* struct landlock_ruleset_attr: the rights that are taken away. */
struct rights {
	uint64_t fs;
	uint64_t net;
	uint64_t scope;
};

/* The version of the kernel's interface, 0 when it has none. */
int landlock_abi(void);

/*
 * A rule set that takes away those of the rights that the kernel knows;
 * they are left in it.  Returns a descriptor, owned by the caller, or -1
 * with errno.
 */
int landlock_ruleset(struct rights *);

/*
 * The rule set leaves these rights (LL_FS_*) below a directory, or to a file.
 * Those that it does not take away, and those that a file cannot have, are
 * passed over.  Returns 0, or -1 with errno.
 */
int landlock_leave(
    int ruleset, const struct rights *taken, const char *path, uint64_t fs);

/* From now on.  Needs no_new_privs.  Returns 0, or -1 with errno. */
int landlock_restrict(int ruleset);

#endif /* LANDLOCK_H */
