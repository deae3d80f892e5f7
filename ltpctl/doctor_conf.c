/*
 * doctor: what the settings say.  Whether an address is open to strangers is
 * decided on its parsed form, and for a running node on what it listens on.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "addr.h"
#include "conf_keyword.h"
#include "conf_state.h"
#include "conf_value.h"
#include "doctor.h"

#define NAMES_MAX 512

#ifdef LTPD_DISTRIBUTED
#define BUILT_IN true
#else
#define BUILT_IN false
#endif

/* ---- the file ---- */

void
doctor_check_conf(const struct doctor *d, struct finding *f)
{
	if (d->hidden)
		doctor_cannot_open(d, f, d->path, EACCES);
	else if (d->error[0] != '\0')
		finding_error(f,
		    "correct it; ltpd -n tells whether it is right", "%s",
		    d->error);
	else if (d->path == NULL)
		finding_ok(f, "no file, defaults and environment only");
	else
		finding_ok(f, "%s", d->path);
}

static void
name_add(char names[NAMES_MAX], const char *name)
{
	if (names[0] != '\0')
		strlcat(names, ", ", NAMES_MAX);
	strlcat(names, name, NAMES_MAX);
}

/* Would reading the file change this setting of the node? */
static bool
setting_is_stale(const struct doctor *d, const struct keyword *k)
{
	const struct conf_origin *run = conf_origin(d->node.conf, k);
	const struct conf_origin *file = conf_origin(d->file, k);

	/* What its environment and its command line say is over the file. */
	if (run->source == SOURCE_ENVIRONMENT ||
	    run->source == SOURCE_DEFINITION)
		return false;
	/* And our environment is none of its business. */
	if (file->source == SOURCE_ENVIRONMENT)
		return false;
	if (run->source == SOURCE_DEFAULT && file->source == SOURCE_DEFAULT)
		return false;
	if (k->flags & KEYWORD_SECRET)
		return run->given != file->given;
	return !value_equal(k, d->node.conf, d->file);
}

void
doctor_check_in_use(const struct doctor *d, struct finding *f)
{
	char reload[NAMES_MAX] = "", restart[NAMES_MAX] = "";
	const struct keyword *k;

	if (d->file == NULL || d->error[0] != '\0') {
		finding_warn(f, "see the check of the configuration",
		    "cannot be compared with the file");
		return;
	}
	for (k = keywords; k < keywords + keyword_count; k++) {
		if (setting_is_stale(d, k))
			name_add(k->flags & KEYWORD_RESTART ? restart : reload,
			    k->name);
	}
	if (reload[0] != '\0')
		finding_warn(
		    f, "ltpctl reload", "stale, reload needed: %s", reload);
	if (restart[0] != '\0')
		finding_warn(f, "restart ltpd, or undo the change",
		    "stale, restart needed: %s", restart);
	finding_ok(f, "the node runs with what the file says");
}

void
doctor_check_inline(const struct doctor *d, struct finding *f)
{
	const struct conf *conf = d->file != NULL ? d->file : d->conf;
	char names[NAMES_MAX] = "";
	const struct conf_origin *o;
	const struct keyword *k;

	for (k = keywords; k < keywords + keyword_count; k++) {
		o = conf_origin(conf, k);
		if ((k->flags & KEYWORD_SECRET) && o->given &&
		    o->source == SOURCE_FILE)
			name_add(names, k->name);
	}
	if (names[0] != '\0')
		finding_warn(f,
		    "put each into a file of its own, which can be replaced "
		    "without touching the configuration",
		    "%s", names);
	else
		finding_ok(f, "none");
}

/* ---- who can reach it ---- */

static bool
is_beyond_loopback(const char *text)
{
	struct addr addr;

	return addr_parse(&addr, text) == -1 || !addr_is_loopback(&addr);
}

bool
doctor_is_exposed(const struct doctor *d, char text[NODEVIEW_TEXT_MAX])
{
	const struct nodeview_listener *l;
	const char *scheme = "ws://";
	size_t i;

	text[0] = '\0';
	if (d->node.up) {
		TAILQ_FOREACH(l, &d->node.listeners, entry) {
			if (strcmp(l->kind, "ltp") != 0 ||
			    strncmp(l->url, scheme, strlen(scheme)) != 0 ||
			    !is_beyond_loopback(l->url + strlen(scheme)))
				continue;
			strlcpy(
			    text, l->url + strlen(scheme), NODEVIEW_TEXT_MAX);
			return true;
		}
		return false;
	}
	for (i = 0; i < d->conf->addr.count; i++) {
		if (is_beyond_loopback(d->conf->addr.item[i])) {
			strlcpy(text, d->conf->addr.item[i], NODEVIEW_TEXT_MAX);
			return true;
		}
	}
	return false;
}

void
doctor_check_plain(const struct doctor *d, struct finding *f)
{
	char text[NODEVIEW_TEXT_MAX];

	if (doctor_is_exposed(d, text))
		finding_warn(f,
		    "listen on loopback behind a proxy that speaks TLS, or "
		    "use the remote listener",
		    "%s is beyond loopback, in clear text", text);
	else
		finding_ok(f, "loopback only");
}

/* A setting that is a word, without the quotes; to be freed. */
static char *
print_choice(const struct conf *conf, const char *name)
{
	char *text = value_print(keyword_find(name), conf), *end;

	if (text == NULL || text[0] != '"')
		return text;
	memmove(text, text + 1, strlen(text));
	if ((end = strrchr(text, '"')) != NULL)
		*end = '\0';
	return text;
}

void
doctor_check_auth(const struct doctor *d, struct finding *f)
{
	bool none = d->conf->auth_mode == AUTH_MODE_NONE;
	char *mode = print_choice(d->conf, "auth_mode");
	char text[NODEVIEW_TEXT_MAX];

	if (none && doctor_is_exposed(d, text))
		finding_error(f, "set auth_mode = \"api_key\"",
		    "none, and %s is beyond loopback: anybody may connect",
		    text);
	else if (none)
		finding_ok(f, "none, on loopback only");
	else
		finding_ok(f, "%s", mode == NULL ? "?" : mode);
	free(mode);
}

void
doctor_check_limits(const struct doctor *d, struct finding *f)
{
	const struct {
		const char *name;
		int64_t value;
	} limits[] = {
		{ "ip_rate_limit_rps", d->conf->ip_rate_limit_rps },
		{ "max_connections_per_ip", d->conf->max_connections_per_ip },
		{ "max_half_open_per_ip", d->conf->max_half_open_per_ip },
		{ "auth_failure_limit", d->conf->auth_failure_limit },
	};
	char text[NODEVIEW_TEXT_MAX], off[NAMES_MAX] = "";
	size_t i;

	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		if (limits[i].value == 0)
			name_add(off, limits[i].name);
	}
	if (off[0] == '\0')
		finding_ok(f, "all on");
	else if (doctor_is_exposed(d, text))
		finding_warn(f, "set them, or one address can take it all",
		    "off, and %s is beyond loopback: %s", text, off);
	else
		finding_ok(f, "off, on loopback only: %s", off);
}

/* Networks that are not reached through the Internet. */
static bool
cidr_is_private(const struct cidr *c)
{
	static const char *const private[] = { "10.0.0.0/8", "172.16.0.0/12",
		"192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "::1",
		"fc00::/7", "fe80::/10" };
	struct addr first = { .port = 0 };
	struct cidr p;
	size_t i;

	memcpy(first.ip, c->ip, sizeof(first.ip));
	for (i = 0; i < sizeof(private) / sizeof(private[0]); i++) {
		if (cidr_parse(&p, private[i]) == 0 && c->bits >= p.bits &&
		    cidr_contains(&p, &first))
			return true;
	}
	return false;
}

void
doctor_check_proxies(const struct doctor *d, struct finding *f)
{
	const struct conf_list *list = &d->conf->allow_proxy_cidr;
	char names[NAMES_MAX] = "";
	struct cidr c;
	size_t i;

	if (!d->conf->trust_proxy) {
		finding_ok(f, "none is trusted");
		return;
	}
	for (i = 0; i < list->count; i++) {
		if (cidr_parse(&c, list->item[i]) == -1 || !cidr_is_private(&c))
			name_add(names, list->item[i]);
	}
	if (names[0] != '\0')
		finding_warn(f,
		    "allow_proxy_cidr should name private networks only",
		    "who comes from there says where it comes from: %s", names);
	if (list->count == 0)
		finding_warn(f, "set allow_proxy_cidr",
		    "trust_proxy is on, but no proxy is trusted");
	finding_ok(f, "in private networks only");
}

/* ---- the remote listener ---- */

bool
doctor_wants_token(const struct conf *conf)
{
	return conf->distributed.enabled &&
	       (conf->distributed.auth_mode & DISTRIBUTED_AUTH_TOKEN);
}

bool
doctor_wants_tls(const struct conf *conf)
{
	return conf->distributed.enabled && conf->distributed.tls.enabled;
}

static const char *
token_source(const struct conf *conf)
{
	if (conf_origin(conf, keyword_find("distributed.token"))->given)
		return "inline";
	if (conf->distributed.token_env != NULL)
		return "env";
	return conf->distributed.token_path != NULL ? "file" : "missing";
}

/* "file:ok", or "n/a".  What that is worth; weak ones are of use. */
static enum finding_status
print_token(const struct doctor *d, char *buf, size_t size)
{
	struct finding f = { .status = FINDING_OK };
	enum finding_status worth = FINDING_OK;
	const char *word = "ok";

	strlcpy(buf, "n/a", size);
	if (!(d->conf->distributed.auth_mode & DISTRIBUTED_AUTH_TOKEN))
		return FINDING_OK;
	if (!doctor_judge_token(d, &f)) {
		word = "unknown";
		worth = FINDING_WARNING;
	} else if (f.status == FINDING_ERROR) {
		word = "err";
		worth = FINDING_ERROR;
	}
	snprintf(buf, size, "%s:%s", token_source(d->conf), word);
	return worth;
}

static void
advise_distributed(const struct conf_distributed *c, enum finding_status token,
    struct finding *f, const char *detail)
{
	bool mtls = (c->auth_mode & DISTRIBUTED_AUTH_MTLS) != 0;
	bool open = c->bind_addr == NULL || is_beyond_loopback(c->bind_addr);

	if (token == FINDING_ERROR)
		finding_error(f, "see the check of the token", "%s", detail);
	else if (mtls && !c->tls.enabled)
		finding_error(f,
		    "certificates of clients need distributed.tls.enabled",
		    "%s", detail);
	else if (mtls && c->tls.client_ca_path == NULL)
		finding_error(
		    f, "set distributed.tls.client_ca_path", "%s", detail);
	else if (open && !c->tls.enabled && !c->allow_insecure &&
		 c->require_tls_for_non_loopback)
		finding_error(f, "set distributed.tls.enabled", "%s", detail);
	else if (open && !c->tls.enabled)
		finding_warn(f,
		    "set distributed.tls.enabled: tokens and messages travel "
		    "in clear text",
		    "%s", detail);
	else if (token == FINDING_WARNING)
		finding_warn(f, "see the check of the token", "%s", detail);
	else
		finding_ok(f, "%s", detail);
}

void
doctor_check_distributed(const struct doctor *d, struct finding *f)
{
	const struct conf_distributed *c = &d->conf->distributed;
	char detail[FINDING_DETAIL_MAX], token[32], tls[32] = "off";
	enum finding_status of_token;
	char *auth, *version;

	if (!c->enabled) {
		finding_ok(f, "disabled%s", BUILT_IN ? "" : ", not built in");
		return;
	}
	auth = print_choice(d->conf, "distributed.auth_mode");
	version = print_choice(d->conf, "distributed.tls.min_tls_version");
	if (c->tls.enabled)
		snprintf(tls, sizeof(tls), "on (min %s)",
		    version == NULL ? "?" : version);
	of_token = print_token(d, token, sizeof(token));
	snprintf(detail, sizeof(detail),
	    "bind=%s, auth=%s, tls=%s, token=%s, allowlist=%zu",
	    c->bind_addr == NULL ? "" : c->bind_addr, auth == NULL ? "?" : auth,
	    tls, token, c->allow_agent_ids.count);
	free(auth);
	free(version);
	advise_distributed(c, of_token, f, detail);
}
