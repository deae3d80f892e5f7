/*
 * Whether the settings of the remote listener go together: a table of what
 * must not be, in the order in which it is looked for.
 */
#include <stdio.h>
#include <string.h>

#include "addr.h"
#include "conf.h"
#include "conf_keyword.h"
#include "conf_state.h"

#define BLANKS " \t"

struct rule {
	bool (*broken)(const struct conf *);
	bool always; /* the listener need not be enabled */
	bool quotes_address;
	const char *text;
};

static bool
is_blank(const char *text)
{
	return text[strspn(text, BLANKS)] == '\0';
}

static bool
has_token(const struct conf *conf)
{
	return (conf->distributed.auth_mode & DISTRIBUTED_AUTH_TOKEN) != 0;
}

static bool
has_mtls(const struct conf *conf)
{
	return (conf->distributed.auth_mode & DISTRIBUTED_AUTH_MTLS) != 0;
}

/* Where tokens may come from: in how many places. */
static unsigned
token_sources(const struct conf *conf)
{
	const struct conf_distributed *d = &conf->distributed;

	/* Its text may have been wiped. */
	return (conf_origin(conf, keyword_find("distributed.token"))->given
		       ? 1U
		       : 0U) +
	       (d->token_env != NULL ? 1U : 0U) +
	       (d->token_path != NULL ? 1U : 0U);
}

static bool
address_is_empty(const struct conf *conf)
{
	return is_blank(conf->distributed.bind_addr);
}

static bool
address_is_no_pair(const struct conf *conf)
{
	struct addr addr;

	return addr_parse(&addr, conf->distributed.bind_addr) == -1;
}

static bool
tls_is_missing(const struct conf *conf)
{
	struct addr addr;

	return !conf->distributed.tls.enabled &&
	       !conf_distributed_exposed(conf) &&
	       addr_parse(&addr, conf->distributed.bind_addr) == 0 &&
	       !addr_is_loopback(&addr);
}

static bool
certificate_is_missing(const struct conf *conf)
{
	const struct conf_tls *tls = &conf->distributed.tls;

	return tls->enabled && tls->cert_path == NULL;
}

static bool
key_is_missing(const struct conf *conf)
{
	const struct conf_tls *tls = &conf->distributed.tls;

	return tls->enabled && tls->key_path == NULL;
}

static bool
token_is_missing(const struct conf *conf)
{
	return has_token(conf) && token_sources(conf) == 0;
}

static bool
token_is_ambiguous(const struct conf *conf)
{
	return has_token(conf) && token_sources(conf) > 1;
}

static bool
mtls_lacks_tls(const struct conf *conf)
{
	return has_mtls(conf) && !conf->distributed.tls.enabled;
}

static bool
mtls_lacks_ca(const struct conf *conf)
{
	return has_mtls(conf) && conf->distributed.tls.client_ca_path == NULL;
}

static bool
agent_is_empty(const struct conf *conf)
{
	const struct conf_list *ids = &conf->distributed.allow_agent_ids;
	size_t i;

	for (i = 0; i < ids->count; i++) {
		if (is_blank(ids->item[i]))
			return true;
	}
	return false;
}

static const struct rule rules[] = {
	{ address_is_empty, true, false,
	    "distributed.bind_addr must not be empty" },
	{ address_is_no_pair, true, true,
	    "distributed.bind_addr must be a host:port pair" },
	{ tls_is_missing, false, false,
	    "distributed.tls.enabled must be true for non-loopback binds "
	    "(or set distributed.allow_insecure = true)" },
	{ certificate_is_missing, false, false,
	    "distributed.tls.cert_path must be set when TLS is enabled" },
	{ key_is_missing, false, false,
	    "distributed.tls.key_path must be set when TLS is enabled" },
	{ token_is_missing, false, false,
	    "distributed.token_env or distributed.token_path (or "
	    "distributed.token) must be set when auth_mode includes token" },
	{ token_is_ambiguous, false, false,
	    "distributed token source is ambiguous: set exactly one of "
	    "distributed.token, distributed.token_env, "
	    "distributed.token_path" },
	{ mtls_lacks_tls, false, false,
	    "distributed.tls.enabled must be true when auth_mode includes "
	    "mtls" },
	{ mtls_lacks_ca, false, false,
	    "distributed.tls.client_ca_path must be set when auth_mode "
	    "includes mtls" },
	{ agent_is_empty, true, false,
	    "distributed.allow_agent_ids entries must be non-empty" },
};

bool
conf_distributed_exposed(const struct conf *conf)
{
	return conf->distributed.allow_insecure ||
	       !conf->distributed.require_tls_for_non_loopback;
}

int
conf_check_distributed(const struct conf *conf, char error[CONF_ERROR_MAX])
{
	const struct rule *r;

	for (r = rules; r < rules + sizeof(rules) / sizeof(rules[0]); r++) {
		if (!(conf->distributed.enabled || r->always) ||
		    !r->broken(conf))
			continue;
		if (r->quotes_address)
			snprintf(error, CONF_ERROR_MAX, "%s (got '%s')",
			    r->text, conf->distributed.bind_addr);
		else
			strlcpy(error, r->text, CONF_ERROR_MAX);
		return -1;
	}
	return 0;
}
