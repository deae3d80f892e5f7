/*
 * Where a configuration comes from: defaults, the file, the environment, -D,
 * each over the one before; and whether its settings go together.
 */
#include "config.h"

#include <sys/types.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "conf_keyword.h"
#include "conf_parse.h"
#include "conf_state.h"
#include "conf_value.h"
#include "digest.h"
#include "secretfile.h"
#include "shared.h"

#define CONF_FILE_MAX (1024 * 1024)

/* A file readable by others, or one that its group may change. */
#define MODE_TOO_OPEN (S_IWGRP | S_IROTH | S_IWOTH)

/* NOLINTNEXTLINE(readability-redundant-declaration): not in OpenBSD */
extern char **environ;

/* One variable of the environment. */
struct conf_variable {
	const struct keyword *keyword;
	const char *name;
	char *value; /* NULL once it was forgotten */
};

struct conf_env {
	struct conf_variable *variable; /* weaker ones of a keyword first */
	size_t count;
};

/* What reading a configuration needs at hand. */
struct loader {
	struct conf *conf;
	const char *path;
	struct stat st; /* of the file */
	char **table; /* names of those seen so far */
	size_t ntables;
	char *error;
	bool loose; /* settings need not go together */
};

static int load_error(struct loader *, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));

/* Always -1. */
static int
load_error(struct loader *ld, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ld->error, CONF_ERROR_MAX, fmt, ap);
	va_end(ap);
	return -1;
}

static int set_origin(struct loader *, const struct keyword *, enum conf_source,
    const char *fmt, ...) __attribute__((__format__(printf, 4, 5)));

/* The setting has a value from source; the text is for conf_each(). */
static int
set_origin(struct loader *ld, const struct keyword *k, enum conf_source source,
    const char *fmt, ...)
{
	struct conf_origin *o = conf_origin(ld->conf, k);
	char *text;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n == -1)
		return load_error(ld, "%s", strerror(ENOMEM));
	free(o->text);
	o->text = text;
	o->source = source;
	/* A variable's secret may be wiped, but there was one. */
	o->given = source == SOURCE_ENVIRONMENT || value_is_set(k, ld->conf);
	return 0;
}

/* ---- the environment ---- */

/* There may be more than one NAME=value. */
void
conf_env_wipe_secret(const char *name)
{
	size_t len = strlen(name);
	char **p;

	for (p = environ; p != NULL && *p != NULL; p++) {
		if (strncmp(*p, name, len) == 0 && (*p)[len] == '=')
			explicit_bzero(*p + len + 1, strlen(*p + len + 1));
	}
	unsetenv(name);
}

char *
conf_env_copy_secret(const char *name)
{
	const char *value = getenv(name);

	errno = 0;
	return value == NULL ? NULL : strdup(value);
}

static int
env_add(struct conf_env *env, const struct keyword *k, const char *name)
{
	struct conf_variable *v = &env->variable[env->count];
	const char *value = getenv(name);

	if (value == NULL)
		return 0;
	v->keyword = k;
	v->name = name;
	v->value = strdup(value);
	if (v->value == NULL)
		return -1;
	env->count++;
	if (k->flags & KEYWORD_SECRET)
		conf_env_wipe_secret(name);
	return 0;
}

struct conf_env *
conf_env_take(void)
{
	const struct keyword *k;
	struct conf_env *env;
	size_t i;

	env = calloc(1, sizeof(*env));
	if (env == NULL)
		return NULL;
	env->variable =
	    calloc(keyword_count * KEYWORD_VARIABLES, sizeof(*env->variable));
	if (env->variable == NULL)
		goto fail;
	for (k = keywords; k < keywords + keyword_count; k++) {
		for (i = KEYWORD_VARIABLES; i-- > 0;) {
			if (k->variable[i] != NULL &&
			    env_add(env, k, k->variable[i]) == -1)
				goto fail;
		}
	}
	return env;
fail:
	conf_env_free(env);
	return NULL;
}

void
conf_env_forget(struct conf_env *env)
{
	struct conf_variable *v;

	for (v = env->variable; v < env->variable + env->count; v++) {
		if (!(v->keyword->flags & KEYWORD_SECRET) || v->value == NULL)
			continue;
		freezero(v->value, strlen(v->value));
		v->value = NULL;
	}
}

void
conf_env_free(struct conf_env *env)
{
	size_t i;

	if (env == NULL)
		return;
	if (env->variable != NULL)
		conf_env_forget(env);
	for (i = 0; i < env->count; i++)
		free(env->variable[i].value);
	free(env->variable);
	free(env);
}

static int
load_environment(struct loader *ld, const struct conf_env *env)
{
	char what[VALUE_ERROR_MAX];
	const struct conf_variable *v;

	for (v = env->variable; v < env->variable + env->count; v++) {
		if (v->value == NULL)
			value_clear(v->keyword, ld->conf);
		else if (value_set_text(v->keyword, ld->conf, v->value, what) ==
			 -1) {
			if (v->keyword->flags & KEYWORD_PLAIN_ENV)
				continue;
			return load_error(ld, "environment: %s: %s: %s",
			    v->name, v->keyword->name, what);
		}
		if (set_origin(ld, v->keyword, SOURCE_ENVIRONMENT,
			"environment %s", v->name) == -1)
			return -1;
		conf_origin(ld->conf, v->keyword)->variable = v->name;
	}
	return 0;
}

/* ---- the file ---- */

static int
load_table(const char *name, unsigned line, void *arg)
{
	struct loader *ld = arg;
	char **table;
	size_t i;

	if (!keyword_table_exists(name))
		return load_error(
		    ld, "%s:%u: unknown table [%s]", ld->path, line, name);
	for (i = 0; i < ld->ntables; i++) {
		if (strcmp(ld->table[i], name) == 0)
			return load_error(ld,
			    "%s:%u: there is a table [%s] already", ld->path,
			    line, name);
	}
	table = reallocarray(ld->table, ld->ntables + 1, sizeof(*table));
	if (table == NULL)
		return load_error(ld, "%s", strerror(ENOMEM));
	ld->table = table;
	ld->table[ld->ntables] = strdup(name);
	if (ld->table[ld->ntables] == NULL)
		return load_error(ld, "%s", strerror(ENOMEM));
	ld->ntables++;
	return 0;
}

/* May the file hold a secret?  Decided on the open descriptor. */
static int
load_check_secret(struct loader *ld, const struct conf_line *line)
{
	if (ld->st.st_uid != 0 && ld->st.st_uid != geteuid())
		return load_error(ld,
		    "%s:%u: %s: a file with a secret must belong to root or "
		    "to the user of ltpd",
		    ld->path, line->line, line->name);
	if (ld->st.st_mode & MODE_TOO_OPEN)
		return load_error(ld,
		    "%s:%u: %s: mode %04o is too open for a file with a "
		    "secret",
		    ld->path, line->line, line->name,
		    (unsigned)(ld->st.st_mode & 07777));
	return 0;
}

static int
load_setting(const struct conf_line *line, void *arg)
{
	struct loader *ld = arg;
	const struct keyword *k = keyword_find(line->name);
	char what[VALUE_ERROR_MAX];
	struct conf_origin *o;

	if (k == NULL)
		return load_error(ld, "%s:%u: %s: unknown keyword", ld->path,
		    line->line, line->name);
	o = conf_origin(ld->conf, k);
	if (o->source == SOURCE_FILE)
		return load_error(ld, "%s:%u: %s: is already set in line %u",
		    ld->path, line->line, line->name, o->line);
	if ((k->flags & KEYWORD_SECRET) && load_check_secret(ld, line) == -1)
		return -1;
	if (value_set_json(k, ld->conf, line->value, line->len, what) == -1)
		return load_error(ld, "%s:%u: %s: %s", ld->path, line->line,
		    line->name, what);
	o->line = line->line;
	return set_origin(ld, k, SOURCE_FILE, "%s:%u", ld->path, line->line);
}

/* Open the file; the descriptor, or -1 with the error set. */
static int
load_open(struct loader *ld)
{
	int fd;

	/* A FIFO must not keep the supervisor waiting. */
	fd = open(ld->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1 || fstat(fd, &ld->st) == -1)
		load_error(ld, "%s: %s", ld->path, strerror(errno));
	else if (!S_ISREG(ld->st.st_mode))
		load_error(ld, "%s: not a regular file", ld->path);
	else
		return fd;
	if (fd != -1)
		close(fd);
	return -1;
}

static int
load_file(struct loader *ld)
{
	static const struct conf_parser parser = { load_table, load_setting };
	/* A byte more tells that it is too long, the last one is a NUL. */
	const size_t size = (size_t)CONF_FILE_MAX + 2;
	char *text;
	ssize_t len;
	int fd, r = -1;

	fd = load_open(ld);
	if (fd == -1)
		return -1;
	text = calloc(1, size);
	len = text == NULL ? -1 : secretfile_read_all(fd, text, size - 1);
	if (len == -1)
		load_error(ld, "%s: %s", ld->path, strerror(errno));
	else if (len > CONF_FILE_MAX)
		load_error(ld, "%s: larger than 1 MiB", ld->path);
	else
		r = conf_parse(ld->path, text, (size_t)len, &parser, ld,
		    ld->error, CONF_ERROR_MAX);
	freezero(text, size);
	close(fd);
	return r;
}

/* ---- the command line ---- */

static int
load_definition(struct loader *ld, const char *def)
{
	char name[CONF_NAME_MAX], what[VALUE_ERROR_MAX];
	const struct keyword *k;
	const char *eq;

	eq = def + strspn(def, "abcdefghijklmnopqrstuvwxyz0123456789_.");
	if (*eq != '=' || eq == def || eq - def >= CONF_NAME_MAX)
		return load_error(ld, "-D: must be keyword=value");
	strlcpy(name, def, (size_t)(eq - def) + 1);
	k = keyword_find(name);
	if (k == NULL)
		return load_error(ld, "-D: %s: unknown keyword", name);
	if (k->flags & KEYWORD_SECRET)
		return load_error(ld,
		    "-D: %s: secrets cannot be given on the command line",
		    name);
	if (value_set_text(k, ld->conf, eq + 1, what) == -1)
		return load_error(ld, "-D: %s: %s", name, what);
	return set_origin(ld, k, SOURCE_DEFINITION, "-D");
}

/* ---- whether the settings go together ---- */

static int check_error(struct loader *, const char *name, const char *fmt, ...)
    __attribute__((__format__(printf, 3, 4)));

/* What is wrong with the setting, after the place it comes from. */
static int
check_error(struct loader *ld, const char *name, const char *fmt, ...)
{
	const struct conf_origin *o = conf_origin(ld->conf, keyword_find(name));
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	switch (o->source) {
	case SOURCE_FILE:
		return load_error(ld, "%s: %s: %s", o->text, name, what);
	case SOURCE_ENVIRONMENT:
		return load_error(
		    ld, "environment: %s: %s: %s", o->variable, name, what);
	case SOURCE_DEFINITION:
		return load_error(ld, "-D: %s: %s", name, what);
	default:
		return load_error(ld, "%s: %s", name, what);
	}
}

/* Addresses have been checked when they were set. */
static bool
same_address(const char *a, const char *b)
{
	struct addr aa, ab;

	return addr_parse(&aa, a) == 0 && addr_parse(&ab, b) == 0 &&
	       memcmp(aa.ip, ab.ip, sizeof(aa.ip)) == 0 && aa.port == ab.port;
}

static bool
is_loopback(const char *text)
{
	struct addr addr;

	return addr_parse(&addr, text) == 0 && addr_is_loopback(&addr);
}

static bool
is_default(const struct conf *conf, const char *name)
{
	return conf_origin(conf, keyword_find(name))->source == SOURCE_DEFAULT;
}

static int
check_addr(struct loader *ld)
{
	const struct conf *conf = ld->conf;
	const struct conf_list *addr = &conf->addr;
	size_t i, j;

	for (i = 0; i < addr->count; i++) {
		if (!conf->allow_unsafe_expose && !is_loopback(addr->item[i]))
			return check_error(ld, "addr",
			    "%s is not a loopback address (set "
			    "allow_unsafe_expose = true to open a plaintext "
			    "listener)",
			    addr->item[i]);
		for (j = 0; j < i; j++) {
			if (same_address(addr->item[i], addr->item[j]))
				return check_error(ld, "addr",
				    "%s is listed twice", addr->item[i]);
		}
		if (same_address(addr->item[i], conf->metrics_addr))
			return check_error(ld,
			    is_default(conf, "metrics_addr") ? "addr"
							     : "metrics_addr",
			    "%s is both addr and metrics_addr",
			    conf->metrics_addr);
	}
	return 0;
}

static int
check_metrics(struct loader *ld)
{
	const struct conf *conf = ld->conf;

	if (conf->metrics_allow_insecure || is_loopback(conf->metrics_addr))
		return 0;
	return check_error(ld, "metrics_addr",
	    "%s is not a loopback address (set allow_insecure = true in "
	    "[metrics] to open a plaintext listener)",
	    conf->metrics_addr);
}

static int
check_auth(struct loader *ld)
{
	const struct conf *conf = ld->conf;

	if (conf->auth_mode == AUTH_MODE_JWT)
		return check_error(
		    ld, "auth_mode", "jwt is not built into this ltpd");
	if (conf->auth_mode == AUTH_MODE_API_KEY &&
	    conf->auth_keys_file == NULL &&
	    !conf_origin(conf, keyword_find("auth_keys"))->given)
		return check_error(ld, "auth_mode",
		    "api_key needs auth_keys or auth_keys_file");
	return 0;
}

static int
check_audit(struct loader *ld)
{
	const struct conf *conf = ld->conf;

	if (conf->node_signing_key_file != NULL &&
	    conf_origin(conf, keyword_find("node_signing_key"))->given)
		return check_error(ld, "node_signing_key_file",
		    "node_signing_key is set, too");
	return 0;
}

/* What is not built is never accepted in silence. */
static int
check_built(struct loader *ld)
{
	const struct conf *conf = ld->conf;

#ifndef LTPD_DISTRIBUTED
	if (conf->distributed.enabled)
		return check_error(ld, "distributed.enabled",
		    "this ltpd is built without remote listeners");
#endif
	if (conf->broker.enabled)
		return check_error(ld, "broker.enabled",
		    "this ltpd is built without the broker");
	return 0;
}

/* ---- all of it ---- */

/* Defaults that are found out rather than written down. */
static int
set_computed(struct conf *conf)
{
	char text[UUID_TEXT_SIZE];
	uint8_t id[UUID_SIZE];

	conf->workers = sysconf(_SC_NPROCESSORS_ONLN);
	if (conf->workers < 1)
		conf->workers = 1;
	if (conf->workers > SHARED_SLOTS)
		conf->workers = SHARED_SLOTS;
	uuid_random(id);
	return asprintf(&conf->id, "ltp-node-%s", uuid_print(text, id));
}

static int
load_defaults(struct loader *ld)
{
	char what[VALUE_ERROR_MAX];
	const struct keyword *k;

	if (set_computed(ld->conf) == -1) {
		ld->conf->id = NULL;
		return load_error(ld, "%s", strerror(ENOMEM));
	}
	for (k = keywords; k < keywords + keyword_count; k++) {
		if (k->initial != NULL &&
		    value_set_text(k, ld->conf, k->initial, what) == -1)
			return load_error(ld, "default: %s: %s", k->name, what);
	}
	return 0;
}

/* Everything into ld->conf.  0 or -1. */
static int
load_all(struct loader *ld, const struct conf_env *env, char *const *defs,
    size_t ndefs)
{
	size_t i;

	if (load_defaults(ld) == -1)
		return -1;
	if (ld->path != NULL && load_file(ld) == -1)
		return -1;
	if (env != NULL && load_environment(ld, env) == -1)
		return -1;
	for (i = 0; i < ndefs; i++) {
		if (load_definition(ld, defs[i]) == -1)
			return -1;
	}
	if (ld->loose)
		return 0;
	if (check_addr(ld) == -1 || check_metrics(ld) == -1 ||
	    check_auth(ld) == -1 || check_audit(ld) == -1 ||
	    check_built(ld) == -1 ||
	    conf_check_distributed(ld->conf, ld->error) == -1)
		return -1;
	return 0;
}

static struct conf *
load(struct loader *ld, const struct conf_env *env, char *const *defs,
    size_t ndefs)
{
	size_t i;

	ld->conf = conf_new();
	if (ld->conf == NULL) {
		load_error(ld, "%s", strerror(ENOMEM));
		return NULL;
	}
	if (load_all(ld, env, defs, ndefs) == -1) {
		conf_free(ld->conf);
		ld->conf = NULL;
	}
	for (i = 0; i < ld->ntables; i++)
		free(ld->table[i]);
	free(ld->table);
	return ld->conf;
}

struct conf *
conf_load(const char *path, const struct conf_env *env, char *const *defs,
    size_t ndefs, char error[CONF_ERROR_MAX])
{
	struct loader ld = { .path = path, .error = error };

	return load(&ld, env, defs, ndefs);
}

struct conf *
conf_load_loose(const char *path, const struct conf_env *env, char *const *defs,
    size_t ndefs, char error[CONF_ERROR_MAX])
{
	struct loader ld = { .path = path, .error = error, .loose = true };

	return load(&ld, env, defs, ndefs);
}
