/*
 * The sandbox on Linux: no_new_privs, Landlock, resource limits, then a
 * seccomp filter.  Either Landlock or the filter alone would stop most of what
 * is forbidden; a hole in one is covered by the other.
 *
 * The children see no file, no network and no other process.  The supervisor
 * keeps the directories of its own files, and the programs and libraries that
 * it starts children from; it has no filter, since its children would inherit
 * it through exec.  Landlock nests, and each of them adds its own.
 */
#include "config.h"

#include "sandbox.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <linux/seccomp.h>

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filter.h"
#include "landlock.h"
#include "log.h"

#define NITEMS(a)    (sizeof(a) / sizeof((a)[0]))

#define UNVEILED_MAX 64

/* ---- policies ---- */

/* Files, addresses, other processes: everything. */
static const struct rights everything = {
	UINT64_MAX,
	UINT64_MAX,
	UINT64_MAX,
};

/*
 * All files but what it unveils, and every address: the listening sockets are
 * open.  The log daemon's socket and the service manager's stay within reach,
 * and it signals nobody but its children.
 */
static const struct rights parent_lacks = {
	UINT64_MAX & ~LL_FS_RESOLVE_UNIX,
	UINT64_MAX,
	LL_SCOPE_SIGNAL,
};

struct policy {
	enum role role;
	const struct rights *lacks;
	bool confined; /* filter and resource limits */
	bool writes; /* a file, one that was passed */
};

static const struct policy policies[] = {
	{ ROLE_PARENT, &parent_lacks, false, true },
	{ ROLE_WORKER, &everything, true, false },
	{ ROLE_AUTH, &everything, true, false },
	{ ROLE_METRICS, &everything, true, false },
	{ ROLE_AUDIT, &everything, true, true },
	{ ROLE_SIGN, &everything, true, false },
};

/* What sandbox_demand() takes. */
struct demand {
	const char *word;
	bool landlock;
	bool landlock_optional;
	bool filter;
	bool only_log;
};

static const struct demand demands[] = {
	{ "both", true, false, true, false },
	{ "landlock-optional", true, true, true, false },
#ifdef LTPD_REGRESS_HOOKS
	{ "seccomp", false, false, true, false },
	{ "landlock", true, false, false, false },
	{ "log", true, false, true, true },
	{ "none", false, false, false, false },
#endif
};

/*
 * Of this process: what it must enter, what it unveiled, and, since no call
 * tells which domain a process is in, what Landlock took from it.
 */
static const struct demand *demand = &demands[0];
static struct {
	char *path;
	uint64_t fs;
} unveiled[UNVEILED_MAX];
static size_t nunveiled;
static uint8_t entered_abi;
static struct rights entered_rights;

/* ---- before ---- */

int
sandbox_harden(int parent)
{
	struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    setrlimit(RLIMIT_CORE, &none) == -1)
		return -1;
	if (parent == 0)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1)
		return -1;
	if (getppid() != parent) {
		errno = ESRCH;
		return -1;
	}
	return 0;
}

int
sandbox_demand(const char *word)
{
	size_t i;

	for (i = 0; i < NITEMS(demands); i++) {
		if (strcmp(demands[i].word, word) == 0) {
			demand = &demands[i];
			return 0;
		}
	}
	return -1;
}

const char *
sandbox_demanded(void)
{
	return demand->word;
}

/* ---- paths ---- */

static uint64_t
rights_of(const char *permissions)
{
	static const struct {
		char letter;
		uint64_t fs;
	} letters[] = {
		{ 'r', LL_FS_READ_FILE | LL_FS_READ_DIR },
		{ 'w', LL_FS_WRITE_FILE | LL_FS_TRUNCATE },
		{ 'x', LL_FS_EXECUTE },
		{ 'c', LL_FS_MAKE_REG | LL_FS_MAKE_SOCK | LL_FS_REMOVE_FILE },
	};
	uint64_t fs = 0;
	size_t i;

	for (i = 0; i < NITEMS(letters); i++) {
		if (strchr(permissions, letters[i].letter) != NULL)
			fs |= letters[i].fs;
	}
	return fs;
}

int
sandbox_unveil(const char *path, const char *permissions)
{
	size_t i;

	if (access(path, F_OK) == -1)
		return -1;
	for (i = 0; i < nunveiled; i++) {
		if (strcmp(unveiled[i].path, path) == 0) {
			unveiled[i].fs |= rights_of(permissions);
			return 0;
		}
	}
	if (nunveiled == UNVEILED_MAX) {
		errno = E2BIG;
		return -1;
	}
	if ((unveiled[nunveiled].path = strdup(path)) == NULL)
		return -1;
	unveiled[nunveiled++].fs = rights_of(permissions);
	return 0;
}

/* The directory of a library, and of the loader, which is executed. */
static int
unveil_library(struct dl_phdr_info *info, size_t size, void *arg)
{
	char real[PATH_MAX];

	(void)size;
	(void)arg;
	if (info->dlpi_name == NULL || info->dlpi_name[0] != '/' ||
	    realpath(info->dlpi_name, real) == NULL)
		return 0;
	return sandbox_unveil(dirname(real), "rx");
}

/*
 * What a child needs between fork and its own sandbox.  Directories rather
 * than files, so that an upgrade of a library does not stop the next child.
 */
static int
unveil_surroundings(void)
{
	static const struct {
		const char *path;
		const char *permissions;
	} places[] = {
		{ "/dev/null", "rw" },
		{ "/dev/urandom", "r" },
		{ "/etc/ld.so.cache", "r" },
		{ "/etc/localtime", "r" },
		{ "/etc/ssl/openssl.cnf", "r" },
		{ "/lib", "r" },
		{ "/lib64", "r" },
		{ "/proc", "r" },
		{ "/sys/devices/system/cpu", "r" },
		{ "/usr/lib", "r" },
		{ "/usr/lib64", "r" },
		{ "/usr/local/lib", "r" },
		{ "/usr/share/zoneinfo", "r" },
	};
	size_t i;

	for (i = 0; i < NITEMS(places); i++) {
		if (sandbox_unveil(places[i].path, places[i].permissions) ==
			-1 &&
		    errno != ENOENT)
			return -1;
	}
	return dl_iterate_phdr(unveil_library, NULL);
}

static int
leave_unveiled(int ruleset, const struct rights *taken)
{
	size_t i;

	if (unveil_surroundings() == -1)
		return -1;
	for (i = 0; i < nunveiled; i++) {
		if (landlock_leave(
			ruleset, taken, unveiled[i].path, unveiled[i].fs) == -1)
			return -1;
		free(unveiled[i].path);
	}
	nunveiled = 0;
	return 0;
}

/* ---- entering ---- */

static int
enter_landlock(const struct policy *policy, const char **why)
{
	struct rights lacks = *policy->lacks;
	int abi = landlock_abi(), ruleset, rv = -1, saved;

	if (abi == 0 && demand->landlock_optional) {
		log_warnx("sandbox: the kernel has no Landlock, %s goes "
			  "without",
		    role_name(policy->role));
		return 0;
	}
	*why = "the kernel has no Landlock, and landlock_optional is not set";
	if (abi == 0)
		return -1;
	*why = "landlock: rule set";
	if ((ruleset = landlock_ruleset(&lacks)) == -1)
		return -1;
	*why = "landlock: paths";
	if (policy->role == ROLE_PARENT &&
	    leave_unveiled(ruleset, &lacks) == -1)
		goto out;
	*why = "landlock: restrict";
	if (landlock_restrict(ruleset) == -1)
		goto out;
	entered_abi = (uint8_t)abi;
	entered_rights = lacks;
	rv = 0;
out:
	saved = errno;
	close(ruleset);
	errno = saved;
	return rv;
}

/*
 * Start no process, write no file.  The hard limits stay: the filter does not
 * let the soft ones be raised, and when it cannot be entered, that must still
 * be said on a stderr that is a file.
 */
static int
limits_set(const struct policy *policy, bool confined)
{
	static const __rlimit_resource_t resources[] = { RLIMIT_CORE,
		RLIMIT_FSIZE, RLIMIT_NPROC };
	struct rlimit rl;
	size_t i;

	for (i = 0; i < NITEMS(resources); i++) {
		if (resources[i] == RLIMIT_FSIZE && policy->writes)
			continue;
		if (getrlimit(resources[i], &rl) == -1)
			return -1;
		rl.rlim_cur = confined ? 0 : rl.rlim_max;
		if (setrlimit(resources[i], &rl) == -1)
			return -1;
	}
	return 0;
}

static int
enter_filter(const struct policy *policy, const char **why)
{
	int saved;

	*why = "resource limits";
	if (limits_set(policy, true) == -1)
		return -1;
	*why = "seccomp filter";
	if (filter_enter(policy->role, demand->only_log) == -1) {
		saved = errno;
		limits_set(policy, false);
		errno = saved;
		return -1;
	}
	return 0;
}

static const struct policy *
policy_find(enum role role)
{
	size_t i;

	for (i = 0; i < NITEMS(policies); i++) {
		if (policies[i].role == role)
			return &policies[i];
	}
	return NULL;
}

int
sandbox_enter(enum role role, const char **why)
{
	const struct policy *policy;

	*why = "no policy for this role";
	if ((policy = policy_find(role)) == NULL) {
		errno = EINVAL;
		return -1;
	}
	*why = "no_new_privs";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -1;
	if (demand->landlock && enter_landlock(policy, why) == -1)
		return -1;
	/*
	 * Errors go through the channel by now.  Whoever waits for the end of
	 * stderr shall not wait for us, and with a file size limit of 0 a
	 * stray line there would be deadly.
	 */
	*why = "stderr";
	if (policy->confined && dup2(STDOUT_FILENO, STDERR_FILENO) == -1)
		return -1;
	if (policy->confined && demand->filter &&
	    enter_filter(policy, why) == -1)
		return -1;
	*why = NULL;
	return 0;
}

/*
 * A filter cannot tell recvmsg(2) with descriptors from recvmsg(2) without;
 * the limit can.  It is 1, not 0, since poll(2) takes no more entries than the
 * limit; descriptor 0 is in use.  The other roles need descriptors all their
 * life (auth: new workers, metrics: connections) and set up nothing with calls
 * that they do not use later, so there is nothing to give up.
 */
int
sandbox_tighten(enum role role, const char **why)
{
	struct rlimit one = { 1, 1 };

	*why = "descriptor limit";
	if (role == ROLE_WORKER && setrlimit(RLIMIT_NOFILE, &one) == -1)
		return -1;
	*why = NULL;
	return 0;
}

/* Is a promise one of those in a list? */
static bool
promised(const char *list, const char *promise)
{
	size_t len = strlen(promise);

	while (*list != '\0') {
		list += strspn(list, " ");
		if (strncmp(list, promise, len) == 0 &&
		    (list[len] == ' ' || list[len] == '\0'))
			return true;
		list += strcspn(list, " ");
	}
	return false;
}

int
sandbox_pledge(const char *promises)
{
	static const struct {
		const char *promise;
		struct rights rights;
	} meanings[] = {
		{ "rpath", { LL_FS_READ_FILE | LL_FS_READ_DIR, 0, 0 } },
		{ "wpath", { LL_FS_WRITE_FILE | LL_FS_TRUNCATE, 0, 0 } },
		{ "cpath", { LL_FS_MAKE_REG | LL_FS_REMOVE_FILE | LL_FS_REFER,
			       0, 0 } },
		{ "dns",
		    { LL_FS_READ_FILE | LL_FS_READ_DIR | LL_FS_RESOLVE_UNIX,
			LL_NET_SEND_UDP, 0 } },
		{ "inet", { 0, LL_NET_CONNECT_TCP | LL_NET_BIND_TCP, 0 } },
		{ "tty", { LL_FS_IOCTL_DEV, 0, 0 } },
		{ "unix", { LL_FS_RESOLVE_UNIX, 0, 0 } },
	};
	struct rights lacks = everything;
	int ruleset, rv;
	size_t i;

	if (landlock_abi() == 0)
		return 0;
	for (i = 0; i < NITEMS(meanings); i++) {
		if (promised(promises, meanings[i].promise)) {
			lacks.fs &= ~meanings[i].rights.fs;
			lacks.net &= ~meanings[i].rights.net;
		}
	}
	if ((ruleset = landlock_ruleset(&lacks)) == -1)
		return -1;
	rv = landlock_restrict(ruleset);
	close(ruleset);
	return rv;
}

void
sandbox_report(struct sandbox_state *state)
{
	state->mechanism = entered_abi == 0 ? SANDBOX_NONE : SANDBOX_LANDLOCK;
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER)
		state->mechanism = SANDBOX_SECCOMP;
	state->landlock_abi = entered_abi;
	state->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
	state->dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0;
	state->landlock_fs = (uint32_t)entered_rights.fs;
	state->landlock_net = (uint16_t)entered_rights.net;
	state->landlock_scope = (uint16_t)entered_rights.scope;
}

char *
sandbox_call_name(char buf[SANDBOX_CALL_MAX], int nr)
{
	return filter_call_name(buf, nr);
}
