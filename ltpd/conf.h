/*
 * ltpd.conf(5): a strict subset of TOML, with environment variables over it
 * and -D over both.  Keywords, their types, limits, defaults and variables
 * are one table in conf_keyword.c.
 */
#ifndef CONF_H
#define CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "addr.h"
#include "log.h"
#include "msg.h"

enum conf_auth_mode {
	AUTH_MODE_NONE = 0,
	AUTH_MODE_API_KEY,
	AUTH_MODE_JWT, /* parsed, refused at start */
};

enum conf_log_format {
	LOG_FORMAT_TEXT = 0,
	LOG_FORMAT_JSON,
};

/* What holds when the key file cannot be read again. */
enum conf_reload_failure {
	RELOAD_FAILURE_CLOSED = 0, /* nobody is let in */
	RELOAD_FAILURE_KEEP, /* the last good keys */
};

/* Bits: token+mtls is both. */
enum conf_distributed_auth {
	DISTRIBUTED_AUTH_TOKEN = 1,
	DISTRIBUTED_AUTH_MTLS = 2,
};

/* As on the wire. */
enum conf_tls_version {
	TLS_VERSION_1_2 = 0x0303,
	TLS_VERSION_1_3 = 0x0304,
};

struct conf_list {
	char **item;
	size_t count;
};

struct conf_tls {
	bool enabled;
	int64_t min_tls_version; /* enum conf_tls_version */
	char *cert_path;
	char *key_path;
	char *client_ca_path;
	char *client_crl_path;
};

/* The remote listener. */
struct conf_distributed {
	bool enabled;
	char *bind_addr;
	bool allow_insecure;
	bool require_tls_for_non_loopback;
	int64_t auth_mode; /* enum conf_distributed_auth */
	char *token; /* secret */
	char *token_env;
	char *token_path;
	char *token_prev_path; /* the old one, during a rollover */
	struct conf_list allow_agent_ids;
	int64_t max_connections;
	int64_t max_sessions;
	int64_t max_message_bytes;
	int64_t rate_limit; /* messages a second */
	int64_t handshake_timeout_ms;
	int64_t message_timeout_ms;
	int64_t idle_timeout_ms;
	int64_t session_ttl_secs;
	struct conf_tls tls;
};

/* The broker: checked for type, refused at start when enabled. */
struct conf_broker {
	bool enabled;
	char *bind_addr; /* without a port */
	int64_t port;
	struct conf_list allowed_api_keys; /* secret */
};

/* Every setting.  Owned by conf_free(). */
struct conf {
	/* the node */
	struct conf_list addr; /* listeners, as text */
	char *id; /* never empty: a fresh one by default */
	char *metrics_addr;
	bool metrics_allow_insecure;
	bool allow_unsafe_expose;
	int64_t workers;
	char *control_socket;
	char *control_group; /* NULL: only root and our uid */
	bool landlock_optional;
	char *sandbox; /* as sandbox_demand(); only with regress hooks */
	int64_t log_level; /* enum log_level */
	char *log_file; /* NULL: syslog */
	int64_t log_format; /* enum conf_log_format */

	/* limits */
	int64_t max_connections;
	int64_t max_message_bytes;
	int64_t max_sessions;
	int64_t handshake_timeout_ms;
	int64_t idle_ttl_ms;
	int64_t gc_interval_ms;
	int64_t rate_limit_rps;
	int64_t rate_limit_burst;
	int64_t ip_rate_limit_rps;
	int64_t ip_rate_limit_burst;
	int64_t ip_rate_limit_ttl_secs;
	int64_t control_limit_rps;
	int64_t max_connections_per_ip; /* 0: off, as the next two */
	int64_t max_half_open_per_ip;
	int64_t auth_failure_limit; /* per address and minute */

	/* who may connect */
	int64_t auth_mode; /* enum conf_auth_mode */
	char *auth_keys; /* secret; NULL once it was wiped */
	char *auth_keys_file;
	int64_t auth_keys_reload_interval_secs;
	int64_t reload_failure; /* enum conf_reload_failure */
	bool auth_in_hello;
	int64_t dialect; /* enum conf_dialect */
	struct conf_list allowed_origins;
	bool trust_proxy;
	struct conf_list allow_proxy_cidr;

	/* the audit log */
	char *audit_log_file; /* NULL: none */
	int64_t audit_sign_every; /* lines, when there is a key */
	int64_t audit_payload; /* enum conf_audit_payload */
	bool audit_required;
	char *node_signing_key; /* secret: a seed in hex */
	char *node_signing_key_file;

	/* known, and refused where they would matter, until they are built */
	char *auth_jwt_secret; /* secret */
	struct conf_distributed distributed;
	struct conf_broker broker;

	struct conf_state *state; /* origins, see conf_state.h */
};

/*
 * The variables of the environment that keywords have, copied.  Secrets are
 * wiped where they stood and unset.
 */
struct conf_env;
struct conf_env *conf_env_take(void);
/* Wipe the copies of secrets; that they were set is remembered. */
void conf_env_forget(struct conf_env *);
void conf_env_free(struct conf_env *);
/*
 * A variable that a setting names, copied.  To be freed with freezero(3).  NULL
 * with errno, 0: it is not set.
 */
char *conf_env_copy_secret(const char *name);
/* Overwrite a variable where it stands, and unset it. */
void conf_env_wipe_secret(const char *name);

#define CONF_ERROR_MAX 512

/*
 * Read path (NULL: no file, defaults only), then the environment (may be
 * NULL), then definitions "name=value" from -D.  Returns NULL with a text in
 * error: "file:line: keyword: what is wrong (got 'value')"; the place is
 * "environment: VARIABLE" or "-D" when it is not a file.
 */
struct conf *conf_load(const char *path, const struct conf_env *,
    char *const *defs, size_t ndefs, char error[CONF_ERROR_MAX]);
/*
 * The same, but whether settings go together is not asked: for who wants to
 * say more about a configuration that conf_load() refuses.
 */
struct conf *conf_load_loose(const char *path, const struct conf_env *,
    char *const *defs, size_t ndefs, char error[CONF_ERROR_MAX]);
/*
 * Do the settings of the remote listener go together?  0, or -1 with a text.
 * conf_load() has asked; to be asked again when some of them were changed.
 */
int conf_check_distributed(const struct conf *, char error[CONF_ERROR_MAX]);
/* The remote listener may be open to the network without TLS. */
bool conf_distributed_exposed(const struct conf *);
void conf_free(struct conf *);
/* Wipe the secrets of a configuration; they still print as <set>. */
void conf_forget(struct conf *);
/* True when auth_keys comes from the environment (and may be wiped). */
bool conf_keys_from_environment(const struct conf *);

/*
 * Call fn for every setting in table order, with its name ("section.name"
 * for those in a table), its value as the file writes it (<set> for a
 * secret, <unset> for what has no value), and its origin ("default",
 * "file:line", "environment NAME", "-D").
 */
typedef void conf_each_fn(
    const char *name, const char *value, const char *origin, void *arg);
void conf_each(const struct conf *, conf_each_fn *, void *arg);
/*
 * -nn: a file that parses to the same settings, origins as comments.  What
 * cannot be written, secrets and what has no value, is a comment too, and so
 * is a node id that is only good for one start.
 */
void conf_print(const struct conf *, FILE *);

/*
 * Settings that only a restart takes: log a warning for each that differs
 * and copy the old value into next, so that what is shown is what is used.
 */
void conf_keep_restart_only(struct conf *next, const struct conf *old);

#endif /* CONF_H */
