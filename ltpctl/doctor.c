/*
 * doctor: look at the configuration, the files that it names, and the node
 * that runs, and say what is not as it should be.  It takes no root, changes
 * nothing, and does what it can when there is no node.  It reads secrets to
 * judge them, never prints one, and wipes them at once.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf_keyword.h"
#include "conf_state.h"
#include "doctor.h"
#include "ltpctl.h"
#include "output_json.h"

#define DOCTOR_CONF SYSCONFDIR "/ltpd.conf"

enum doctor_needs {
	NEEDS_NOTHING = 0,
	NEEDS_CONF, /* settings, of the node or of the file */
	NEEDS_NODE, /* that runs */
	NEEDS_NO_NODE,
};

static const struct {
	const char *name;
	enum doctor_needs needs;
	doctor_check *check;
} checks[] = {
	{ "configuration", NEEDS_NOTHING, doctor_check_conf },
	{ "node", NEEDS_NOTHING, doctor_check_node },
	{ "configuration in use", NEEDS_NODE, doctor_check_in_use },
	{ "secrets in configuration", NEEDS_CONF, doctor_check_inline },
	{ "sandbox", NEEDS_NODE, doctor_check_sandbox },
	{ "distributed security", NEEDS_CONF, doctor_check_distributed },
	{ "plain listener", NEEDS_CONF, doctor_check_plain },
	{ "authentication", NEEDS_CONF, doctor_check_auth },
	{ "address limits", NEEDS_CONF, doctor_check_limits },
	{ "proxies", NEEDS_CONF, doctor_check_proxies },
	{ "API keys", NEEDS_CONF, doctor_check_keys },
	{ "token", NEEDS_CONF, doctor_check_token },
	{ "previous token", NEEDS_CONF, doctor_check_prev_token },
	{ "certificate", NEEDS_CONF, doctor_check_cert },
	{ "private key", NEEDS_CONF, doctor_check_cert_key },
	{ "client CA", NEEDS_CONF, doctor_check_client_ca },
	{ "client CRL", NEEDS_CONF, doctor_check_client_crl },
	{ "signing key", NEEDS_CONF, doctor_check_signing_key },
	{ "audit log", NEEDS_CONF, doctor_check_audit },
	{ "descriptors", NEEDS_NODE, doctor_check_descriptors },
	{ "metrics", NEEDS_NODE, doctor_check_metrics },
	{ "ports", NEEDS_NO_NODE, doctor_check_ports },
};

#define CHECKS (sizeof(checks) / sizeof(checks[0]))

/* ---- what is to be known first ---- */

/* The file that the running node has read, from where its settings come. */
static bool
doctor_path_of_node(struct doctor *d)
{
	const struct conf_origin *o;
	const char *colon;
	size_t i;

	for (i = 0; d->node.up && i < keyword_count; i++) {
		o = conf_origin(d->node.conf, &keywords[i]);
		if (o->source != SOURCE_FILE || o->text == NULL ||
		    o->text[0] != '/' ||
		    (colon = strrchr(o->text, ':')) == NULL)
			continue;
		snprintf(d->path_buf, sizeof(d->path_buf), "%.*s",
		    (int)(colon - o->text), o->text);
		d->path = d->path_buf;
		return true;
	}
	return false;
}

/* 0, or -1: out of memory. */
static int
doctor_load(struct doctor *d)
{
	char ignored[CONF_ERROR_MAX], error[KEYFILE_ERROR_MAX];
	struct conf_env *env;

	if ((env = conf_env_take()) == NULL)
		return -1;
	d->file = conf_load(d->path, env, NULL, 0, d->error);
	if (d->file == NULL)
		d->file = conf_load_loose(d->path, env, NULL, 0, ignored);
	d->hidden = d->file == NULL && d->path != NULL &&
		    access(d->path, R_OK) == -1 && errno == EACCES;
	conf_env_free(env);
	/* What the environment of this shell has, the node's need not. */
	if (d->file != NULL && d->file->auth_keys != NULL &&
	    !conf_keys_from_environment(d->file))
		d->config_keys =
		    keyset_parse(d->file->auth_keys, KEY_SOURCE_CONFIG, error);
	return 0;
}

static int
doctor_gather(struct doctor *d)
{
	struct ltpctl *ctl = d->ctl;
	const char *asked = NULL;

	d->path = ctl->conf_path;
	if (d->path == NULL) {
		asked = ctl->socket;
		nodeview_ask(&d->node, asked);
		if (!doctor_path_of_node(d) && access(DOCTOR_CONF, F_OK) == 0)
			d->path = DOCTOR_CONF;
	}
	if (doctor_load(d) == -1)
		return -1;
	/* Nobody said which socket: the file knows better than a default. */
	if (!ctl->socket_given && d->file != NULL)
		ctl->socket = d->file->control_socket;
	/* Once is enough: it may take its time. */
	if (!d->node.up && (asked == NULL || strcmp(asked, ctl->socket) != 0)) {
		nodeview_free(&d->node);
		nodeview_ask(&d->node, ctl->socket);
	}
	d->conf = d->node.up ? d->node.conf : d->file;
	d->us = geteuid();
	if (d->node.up)
		d->us = TAILQ_FIRST(&d->node.processes)->p.uid;
	return 0;
}

static void
doctor_free(struct doctor *d)
{
	keyset_free(d->config_keys);
	conf_free(d->file);
	nodeview_free(&d->node);
}

/* ---- the verb ---- */

static bool
doctor_can(const struct doctor *d, enum doctor_needs needs)
{
	switch (needs) {
	case NEEDS_CONF:
		return d->conf != NULL;
	case NEEDS_NODE:
		return d->node.up;
	case NEEDS_NO_NODE:
		/* One that does not answer has its ports, of course. */
		return !d->node.up && !d->node.denied && !d->node.stuck &&
		       d->conf != NULL;
	default:
		return true;
	}
}

/* What a check found; one that could not be made found nothing. */
struct result {
	bool made;
	struct finding f;
};

static enum finding_status
doctor_examine(const struct doctor *d, struct result *results)
{
	enum finding_status worst = FINDING_OK;
	size_t i;

	for (i = 0; i < CHECKS; i++) {
		if (!doctor_can(d, checks[i].needs))
			continue;
		results[i].made = true;
		checks[i].check(d, &results[i].f);
		if (results[i].f.status > worst)
			worst = results[i].f.status;
	}
	return worst;
}

static void
doctor_print(const struct result *results, FILE *fp)
{
	size_t i;

	for (i = 0; i < CHECKS; i++) {
		if (results[i].made)
			finding_print(&results[i].f, checks[i].name, fp);
	}
}

static void
doctor_print_json(
    const struct result *results, enum finding_status worst, FILE *fp)
{
	json_t *o = output_json_object(), *list = json_array();
	size_t i;

	for (i = 0; i < CHECKS; i++) {
		if (results[i].made)
			json_array_append_new(
			    list, finding_json(&results[i].f, checks[i].name));
	}
	output_json_bool(o, "ok", worst != FINDING_ERROR);
	output_json_str(o, "status", finding_status_name(worst));
	output_json_str(o, "version", LTPD_VERSION);
	output_json_set(o, "checks", list);
	output_json_print(fp, o);
	fputc('\n', fp);
	json_decref(o);
}

int
doctor_run(struct ltpctl *ctl)
{
	struct doctor d = { .ctl = ctl };
	struct result *results;
	enum finding_status worst;

	nodeview_init(&d.node);
	if ((results = calloc(CHECKS, sizeof(*results))) == NULL ||
	    doctor_gather(&d) == -1) {
		doctor_free(&d);
		free(results);
		return ltpctl_fail(ctl, "%s", strerror(ENOMEM));
	}
	/* All of it first: jansson changes its allocator where secrets are. */
	worst = doctor_examine(&d, results);
	if (ctl->json)
		doctor_print_json(results, worst, ctl->to.fp);
	else
		doctor_print(results, ctl->to.fp);
	doctor_free(&d);
	free(results);
	return worst == FINDING_ERROR ? LTPCTL_FAILED : LTPCTL_OK;
}
