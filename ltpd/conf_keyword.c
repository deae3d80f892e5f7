/*
 * The keywords of ltpd.conf(5).  A row of the table says all that is known
 * of a setting; how its kind is read and printed is conf_value.c's business,
 * and whether it goes with other settings conf.c's.
 */
#include "config.h"

#include <sys/types.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "addr.h"
#include "conf_keyword.h"
#include "shared.h"

#define LISTENERS_MAX 16
#define ITEMS_MAX     256
#define GROUP_MAX     32

#define MILLION       1000000
#define HOUR_MS       (60 * 60 * 1000)
#define DAY_SECS      (24 * 60 * 60)
#define WEEK_SECS     (7 * DAY_SECS)
#define MESSAGE_MAX   (16 * 1024 * 1024)

/* What names are made of. */
#define ALNUM                        \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZ" \
	"abcdefghijklmnopqrstuvwxyz0123456789"

static const char *check_address(const char *);
static const char *check_group(const char *);
static const char *check_id(const char *);
static const char *check_ip(const char *);
static const char *check_network(const char *);
static const char *check_origin(const char *);
static const char *check_path(const char *);
static const char *check_socket(const char *);
static const char *check_seed(const char *);
static const char *check_variable(const char *);

static const struct keyword_choice audit_payloads[] = {
	{ "full", AUDIT_PAYLOAD_FULL },
	{ "hash", AUDIT_PAYLOAD_HASH },
	{ NULL, 0 },
};

static const struct keyword_choice auth_modes[] = {
	{ "none", AUTH_MODE_NONE },
	{ "api_key", AUTH_MODE_API_KEY },
	{ "jwt", AUTH_MODE_JWT },
	{ NULL, 0 },
};

static const struct keyword_choice dialects[] = {
	{ "auto", DIALECT_AUTO },
	{ "client", DIALECT_CLIENT },
	{ "session", DIALECT_SESSION },
	{ NULL, 0 },
};

static const struct keyword_choice distributed_auth_modes[] = {
	{ "token", DISTRIBUTED_AUTH_TOKEN },
	{ "mtls", DISTRIBUTED_AUTH_MTLS },
	{ "token+mtls", DISTRIBUTED_AUTH_TOKEN | DISTRIBUTED_AUTH_MTLS },
	{ NULL, 0 },
};

static const struct keyword_choice log_formats[] = {
	{ "text", LOG_FORMAT_TEXT },
	{ "json", LOG_FORMAT_JSON },
	{ NULL, 0 },
};

static const struct keyword_choice log_levels[] = {
	{ "error", LEVEL_ERROR },
	{ "warn", LEVEL_WARN },
	{ "info", LEVEL_INFO },
	{ "debug", LEVEL_DEBUG },
	{ "trace", LEVEL_TRACE },
	{ NULL, 0 },
};

static const struct keyword_choice reload_failures[] = {
	{ "closed", RELOAD_FAILURE_CLOSED },
	{ "keep", RELOAD_FAILURE_KEEP },
	{ NULL, 0 },
};

static const struct keyword_choice tls_versions[] = {
	{ "1.2", TLS_VERSION_1_2 },
	{ "1.3", TLS_VERSION_1_3 },
	{ NULL, 0 },
};

/* A keyword that is called as its member of struct conf. */
#define ROW(member, kind_)                \
	.name = #member, .kind = (kind_), \
	.offset = offsetof(struct conf, member)

/*
 * In the order in which they are printed, so those above all tables come
 * first.
 */
const struct keyword keywords[] = {
	{ ROW(addr, KIND_LIST), .initial = "127.0.0.1:7070", .min = 1,
	    .max = LISTENERS_MAX, .flags = KEYWORD_RESTART | KEYWORD_SINGLE,
	    .check = check_address, .variable = { "LTP_NODE_ADDR" } },
	{ ROW(allow_unsafe_expose, KIND_BOOL), .initial = "false",
	    .flags = KEYWORD_RESTART,
	    .variable = { "LTP_ALLOW_UNSAFE_EXPOSE" } },
	{ ROW(id, KIND_STRING), .flags = KEYWORD_RESTART | KEYWORD_EACH_START,
	    .check = check_id, .variable = { "LTP_NODE_ID" } },
	{ ROW(metrics_addr, KIND_STRING), .initial = "127.0.0.1:9090",
	    .flags = KEYWORD_RESTART, .check = check_address,
	    .variable = { "LTP_NODE_METRICS_ADDR" } },
	{ ROW(workers, KIND_INTEGER), .min = 1, .max = SHARED_SLOTS,
	    .flags = KEYWORD_RESTART, .variable = { "TOKIO_WORKER_THREADS" } },
	{ ROW(control_socket, KIND_STRING),
	    .initial = RUNSTATEDIR "/ltpd/ltpd.sock", .flags = KEYWORD_RESTART,
	    .check = check_socket, .variable = { "LTPD_CONTROL_SOCKET" } },
	{ ROW(control_group, KIND_STRING), .flags = KEYWORD_RESTART,
	    .check = check_group },
	{ ROW(landlock_optional, KIND_BOOL), .initial = "false",
	    .flags = KEYWORD_RESTART },
#ifdef LTPD_REGRESS_HOOKS
	{ ROW(sandbox, KIND_STRING), .flags = KEYWORD_RESTART },
#endif
	{ ROW(log_level, KIND_CHOICE), .initial = "info", .choices = log_levels,
	    .flags = KEYWORD_PLAIN_ENV, .variable = { "RUST_LOG" } },
	{ ROW(log_format, KIND_CHOICE), .initial = "text",
	    .choices = log_formats },
	{ ROW(log_file, KIND_STRING), .alias = "general.log_file",
	    .check = check_path },

	{ ROW(max_connections, KIND_INTEGER), .initial = "10000", .min = 1,
	    .max = MILLION, .variable = { "LTP_NODE_MAX_CONNECTIONS" } },
	{ ROW(max_sessions, KIND_INTEGER), .initial = "50000", .min = 1,
	    .max = 10 * MILLION, .variable = { "LTP_NODE_MAX_SESSIONS" } },
	{ ROW(max_message_bytes, KIND_INTEGER), .initial = "131072", .min = 64,
	    .max = MESSAGE_MAX,
	    .variable = { "LTP_NODE_MAX_MESSAGE_BYTES", "MAX_MESSAGE_BYTES" } },
	{ ROW(handshake_timeout_ms, KIND_INTEGER), .initial = "5000", .min = 10,
	    .max = HOUR_MS, .variable = { "LTP_NODE_HANDSHAKE_TIMEOUT_MS" } },
	{ ROW(idle_ttl_ms, KIND_INTEGER), .initial = "60000", .min = 10,
	    .max = WEEK_SECS * 1000, .variable = { "LTP_NODE_IDLE_TTL_MS" } },
	{ ROW(gc_interval_ms, KIND_INTEGER), .initial = "10000", .min = 10,
	    .max = HOUR_MS, .variable = { "LTP_NODE_GC_INTERVAL_MS" } },
	{ ROW(rate_limit_rps, KIND_INTEGER), .initial = "10", .min = 0,
	    .max = MILLION, .variable = { "RATE_LIMIT_RPS" } },
	{ ROW(rate_limit_burst, KIND_INTEGER), .initial = "20", .min = 1,
	    .max = MILLION, .variable = { "RATE_LIMIT_BURST" } },
	{ ROW(ip_rate_limit_rps, KIND_INTEGER), .initial = "0", .min = 0,
	    .max = MILLION, .variable = { "IP_RATE_LIMIT_RPS" } },
	{ ROW(ip_rate_limit_burst, KIND_INTEGER), .initial = "10", .min = 1,
	    .max = MILLION, .variable = { "IP_RATE_LIMIT_BURST" } },
	{ ROW(ip_rate_limit_ttl_secs, KIND_INTEGER), .initial = "600", .min = 1,
	    .max = DAY_SECS, .variable = { "IP_RATE_LIMIT_TTL_SECS" } },
	{ ROW(control_limit_rps, KIND_INTEGER), .initial = "100", .min = 0,
	    .max = MILLION },
	{ ROW(max_connections_per_ip, KIND_INTEGER), .initial = "0", .min = 0,
	    .max = SHARED_HOLD_MAX },
	{ ROW(max_half_open_per_ip, KIND_INTEGER), .initial = "0", .min = 0,
	    .max = SHARED_HOLD_MAX },
	{ ROW(auth_failure_limit, KIND_INTEGER), .initial = "0", .min = 0,
	    .max = MILLION },

	{ ROW(auth_mode, KIND_CHOICE), .initial = "none", .choices = auth_modes,
	    .flags = KEYWORD_RESTART, .variable = { "AUTH_MODE" } },
	{ ROW(auth_keys, KIND_STRING), .flags = KEYWORD_SECRET,
	    .variable = { "AUTH_KEYS" } },
	{ ROW(auth_keys_file, KIND_STRING), .check = check_path,
	    .variable = { "AUTH_KEYS_FILE" } },
	{ ROW(auth_keys_reload_interval_secs, KIND_INTEGER), .initial = "30",
	    .min = 1, .max = DAY_SECS,
	    .variable = { "AUTH_KEYS_RELOAD_INTERVAL_SECS" } },
	{ ROW(reload_failure, KIND_CHOICE), .initial = "closed",
	    .choices = reload_failures },
	{ ROW(auth_in_hello, KIND_BOOL), .initial = "false" },
	{ ROW(auth_jwt_secret, KIND_STRING), .flags = KEYWORD_SECRET,
	    .variable = { "AUTH_JWT_SECRET" } },
	{ ROW(dialect, KIND_CHOICE), .initial = "auto", .choices = dialects },
	{ ROW(allowed_origins, KIND_LIST), .max = ITEMS_MAX,
	    .check = check_origin },
	{ ROW(trust_proxy, KIND_BOOL), .initial = "false",
	    .variable = { "TRUST_PROXY" } },
	{ ROW(allow_proxy_cidr, KIND_LIST), .initial = "127.0.0.0/8,::1/128",
	    .max = ITEMS_MAX, .check = check_network,
	    .variable = { "LTP_ALLOW_PROXY_CIDR" } },
	{ ROW(audit_log_file, KIND_STRING), .flags = KEYWORD_RESTART,
	    .check = check_path, .variable = { "LTP_AUDIT_LOG_FILE" } },
	{ ROW(audit_required, KIND_BOOL), .initial = "true" },
	{ ROW(audit_payload, KIND_CHOICE), .initial = "full",
	    .choices = audit_payloads },
	{ ROW(audit_sign_every, KIND_INTEGER), .initial = "1", .min = 1,
	    .max = MILLION },
	{ ROW(node_signing_key, KIND_STRING), .flags = KEYWORD_SECRET,
	    .check = check_seed, .variable = { "NODE_SIGNING_KEY" } },
	{ ROW(node_signing_key_file, KIND_STRING), .check = check_path },

	{ .name = "metrics.allow_insecure",
	    .kind = KIND_BOOL,
	    .offset = offsetof(struct conf, metrics_allow_insecure),
	    .initial = "false",
	    .flags = KEYWORD_RESTART },

	{ ROW(distributed.enabled, KIND_BOOL), .initial = "false",
	    .flags = KEYWORD_RESTART },
	{ ROW(distributed.bind_addr, KIND_STRING), .initial = "127.0.0.1:4141",
	    .flags = KEYWORD_RESTART | KEYWORD_EMPTY },
	{ ROW(distributed.allow_insecure, KIND_BOOL), .initial = "false",
	    .flags = KEYWORD_RESTART },
	{ ROW(distributed.require_tls_for_non_loopback, KIND_BOOL),
	    .initial = "true", .flags = KEYWORD_RESTART },
	{ ROW(distributed.auth_mode, KIND_CHOICE), .initial = "token",
	    .choices = distributed_auth_modes, .flags = KEYWORD_RESTART },
	{ ROW(distributed.token, KIND_STRING), .flags = KEYWORD_SECRET },
	{ ROW(distributed.token_env, KIND_STRING), .check = check_variable },
	{ ROW(distributed.token_path, KIND_STRING), .check = check_path },
	{ ROW(distributed.token_prev_path, KIND_STRING), .check = check_path },
	{ ROW(distributed.allow_agent_ids, KIND_LIST), .max = ITEMS_MAX,
	    .flags = KEYWORD_EMPTY, .check = check_id },
	{ ROW(distributed.max_connections, KIND_INTEGER), .initial = "256",
	    .min = 1, .max = MILLION },
	{ ROW(distributed.max_sessions, KIND_INTEGER), .initial = "8192",
	    .min = 1, .max = 10 * MILLION },
	{ ROW(distributed.max_message_bytes, KIND_INTEGER),
	    .initial = "1048576", .min = 64, .max = MESSAGE_MAX },
	{ ROW(distributed.rate_limit, KIND_INTEGER), .initial = "8000",
	    .min = 1, .max = MILLION },
	{ ROW(distributed.handshake_timeout_ms, KIND_INTEGER),
	    .initial = "10000", .min = 10, .max = HOUR_MS },
	{ ROW(distributed.message_timeout_ms, KIND_INTEGER), .initial = "30000",
	    .min = 10, .max = HOUR_MS },
	{ ROW(distributed.idle_timeout_ms, KIND_INTEGER), .initial = "90000",
	    .min = 10, .max = WEEK_SECS * 1000 },
	{ ROW(distributed.session_ttl_secs, KIND_INTEGER), .initial = "3600",
	    .min = 1, .max = WEEK_SECS },

	{ ROW(distributed.tls.enabled, KIND_BOOL), .initial = "false",
	    .flags = KEYWORD_RESTART },
	{ ROW(distributed.tls.min_tls_version, KIND_CHOICE), .initial = "1.2",
	    .choices = tls_versions },
	{ ROW(distributed.tls.cert_path, KIND_STRING), .check = check_path },
	{ ROW(distributed.tls.key_path, KIND_STRING), .check = check_path },
	{ ROW(distributed.tls.client_ca_path, KIND_STRING),
	    .check = check_path },
	{ ROW(distributed.tls.client_crl_path, KIND_STRING),
	    .check = check_path },

	{ ROW(broker.enabled, KIND_BOOL), .initial = "false" },
	{ ROW(broker.bind_addr, KIND_STRING), .initial = "127.0.0.1",
	    .check = check_ip },
	{ ROW(broker.port, KIND_INTEGER), .initial = "5555", .min = 1,
	    .max = UINT16_MAX },
	{ ROW(broker.allowed_api_keys, KIND_LIST), .alias = "allowed_api_keys",
	    .max = ITEMS_MAX, .flags = KEYWORD_SECRET },
};

const size_t keyword_count = sizeof(keywords) / sizeof(keywords[0]);

const struct keyword *
keyword_find(const char *name)
{
	const struct keyword *k;

	for (k = keywords; k < keywords + keyword_count; k++) {
		if (strcmp(k->name, name) == 0 ||
		    (k->alias != NULL && strcmp(k->alias, name) == 0))
			return k;
	}
	return NULL;
}

static bool
name_is_in(const char *name, const char *table)
{
	const char *dot;

	if (name == NULL || (dot = strrchr(name, '.')) == NULL)
		return false;
	return strlen(table) == (size_t)(dot - name) &&
	       strncmp(name, table, (size_t)(dot - name)) == 0;
}

bool
keyword_table_exists(const char *table)
{
	const struct keyword *k;

	for (k = keywords; k < keywords + keyword_count; k++) {
		if (name_is_in(k->name, table) || name_is_in(k->alias, table))
			return true;
	}
	return false;
}

/* Checks: what a string must be, or NULL when it is. */

static const char *
check_address(const char *text)
{
	struct addr addr;

	if (addr_parse(&addr, text) == 0)
		return NULL;
	return "must be an address with a port, as in 127.0.0.1:7070 or "
	       "[::1]:7070";
}

static const char *
check_ip(const char *text)
{
	struct addr addr;

	if (addr_parse_ip(&addr, text) == 0)
		return NULL;
	return "must be an address without a port, as in 127.0.0.1";
}

static const char *
check_network(const char *text)
{
	struct cidr cidr;

	if (cidr_parse(&cidr, text) == 0)
		return NULL;
	return "must be a network, as in 10.0.0.0/8 or fd00::/8";
}

static const char *
check_group(const char *text)
{
	size_t len = strlen(text);

	if (len <= GROUP_MAX && text[0] != '-' &&
	    strcspn(text, " :,/\\\"'") == len)
		return NULL;
	return "must be the name of a group";
}

static const char *
check_id(const char *text)
{
	return strlen(text) <= LTP_ID_MAX ? NULL
					  : "must be of at most 256 bytes";
}

/* ":*" for any port, or ":" and one. */
static bool
is_port(const char *text)
{
	const char *error;

	if (strcmp(text, ":*") == 0)
		return true;
	if (text[0] != ':' || text[1] < '0' || text[1] > '9')
		return false;
	strtonum(text + 1, 1, UINT16_MAX, &error);
	return error == NULL;
}

/* "scheme://host" with or without a port, or "*" for all of them. */
static const char *
check_origin(const char *text)
{
	static const char expected[] = "must be * or an origin, as in "
				       "https://example.org or "
				       "http://localhost:*";
	const char *host, *end;

	if (strcmp(text, "*") == 0)
		return NULL;
	host = text + strspn(text, ALNUM "+.-");
	if (host == text || strncmp(host, "://", 3) != 0)
		return expected;
	host += 3;
	end = host + strcspn(host, *host == '[' ? "]" : ":");
	if (*host == '[' && *end++ != ']')
		return expected;
	if (end == host || host + strcspn(host, " \t/?#@,*") < end)
		return expected;
	return *end == '\0' || is_port(end) ? NULL : expected;
}

static const char *
check_path(const char *text)
{
	if (text[0] == '/' && strlen(text) < PATH_MAX)
		return NULL;
	return "must be an absolute path";
}

static const char *
check_seed(const char *text)
{
	if (strlen(text) == 2 * AUDIT_SEED_SIZE &&
	    strspn(text, "0123456789abcdefABCDEF") == strlen(text))
		return NULL;
	return "must be 64 hexadecimal digits";
}

static const char *
check_socket(const char *text)
{
	if (text[0] == '/' &&
	    strlen(text) < sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return NULL;
	return "must be an absolute path that is short enough for a socket";
}

static const char *
check_variable(const char *text)
{
	if (text[strspn(text, ALNUM "_")] == '\0' &&
	    (text[0] < '0' || text[0] > '9'))
		return NULL;
	return "must be the name of an environment variable";
}
