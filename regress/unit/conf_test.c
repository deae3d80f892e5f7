/*
 * conf.c, conf_load.c, conf_keyword.c, conf_value.c, conf_parse.c: what is
 * not seen from the outside by regress/conf, which has the texts of errors.
 */
#include "unit.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "conf_keyword.h"
#include "conf_parse.h"
#include "conf_value.h"
#include "digest.h"
#include "log.h"

#define SECRET "alice:correct-horse"

/* NOLINTNEXTLINE(readability-redundant-declaration): not in OpenBSD */
extern char **environ;

static char path[] = "/tmp/conf-test.XXXXXX";
static char error[CONF_ERROR_MAX];
static char logged[4096]; /* what was logged, line by line */

static void
write_conf(const char *text)
{
	int fd;

	fd = open(path, O_WRONLY | O_TRUNC);
	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static struct conf *
must_load_env(const char *text, const struct conf_env *env)
{
	struct conf *conf;

	write_conf(text);
	conf = conf_load(path, env, NULL, 0, error);
	if (conf == NULL)
		fail_msg("%s", error);
	return conf;
}

static struct conf *
must_load(const char *text)
{
	return must_load_env(text, NULL);
}

struct shown {
	const char *name;
	char value[512];
	char origin[512];
	size_t count;
};

static void
look(const char *name, const char *value, const char *origin, void *arg)
{
	struct shown *shown = arg;

	shown->count++;
	if (strcmp(name, shown->name) != 0)
		return;
	strlcpy(shown->value, value, sizeof(shown->value));
	strlcpy(shown->origin, origin, sizeof(shown->origin));
}

static void
assert_shown(const struct conf *conf, const char *name, const char *value,
    const char *origin)
{
	struct shown shown = { .name = name };

	conf_each(conf, look, &shown);
	assert_int_equal(shown.count, keyword_count);
	assert_string_equal(shown.value, value);
	assert_string_equal(shown.origin, origin);
}

/* The text that conf_print() makes, to be freed. */
static char *
printed(const struct conf *conf)
{
	char *text = NULL;
	size_t len;
	FILE *fp;

	fp = open_memstream(&text, &len);
	assert_non_null(fp);
	conf_print(conf, fp);
	assert_int_equal(fclose(fp), 0);
	return text;
}

/* ---- the table ---- */

static void
no_two_keywords_share_a_name_or_a_variable(void **state)
{
	const struct keyword *a, *b;
	size_t i, j;

	(void)state;
	for (a = keywords; a < keywords + keyword_count; a++) {
		assert_ptr_equal(keyword_find(a->name), a);
		if (a->alias != NULL)
			assert_ptr_equal(keyword_find(a->alias), a);
		for (b = keywords; b < a; b++) {
			assert_int_not_equal(a->offset, b->offset);
			for (i = 0; i < KEYWORD_VARIABLES; i++) {
				for (j = 0; j < KEYWORD_VARIABLES; j++) {
					if (a->variable[i] == NULL ||
					    b->variable[j] == NULL)
						continue;
					assert_string_not_equal(
					    a->variable[i], b->variable[j]);
				}
			}
		}
	}
}

static void
every_row_is_complete(void **state)
{
	const struct keyword *k;

	(void)state;
	for (k = keywords; k < keywords + keyword_count; k++) {
		if (k->kind == KIND_INTEGER)
			assert_true(k->min < k->max);
		if (k->kind == KIND_LIST)
			assert_true(k->max > 0);
		assert_int_equal(k->kind == KIND_CHOICE, k->choices != NULL);
		/* A reload must be able to show what it keeps. */
		assert_int_not_equal(
		    k->flags & (KEYWORD_SECRET | KEYWORD_RESTART),
		    KEYWORD_SECRET | KEYWORD_RESTART);
		/* Only what can be unset has no default. */
		if (k->initial == NULL && k->kind != KIND_STRING &&
		    k->kind != KIND_LIST)
			assert_string_equal(k->name, "workers");
	}
}

static void
tables_are_those_of_keywords(void **state)
{
	static const char *const good[] = { "general", "metrics", "distributed",
		"distributed.tls", "broker" };
	static const char *const bad[] = { "", "max_sessions", "dist",
		"distributed.tls.enabled", "tls", "distributed.", "general2" };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(good); i++)
		assert_true(keyword_table_exists(good[i]));
	for (i = 0; i < COUNT_OF(bad); i++)
		assert_false(keyword_table_exists(bad[i]));
}

static void
every_value_is_printed_so_that_it_reads_back(void **state)
{
	char what[VALUE_ERROR_MAX], *text;
	const struct keyword *k;
	struct conf *a, *b;

	(void)state;
	a = must_load("");
	b = must_load("");
	for (k = keywords; k < keywords + keyword_count; k++) {
		if ((k->flags & KEYWORD_SECRET) || !value_is_set(k, a))
			continue;
		text = value_print(k, a);
		assert_non_null(text);
		value_clear(k, b);
		if (value_set_json(k, b, text, strlen(text), what) == -1)
			fail_msg("%s = %s: %s", k->name, text, what);
		assert_true(value_equal(k, a, b));
		free(text);
	}
	conf_free(a);
	conf_free(b);
}

static void
a_bad_value_leaves_the_old_one(void **state)
{
	char what[VALUE_ERROR_MAX];
	struct conf *conf;

	(void)state;
	conf = must_load("addr = \"[::1]:1\"\nid = \"x\"\n");
	assert_int_equal(value_set_text(keyword_find("addr"), conf,
			     "127.0.0.1:1,nonsense", what),
	    -1);
	assert_int_equal(conf->addr.count, 1);
	assert_string_equal(conf->addr.item[0], "[::1]:1");
	assert_int_equal(
	    value_set_text(keyword_find("id"), conf, "", what), -1);
	assert_string_equal(conf->id, "x");
	assert_int_equal(
	    value_set_json(keyword_find("max_sessions"), conf, "0", 1, what),
	    -1);
	assert_int_equal(conf->max_sessions, 50000);
	conf_free(conf);
}

/* ---- defaults ---- */

static void
defaults_are_those_of_the_seeds(void **state)
{
	struct conf *conf;

	(void)state;
	conf = conf_load(NULL, NULL, NULL, 0, error);
	assert_non_null(conf);
	assert_int_equal(conf->addr.count, 1);
	assert_string_equal(conf->addr.item[0], "127.0.0.1:7070");
	assert_string_equal(conf->metrics_addr, "127.0.0.1:9090");
	assert_int_equal(conf->max_connections, 10000);
	assert_int_equal(conf->max_message_bytes, 131072);
	assert_int_equal(conf->max_sessions, 50000);
	assert_int_equal(conf->handshake_timeout_ms, 5000);
	assert_int_equal(conf->idle_ttl_ms, 60000);
	assert_int_equal(conf->gc_interval_ms, 10000);
	assert_int_equal(conf->rate_limit_rps, 10);
	assert_int_equal(conf->rate_limit_burst, 20);
	assert_int_equal(conf->ip_rate_limit_rps, 0);
	assert_int_equal(conf->ip_rate_limit_burst, 10);
	assert_int_equal(conf->ip_rate_limit_ttl_secs, 600);
	assert_int_equal(conf->auth_mode, AUTH_MODE_NONE);
	assert_int_equal(conf->auth_keys_reload_interval_secs, 30);
	assert_int_equal(conf->reload_failure, RELOAD_FAILURE_CLOSED);
	assert_false(conf->trust_proxy);
	assert_false(conf->allow_unsafe_expose);
	assert_false(conf->metrics_allow_insecure);
	assert_false(conf->auth_in_hello);
	assert_int_equal(conf->allowed_origins.count, 0);
	assert_int_equal(conf->log_level, LEVEL_INFO);
	assert_int_equal(conf->dialect, DIALECT_AUTO);
	assert_true(conf->workers >= 1 && conf->workers <= 64);
	assert_null(conf->auth_keys);
	assert_false(conf->distributed.enabled);
	assert_true(conf->distributed.require_tls_for_non_loopback);
	assert_int_equal(conf->distributed.auth_mode, DISTRIBUTED_AUTH_TOKEN);
	assert_int_equal(
	    conf->distributed.tls.min_tls_version, TLS_VERSION_1_2);
	assert_int_equal(conf->broker.port, 5555);
	conf_free(conf);
}

static void
the_node_id_is_a_fresh_uuid_at_every_start(void **state)
{
	struct conf *a, *b;

	(void)state;
	a = must_load("");
	b = must_load("");
	assert_int_equal(strncmp(a->id, "ltp-node-", 9), 0);
	assert_int_equal(strlen(a->id), 9 + 36);
	assert_string_not_equal(a->id, b->id);
	conf_free(a);
	conf_free(b);
}

/* ---- the environment ---- */

static void
secrets_are_wiped_where_they_stood_and_unset(void **state)
{
	static char keys[] = "AUTH_KEYS=" SECRET;
	static char again[] = "AUTH_KEYS=another:secret";
	static char jwt[] = "AUTH_JWT_SECRET=a-long-secret";
	static char id[] = "LTP_NODE_ID=node-1";
	static char other[] = "AUTH_KEYS_OTHER=stays";
	char *list[] = { other, keys, id, again, jwt, NULL };
	char **old = environ;
	struct conf_env *env;
	struct conf *conf;
	size_t i;

	(void)state;
	environ = list;
	env = conf_env_take();
	assert_non_null(env);
	assert_null(getenv("AUTH_KEYS"));
	assert_null(getenv("AUTH_JWT_SECRET"));
	assert_string_equal(getenv("LTP_NODE_ID"), "node-1");
	assert_string_equal(getenv("AUTH_KEYS_OTHER"), "stays");
	environ = old;
	for (i = strlen("AUTH_KEYS="); i < sizeof(keys); i++)
		assert_int_equal(keys[i], '\0');
	for (i = strlen("AUTH_KEYS="); i < sizeof(again); i++)
		assert_int_equal(again[i], '\0');
	for (i = strlen("AUTH_JWT_SECRET="); i < sizeof(jwt); i++)
		assert_int_equal(jwt[i], '\0');

	/* The first of two is the one that getenv(3) finds. */
	conf = must_load_env("", env);
	assert_string_equal(conf->auth_keys, SECRET);
	assert_string_equal(conf->auth_jwt_secret, "a-long-secret");
	assert_string_equal(conf->id, "node-1");
	conf_free(conf);
	conf_env_free(env);
}

static struct conf_env *
take(char *first, char *second)
{
	char *list[] = { first, second, NULL };
	char **old = environ;
	struct conf_env *env;

	environ = list;
	env = conf_env_take();
	environ = old;
	assert_non_null(env);
	return env;
}

static void
forgotten_secrets_still_count(void **state)
{
	char keys[] = "AUTH_KEYS=" SECRET, mode[] = "AUTH_MODE=api_key";
	struct conf_env *env;
	struct conf *conf;

	(void)state;
	env = take(keys, mode);
	conf = must_load_env("", env);
	assert_true(conf_keys_from_environment(conf));
	assert_string_equal(conf->auth_keys, SECRET);
	conf_free(conf);

	conf_env_forget(env);
	conf_env_forget(env);
	conf = must_load_env("auth_keys = \"bob:in-the-file\"\n", env);
	assert_int_equal(conf->auth_mode, AUTH_MODE_API_KEY);
	assert_null(conf->auth_keys);
	assert_true(conf_keys_from_environment(conf));
	assert_shown(conf, "auth_keys", "<set>", "environment AUTH_KEYS");
	conf_free(conf);
	conf_env_free(env);
}

static void
keys_of_the_file_are_not_of_the_environment(void **state)
{
	struct conf *conf;

	(void)state;
	conf = must_load("auth_mode = \"api_key\"\n"
			 "auth_keys = \"" SECRET "\"\n");
	assert_false(conf_keys_from_environment(conf));
	assert_string_equal(conf->auth_keys, SECRET);
	conf_free(conf);
	conf = must_load("");
	assert_false(conf_keys_from_environment(conf));
	conf_free(conf);
}

static void
a_wiped_configuration_still_says_that_there_was_a_secret(void **state)
{
	struct conf *conf;
	char *text;

	(void)state;
	conf = must_load("auth_keys = \"" SECRET "\"\n"
			 "allowed_api_keys = [\"" SECRET "\"]\n"
			 "[distributed]\ntoken = \"" SECRET "\"\n");
	conf_forget(conf);
	assert_null(conf->auth_keys);
	assert_null(conf->distributed.token);
	assert_int_equal(conf->broker.allowed_api_keys.count, 0);
	text = printed(conf);
	assert_null(strstr(text, SECRET));
	assert_non_null(strstr(text, "# auth_keys = <set> # "));
	assert_non_null(strstr(text, "# token = <set> # "));
	assert_non_null(strstr(text, "# allowed_api_keys = <set> # "));
	assert_non_null(strstr(text, "# auth_jwt_secret = <unset> # default"));
	free(text);
	conf_free(conf);
}

static void
origins_tell_the_last_word(void **state)
{
	char sessions[] = "LTP_NODE_MAX_SESSIONS=2";
	char bytes[] = "MAX_MESSAGE_BYTES=1024";
	char define[] = "max_connections=3";
	char *defs[] = { define };
	char origin[sizeof(path) + 8];
	struct conf_env *env;
	struct conf *conf;

	(void)state;
	env = take(sessions, bytes);
	write_conf("max_connections = 1\nmax_sessions = 1\n\n"
		   "rate_limit_rps = 1\n[metrics]\nallow_insecure = true\n");
	conf = conf_load(path, env, defs, COUNT_OF(defs), error);
	assert_non_null(conf);
	assert_shown(conf, "max_connections", "3", "-D");
	assert_shown(
	    conf, "max_sessions", "2", "environment LTP_NODE_MAX_SESSIONS");
	assert_shown(
	    conf, "max_message_bytes", "1024", "environment MAX_MESSAGE_BYTES");
	snprintf(origin, sizeof(origin), "%s:4", path);
	assert_shown(conf, "rate_limit_rps", "1", origin);
	snprintf(origin, sizeof(origin), "%s:6", path);
	assert_shown(conf, "metrics.allow_insecure", "true", origin);
	assert_shown(conf, "rate_limit_burst", "20", "default");
	assert_shown(conf, "log_level", "\"info\"", "default");
	assert_shown(conf, "log_file", "<unset>", "default");
	conf_free(conf);
	conf_env_free(env);
}

/* ---- reload ---- */

static void
sink(enum log_level level, const char *text, void *arg)
{
	(void)arg;
	assert_int_equal(level, LEVEL_WARN);
	strlcat(logged, text, sizeof(logged));
	strlcat(logged, "\n", sizeof(logged));
}

static void
a_reload_keeps_what_only_a_restart_takes(void **state)
{
	struct conf *old, *next;
	char origin[sizeof(path) + 8];

	(void)state;
	old = must_load("addr = \"127.0.0.1:1\"\nworkers = 2\n"
			"id = \"one\"\nmax_sessions = 10\n");
	next = must_load("# a line\nworkers = 2\nid = \"two\"\n"
			 "addr = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n"
			 "control_group = \"wheel\"\nmax_sessions = 20\n"
			 "metrics_addr = \"127.0.0.1:3\"\n"
			 "control_socket = \"/x\"\nauth_mode = \"api_key\"\n"
			 "auth_keys = \"" SECRET "\"\n"
			 "log_file = \"/var/log/y\"\n"
			 "allow_unsafe_expose = true\n"
			 "[metrics]\nallow_insecure = true\n");
	logged[0] = '\0';
	conf_keep_restart_only(next, old);
	assert_int_equal(next->addr.count, 1);
	assert_string_equal(next->addr.item[0], "127.0.0.1:1");
	assert_string_equal(next->id, "one");
	assert_null(next->control_group);
	assert_string_equal(next->metrics_addr, "127.0.0.1:9090");
	assert_string_equal(next->control_socket, old->control_socket);
	assert_int_equal(next->auth_mode, AUTH_MODE_NONE);
	assert_false(next->allow_unsafe_expose);
	assert_false(next->metrics_allow_insecure);
	assert_int_equal(next->max_sessions, 20);
	assert_string_equal(next->log_file, "/var/log/y");
	assert_string_equal(next->auth_keys, SECRET);
	assert_string_equal(logged,
	    "conf: a change of addr takes a restart, it stays "
	    "[\"127.0.0.1:1\"]\n"
	    "conf: a change of allow_unsafe_expose takes a restart, it "
	    "stays false\n"
	    "conf: a change of id takes a restart, it stays \"one\"\n"
	    "conf: a change of metrics_addr takes a restart, it stays "
	    "\"127.0.0.1:9090\"\n"
	    "conf: a change of control_socket takes a restart, it stays "
	    "\"" RUNSTATEDIR "/ltpd/ltpd.sock\"\n"
	    "conf: a change of control_group takes a restart, it stays "
	    "<unset>\n"
	    "conf: a change of auth_mode takes a restart, it stays "
	    "\"none\"\n"
	    "conf: a change of metrics.allow_insecure takes a restart, it "
	    "stays false\n");
	/* What is shown is where the value in use came from. */
	snprintf(origin, sizeof(origin), "%s:1", path);
	assert_shown(next, "addr", "[\"127.0.0.1:1\"]", origin);
	assert_shown(next, "metrics_addr", "\"127.0.0.1:9090\"", "default");
	snprintf(origin, sizeof(origin), "%s:2", path);
	assert_shown(next, "workers", "2", origin);
	conf_free(old);
	assert_string_equal(next->id, "one");
	conf_free(next);
}

static void
a_reload_keeps_the_id_of_this_start_in_silence(void **state)
{
	struct conf *old, *next;

	(void)state;
	old = must_load("");
	next = must_load("");
	logged[0] = '\0';
	conf_keep_restart_only(next, old);
	assert_string_equal(next->id, old->id);
	assert_string_equal(logged, "");
	conf_free(old);
	conf_free(next);
}

/* ---- printing ---- */

/* Take the origin off every line. */
static void
cut_origins(char *text)
{
	char *from = text, *to = text, *end, *p, *cut;

	for (; *from != '\0'; from = end) {
		end = from + strcspn(from, "\n");
		for (cut = end, p = from; p < end; p++) {
			if (strncmp(p, " # ", 3) == 0)
				cut = p;
		}
		if (*end == '\n')
			end++;
		memmove(to, from, (size_t)(cut - from));
		to += cut - from;
		*to++ = '\n';
	}
	*to = '\0';
}

static void
what_is_printed_parses_to_the_same(void **state)
{
	struct conf *a, *b;
	char *first, *second;

	(void)state;
	a = must_load("id = \"a # b\\\"\\\\ \\u00e9\"\nworkers = 3\n"
		      "allowed_origins = [\"https://example.org\", \"*\"]\n"
		      "[distributed.tls]\nmin_tls_version = \"1.3\"\n"
		      "[distributed]\nallow_agent_ids = [\"a,b\", \"]\"]\n");
	first = printed(a);
	b = must_load(first);
	second = printed(b);
	cut_origins(first);
	cut_origins(second);
	assert_string_equal(first, second);
	assert_string_equal(b->id, "a # b\"\\ \xc3\xa9");
	assert_int_equal(b->workers, 3);
	assert_string_equal(b->distributed.allow_agent_ids.item[1], "]");
	assert_int_equal(b->distributed.tls.min_tls_version, TLS_VERSION_1_3);
	free(first);
	free(second);
	conf_free(a);
	conf_free(b);
}

/* ---- errors ---- */

static void
errors_never_tell_a_secret(void **state)
{
	static const char *const rows[] = {
		"auth_keys = " SECRET "\n",
		"auth_keys = '" SECRET "'\n",
		"auth_keys = \"" SECRET "\n",
		"auth_keys = \"\"\"" SECRET "\"\"\"\n",
		"auth_keys = \"" SECRET "\\q\"\n",
		"auth_keys = \"" SECRET "\xff\"\n",
		"auth_keys = \"" SECRET "\\n\"\n",
		"auth_keys = \"" SECRET "\" \"" SECRET "\"\n",
		"auth_keys = [\"" SECRET "\"]\n",
		"auth_keys = { a = \"" SECRET "\" }\n",
		"auth_keys = \"x\"\nauth_keys = \"" SECRET "\"\n",
		"auth_key = \"" SECRET "\"\n",
		"auth_keys \"" SECRET "\"\n",
		"\"auth_keys\" = \"" SECRET "\"\n",
		SECRET "\n",
		"\"" SECRET "\",\n",
		"allowed_api_keys = \"" SECRET "\"\n",
		"allowed_api_keys = [\"" SECRET "\"\n",
		"allowed_api_keys = [\"" SECRET "\" \"" SECRET "\"]\n",
		"allowed_api_keys = [\"" SECRET "\\n\"]\n",
		"allowed_api_keys = [\n\"x\",\n" SECRET "\n]\n",
		"[distributed]\ntoken = " SECRET "\n",
		"node_signing_key = \"" SECRET "\"\n",
		"auth_mode = \"jwt\"\nauth_jwt_secret = \"" SECRET "\"\n",
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		write_conf(rows[i]);
		error[0] = '\0';
		if (conf_load(path, NULL, NULL, 0, error) != NULL)
			fail_msg("taken: %s", rows[i]);
		assert_int_not_equal(error[0], '\0');
		if (strstr(error, "correct") != NULL ||
		    strstr(error, "horse") != NULL)
			fail_msg("told: %s", error);
	}
}

static void
errors_of_any_length_fit(void **state)
{
	char text[2048];

	(void)state;
	snprintf(text, sizeof(text), "id = \"%0512d\\u0007\"\n", 0);
	write_conf(text);
	assert_null(conf_load(path, NULL, NULL, 0, error));
	assert_true(strlen(error) < CONF_ERROR_MAX);
	assert_non_null(strstr(error, "'..)"));
	snprintf(text, sizeof(text), "%01024d = 1\n", 0);
	write_conf(text);
	assert_null(conf_load(path, NULL, NULL, 0, error));
	assert_non_null(strstr(error, ":1: the keyword is too long"));
	snprintf(text, sizeof(text), "[%01024d]\n", 0);
	write_conf(text);
	assert_null(conf_load(path, NULL, NULL, 0, error));
	assert_non_null(strstr(error, ":1: bad name of a table"));
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_null(conf_load(text, NULL, NULL, 0, error));
	assert_int_equal(strlen(error), CONF_ERROR_MAX - 1);
}

/* ---- the parser alone ---- */

struct seen {
	char text[1024];
	unsigned stop; /* in this line */
};

static int
see_table(const char *name, unsigned line, void *arg)
{
	struct seen *seen = arg;
	char text[256];

	snprintf(text, sizeof(text), "%u:[%s]|", line, name);
	strlcat(seen->text, text, sizeof(seen->text));
	return line == seen->stop ? -1 : 0;
}

static int
see_setting(const struct conf_line *l, void *arg)
{
	struct seen *seen = arg;
	char text[256];
	json_t *json;

	/* A value is always cut so that looking at it is safe. */
	json = conf_json(l->value, l->len, NULL);
	json_decref(json);
	snprintf(text, sizeof(text), "%u:%s=%.*s|", l->line, l->name,
	    (int)l->len, l->value);
	strlcat(seen->text, text, sizeof(seen->text));
	return l->line == seen->stop ? -1 : 0;
}

static const struct conf_parser parser = { see_table, see_setting };

static void
values_reach_the_handler_as_json(void **state)
{
	char text[] =
	    "a=1#x\n\n[t.u] # y\nb = [ \"#\", # c\n\"]\",]\nc = \"\\\"\""
	    "\r\nd = true";
	struct seen seen = { .stop = 0 };

	(void)state;
	assert_int_equal(conf_parse("f", text, strlen(text), &parser, &seen,
			     error, sizeof(error)),
	    0);
	assert_string_equal(seen.text,
	    "1:a=1|3:[t.u]|4:t.u.b=[ \"#\",     \"]\" ]|6:t.u.c=\"\\\"\"|"
	    "7:t.u.d=true|");
}

static void
a_handler_can_stop_the_parser(void **state)
{
	char text[] = "a = 1\n[t]\nb = 2\n";
	struct seen seen = { .stop = 2 };

	(void)state;
	strlcpy(error, "mine", sizeof(error));
	assert_int_equal(conf_parse("f", text, strlen(text), &parser, &seen,
			     error, sizeof(error)),
	    -1);
	assert_string_equal(seen.text, "1:a=1|2:[t]|");
	assert_string_equal(error, "mine");
}

/*
 * Damage a good file in every place and in many ways.  It parses or it does
 * not; when it does not, there is a text with the place.  Sanitizers watch.
 */
static void
damaged_files_do_no_harm(void **state)
{
	static const char good[] = "addr = [ # c\n \"127.0.0.1:1\", # d\n]\n"
				   "id = \"a\\u00e9\\\"b\" # e\r\n"
				   "[distributed.tls] # f\nenabled = true\n";
	static const char with[] = "\"\\[]{}=#,.'\n\r\t \x01\x7f\xff"
				   "au0";
	char text[sizeof(good)];
	struct seen seen;
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(good) - 1; i++) {
		for (j = 0; j < sizeof(with); j++) {
			memcpy(text, good, sizeof(text));
			text[i] = with[j];
			memset(&seen, 0, sizeof(seen));
			error[0] = '\0';
			if (conf_parse("f", text, sizeof(good) - 1, &parser,
				&seen, error, sizeof(error)) == -1)
				assert_int_equal(strncmp(error, "f:", 2), 0);
			/* And cut off behind that place. */
			text[i + 1] = '\0';
			memset(&seen, 0, sizeof(seen));
			conf_parse("f", text, i + 1, &parser, &seen, error,
			    sizeof(error));
		}
	}
}

static void
deep_nesting_is_no_danger(void **state)
{
	const size_t size = 512 * 1024;
	struct seen seen = { .stop = 0 };
	char *text;

	(void)state;
	text = malloc(size + 1);
	assert_non_null(text);
	memset(text, '[', size);
	memcpy(text, "a = x", 5);
	text[size] = '\0';
	assert_int_equal(
	    conf_parse("f", text, size, &parser, &seen, error, sizeof(error)),
	    0);
	memcpy(text, "a =  ", 5);
	assert_int_equal(
	    conf_parse("f", text, size, &parser, &seen, error, sizeof(error)),
	    -1);
	free(text);
}

static int
setup(void **state)
{
	int fd;

	(void)state;
	log_init("test", LEVEL_TRACE);
	log_set_sink(sink, NULL);
	fd = mkstemp(path);
	if (fd == -1)
		return -1;
	close(fd);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	return unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_two_keywords_share_a_name_or_a_variable),
		cmocka_unit_test(every_row_is_complete),
		cmocka_unit_test(tables_are_those_of_keywords),
		cmocka_unit_test(every_value_is_printed_so_that_it_reads_back),
		cmocka_unit_test(a_bad_value_leaves_the_old_one),
		cmocka_unit_test(defaults_are_those_of_the_seeds),
		cmocka_unit_test(the_node_id_is_a_fresh_uuid_at_every_start),
		cmocka_unit_test(secrets_are_wiped_where_they_stood_and_unset),
		cmocka_unit_test(forgotten_secrets_still_count),
		cmocka_unit_test(keys_of_the_file_are_not_of_the_environment),
		cmocka_unit_test(
		    a_wiped_configuration_still_says_that_there_was_a_secret),
		cmocka_unit_test(origins_tell_the_last_word),
		cmocka_unit_test(a_reload_keeps_what_only_a_restart_takes),
		cmocka_unit_test(
		    a_reload_keeps_the_id_of_this_start_in_silence),
		cmocka_unit_test(what_is_printed_parses_to_the_same),
		cmocka_unit_test(errors_never_tell_a_secret),
		cmocka_unit_test(errors_of_any_length_fit),
		cmocka_unit_test(values_reach_the_handler_as_json),
		cmocka_unit_test(a_handler_can_stop_the_parser),
		cmocka_unit_test(damaged_files_do_no_harm),
		cmocka_unit_test(deep_nesting_is_no_danger),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
