/*
 * doctor: is the node set up as it should be?  The checks are a table in
 * doctor.c; what they need to know is collected here first.
 */
#ifndef DOCTOR_H
#define DOCTOR_H

#include <sys/types.h>

#include <limits.h>
#include <stdbool.h>

#include "finding.h"
#include "keyfile.h"
#include "monotime.h"
#include "nodeview.h"
#include "secretfile.h"

struct ltpctl;

struct doctor {
	struct ltpctl *ctl;
	const char *path; /* of ltpd.conf, NULL: there is none */
	char path_buf[PATH_MAX];
	struct conf *file; /* what it says, NULL: nothing that holds */
	char error[CONF_ERROR_MAX]; /* of the file, empty: it is good */
	bool hidden; /* we may not read the file */
	struct nodeview node;
	/* What the checks are about: of the node if it is up, or the file. */
	const struct conf *conf; /* NULL: not known */
	uid_t us; /* whose files the node trusts beside root's; 0: unknown */
	struct keyset *config_keys; /* of auth_keys in the file, or NULL */
};

/* The verb.  Returns the exit status. */
int doctor_run(struct ltpctl *);

/* ---- the checks, by file ---- */

typedef void doctor_check(const struct doctor *, struct finding *);

/* doctor_conf.c */
doctor_check doctor_check_conf;
doctor_check doctor_check_in_use;
doctor_check doctor_check_inline;
doctor_check doctor_check_distributed;
doctor_check doctor_check_plain;
doctor_check doctor_check_auth;
doctor_check doctor_check_limits;
doctor_check doctor_check_proxies;

/* doctor_file.c */
doctor_check doctor_check_keys;
doctor_check doctor_check_token;
doctor_check doctor_check_prev_token;
doctor_check doctor_check_signing_key;
doctor_check doctor_check_audit;

/* doctor_cert.c */
doctor_check doctor_check_cert;
doctor_check doctor_check_cert_key;
doctor_check doctor_check_client_ca;
doctor_check doctor_check_client_crl;

/* doctor_node.c */
doctor_check doctor_check_node;
doctor_check doctor_check_sandbox;
doctor_check doctor_check_descriptors;
doctor_check doctor_check_metrics;
doctor_check doctor_check_ports;

/* ---- what several of them ask ---- */

/* Do strangers reach a plain listener?  text gets the first such address. */
bool doctor_is_exposed(const struct doctor *, char text[NODEVIEW_TEXT_MAX]);
/* Does the remote listener want a token, or speak TLS, at all? */
bool doctor_wants_token(const struct conf *);
bool doctor_wants_tls(const struct conf *);
/* How good the source of tokens is.  False: that cannot be seen from here. */
bool doctor_judge_token(const struct doctor *, struct finding *);

/* A connection to an address, which does not block; -1 with errno. */
int doctor_dial(const char *address, struct monotime deadline);
/* poll(2) for one; false when the deadline has passed. */
bool doctor_wait(int fd, short events, struct monotime deadline);

/* ---- files, read as the node reads them: doctor_read.c ---- */

#define DOCTOR_ADVISE_OPEN "chown it to the user of ltpd, and chmod 600"
#define DOCTOR_ADVISE_USER "run doctor as the user of ltpd"

/* Others than the node's own user may be kept out, and should be. */
bool doctor_is_other(const struct doctor *);
/* It cannot be opened, for the reason of that errno. */
void doctor_cannot_open(
    const struct doctor *, struct finding *, const char *path, int error);

/* secretfile_check() or tlsfiles_check() */
typedef int
doctor_rules(int fd, size_t max, uid_t us, char why[SECRETFILE_ERROR_MAX]);

/*
 * All of a file, to be freed with freezero(3).  NULL when there is nothing to
 * be had; the finding says why.
 */
char *doctor_read(const struct doctor *, struct finding *, const char *path,
    doctor_rules *, size_t max, size_t *len);

#endif /* DOCTOR_H */
