/*
 * No sandbox, for --disable-sandbox: a build for debuggers and sanitizers, so
 * it stays dumpable, too.  It is said at every start, and the reports say it.
 */
#include <sys/types.h>
#include <sys/resource.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "sandbox.h"

int
sandbox_harden(int parent)
{
	struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none) == -1)
		return -1;
	if (parent == 0)
		return 0;
#ifdef __linux__
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1)
		return -1;
#endif
	if (getppid() != parent) {
		errno = ESRCH;
		return -1;
	}
	return 0;
}

/* Demands are about mechanisms of Linux; those of every build make sense. */
int
sandbox_demand(const char *word)
{
	return strcmp(word, "both") == 0 ||
		       strcmp(word, "landlock-optional") == 0
		   ? 0
		   : -1;
}

const char *
sandbox_demanded(void)
{
	return "both";
}

int
sandbox_unveil(const char *path, const char *permissions)
{
	(void)path;
	(void)permissions;
	return 0;
}

int
sandbox_enter(enum role role, const char **why)
{
	log_warnx(
	    "sandbox: none is built in, %s runs without", role_name(role));
	*why = NULL;
	return 0;
}

int
sandbox_tighten(enum role role, const char **why)
{
	(void)role;
	*why = NULL;
	return 0;
}

int
sandbox_pledge(const char *promises)
{
	(void)promises;
	return 0;
}

void
sandbox_report(struct sandbox_state *state)
{
	state->mechanism = SANDBOX_NONE;
	state->landlock_abi = 0;
	state->landlock_fs = 0;
	state->landlock_net = state->landlock_scope = 0;
	state->no_new_privs = 0;
	state->dumpable = 1;
#ifdef __linux__
	state->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
	state->dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0;
#endif
}

/* Not known by name here. */
char *
sandbox_call_name(char buf[SANDBOX_CALL_MAX], int nr)
{
	snprintf(buf, SANDBOX_CALL_MAX, "call %d", nr);
	return buf;
}
