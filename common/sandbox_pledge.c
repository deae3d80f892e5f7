/*
 * The sandbox on OpenBSD: pledge(2), and unveil(2) so that a promise too many
 * would still show a child no file.  The supervisor unveils its own paths
 * before it enters; from then on the list is closed.
 */
#include <sys/types.h>
#include <sys/resource.h>

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sandbox.h"

struct policy {
	enum role role;
	const char *promises;
	const char *tightened; /* NULL: nothing to give up */
	bool blind; /* sees no file at all */
};

static const struct policy policies[] = {
	/*
	 * files: configuration, keys, log; sockets: listening and control;
	 * processes: start, signal and (ps) measure the children.  exec
	 * passes no promises on, each child makes its own.
	 */
	{ ROLE_PARENT,
	    "stdio rpath wpath cpath fattr inet unix proc exec sendfd ps", NULL,
	    false },
	/* passed descriptors, memory; no more descriptors while draining. */
	{ ROLE_WORKER, "stdio recvfd", "stdio", true },
	/* passed descriptors, memory; a new worker may come at any time. */
	{ ROLE_AUTH, "stdio recvfd", NULL, true },
	/* the same; its file is open for reading, appending and cutting. */
	{ ROLE_AUDIT, "stdio recvfd", NULL, true },
	/* the same as auth; its key file comes open. */
	{ ROLE_SIGN, "stdio recvfd", NULL, true },
	/* the same as auth, and to accept; the listener comes once. */
	{ ROLE_METRICS, "stdio inet recvfd", "stdio inet", true },
};

static const struct policy *
policy_find(enum role role)
{
	size_t i;

	for (i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		if (policies[i].role == role)
			return &policies[i];
	}
	return NULL;
}

/*
 * There is no death signal here: a child leaves when its channel ends, and
 * until then holds nothing that it did not hold before.
 */
int
sandbox_harden(int parent)
{
	struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none) == -1)
		return -1;
	if (parent != 0 && getppid() != parent) {
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
	return unveil(path, permissions);
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
	/* Errors go through the channel by now; nobody shall wait for us. */
	*why = "stderr";
	if (policy->blind && dup2(STDOUT_FILENO, STDERR_FILENO) == -1)
		return -1;
	*why = "unveil";
	if (policy->blind && unveil("/", "") == -1)
		return -1;
	if (unveil(NULL, NULL) == -1)
		return -1;
	*why = "pledge";
	if (pledge(policy->promises, NULL) == -1)
		return -1;
	*why = NULL;
	return 0;
}

int
sandbox_tighten(enum role role, const char **why)
{
	const struct policy *policy;

	*why = "pledge";
	policy = policy_find(role);
	if (policy != NULL && policy->tightened != NULL &&
	    pledge(policy->tightened, NULL) == -1)
		return -1;
	*why = NULL;
	return 0;
}

int
sandbox_pledge(const char *promises)
{
	return pledge(promises, NULL);
}

/*
 * The last two are questions of Linux.  No child has exec, by which it could
 * gain privileges, and no promise allows ptrace(2).
 */
void
sandbox_report(struct sandbox_state *state)
{
	state->mechanism = SANDBOX_PLEDGE;
	state->landlock_abi = 0;
	state->no_new_privs = 1;
	state->dumpable = 0;
	state->landlock_fs = 0;
	state->landlock_net = state->landlock_scope = 0;
}

/* Not known by name here. */
char *
sandbox_call_name(char buf[SANDBOX_CALL_MAX], int nr)
{
	snprintf(buf, SANDBOX_CALL_MAX, "call %d", nr);
	return buf;
}
