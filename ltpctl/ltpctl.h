/*
 * ltpctl: one verb from the command line, and what its options said.
 */
#ifndef LTPCTL_H
#define LTPCTL_H

#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "output.h"

struct ask;
struct verb;

enum ltpctl_status {
	LTPCTL_OK = 0,
	LTPCTL_FAILED = 1,
	LTPCTL_USAGE = 2,
};

struct ltpctl {
	const struct verb *verb;
	const char *socket; /* of the supervisor */
	bool socket_given; /* by an option or the environment */
	const char *conf_path; /* of ltpd.conf, NULL: not given */
	unsigned count; /* heartbeats, screens; 0: not given */
	unsigned interval_ms; /* 0: not given */
	const char *id; /* of a token, or who to be; NULL: not given */
	const char *key_file; /* NULL: no key */
	const char *token_file; /* NULL: no token */
	const char *cert_file; /* ours, NULL: none */
	const char *cert_key_file; /* its private key */
	const char *ca_file; /* NULL: the system's */
	const char *key_output; /* where a key goes beside stdout, or NULL */
	const char *public_key; /* in hex, or a file of them; NULL: none */
	bool json;
	char **args; /* what follows the words of the verb */
	int nargs;
	struct output_to to;
};

/* A row of the verb table. */
struct verb {
	const char *words[2]; /* the second may be NULL */
	const char *arguments; /* for the usage */
	const char *options; /* letters that it takes besides j and s */
	int min_args;
	int max_args;
	const char *setup; /* pledge(2) promises up to the connection */
	const char *running; /* and from there on */
	int (*run)(struct ltpctl *);
	unsigned what; /* enum ctl_show, keyedit_op, or 1 for verbose */
	const char *help;
};

/* Connect to the supervisor; then no more than the second promises. */
int ltpctl_connect(struct ltpctl *, struct ask *);
/* From now on the promises of the second column only; exits on failure. */
void ltpctl_connected(const struct ltpctl *);

/* Say what failed.  Returns LTPCTL_FAILED. */
int ltpctl_fail(struct ltpctl *, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));

#endif /* LTPCTL_H */
