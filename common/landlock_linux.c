/*
 * Landlock.  What the kernel does not know yet cannot be taken away; what it
 * knows is a matter of its version.
 */
#include "landlock.h"

#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

/* The same numbers on every architecture. */
#define LL_CREATE_RULESET 444
#define LL_ADD_RULE       445
#define LL_RESTRICT_SELF  446

#define LL_VERSION        (1U << 0) /* a flag of LL_CREATE_RULESET */
#define LL_PATH_BENEATH   1 /* a type of rule */

/* struct landlock_path_beneath_attr */
struct path_rule {
	uint64_t rights;
	int32_t fd;
} __attribute__((__packed__));

/* The rights that a file, which is no directory, can have. */
#define LL_FS_OF_FILES                                                         \
	(LL_FS_EXECUTE | LL_FS_WRITE_FILE | LL_FS_READ_FILE | LL_FS_TRUNCATE | \
	    LL_FS_IOCTL_DEV | LL_FS_RESOLVE_UNIX)

#define LL_FS_FIRST (LL_FS_MAKE_SYM | (LL_FS_MAKE_SYM - 1))

/* What each version of the interface brought. */
static const struct {
	int abi;
	struct rights rights;
} versions[] = {
	{ 1, { LL_FS_FIRST, 0, 0 } },
	{ 2, { LL_FS_REFER, 0, 0 } },
	{ 3, { LL_FS_TRUNCATE, 0, 0 } },
	{ 4, { 0, LL_NET_BIND_TCP | LL_NET_CONNECT_TCP, 0 } },
	{ 5, { LL_FS_IOCTL_DEV, 0, 0 } },
	{ 6, { 0, 0, LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL } },
	{ 9, { LL_FS_RESOLVE_UNIX, 0, 0 } },
	{ 10, { 0, LL_NET_BIND_UDP | LL_NET_SEND_UDP, 0 } },
};

int
landlock_abi(void)
{
	long abi;

	abi = syscall(LL_CREATE_RULESET, NULL, (size_t)0, LL_VERSION);
	return abi > 0 ? (int)abi : 0;
}

int
landlock_ruleset(struct rights *r)
{
	struct rights known = { 0, 0, 0 };
	int abi = landlock_abi();
	size_t i;

	for (i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		if (versions[i].abi > abi)
			break;
		known.fs |= versions[i].rights.fs;
		known.net |= versions[i].rights.net;
		known.scope |= versions[i].rights.scope;
	}
	r->fs &= known.fs;
	r->net &= known.net;
	r->scope &= known.scope;
	/* A struct longer than the kernel's is taken if the rest is zero. */
	return (int)syscall(LL_CREATE_RULESET, r, sizeof(*r), 0);
}

int
landlock_leave(
    int ruleset, const struct rights *taken, const char *path, uint64_t fs)
{
	struct path_rule rule = { .rights = fs & taken->fs };
	struct stat st;
	int rv = -1, saved;

	if ((rule.fd = open(path, O_PATH | O_CLOEXEC)) == -1)
		return -1;
	if (fstat(rule.fd, &st) == 0) {
		if (!S_ISDIR(st.st_mode))
			rule.rights &= LL_FS_OF_FILES;
		rv = rule.rights == 0 ? 0
				      : (int)syscall(LL_ADD_RULE, ruleset,
					    LL_PATH_BENEATH, &rule, 0);
	}
	saved = errno;
	close(rule.fd);
	errno = saved;
	return rv;
}

int
landlock_restrict(int ruleset)
{
	return (int)syscall(LL_RESTRICT_SELF, ruleset, 0);
}
