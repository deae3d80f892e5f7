/*
 * Run a program as on a kernel without Landlock:
 * without-landlock program [argument ...]
 */
#include <err.h>
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LANDLOCK_CREATE_RULESET 444

int
main(int argc, char *argv[])
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	if (argc < 2) {
		fprintf(
		    stderr, "usage: without-landlock program [argument ...]\n");
		return 2;
	}
	if (seccomp_rule_add(
		ctx, SCMP_ACT_ERRNO(ENOSYS), LANDLOCK_CREATE_RULESET, 0) != 0 ||
	    seccomp_load(ctx) != 0)
		errx(1, "no filter");
	execvp(argv[1], argv + 1);
	err(1, "%s", argv[1]);
}
