/*
 * ltpd.conf(5) and -D.  What is printed of a configuration is one, with the
 * same settings.  The input is the file, and if its first byte is odd, a NUL
 * and definitions with NULs between them; those that begin with a dollar
 * sign are variables of the environment.  All of it is done again with an
 * allocation that fails.
 */
#include <sys/stat.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "fuzz.h"

#define DEFS_MAX 8

enum flag {
	FLAG_DEFS = 1 << 0,
	FLAG_OPEN_MODE = 1 << 1, /* others may read the file */
	FLAG_NO_FILE = 1 << 2,
	FLAG_FORGET = 1 << 3, /* secrets of the environment */
};

struct input {
	unsigned flags;
	char *text;
	size_t len;
	char *def[DEFS_MAX];
	size_t ndefs;
	char *variable[DEFS_MAX];
	size_t nvariables;
};

struct settings_text {
	FILE *fp;
	bool incomplete; /* what it lacks is in no file */
};

static void
add_setting(const char *name, const char *value, const char *origin, void *arg)
{
	struct settings_text *t = arg;

	if (strcmp(value, "<set>") == 0)
		t->incomplete = true;
	/* A fresh one at each start. */
	if (strcmp(name, "id") == 0 && strcmp(origin, "default") == 0)
		return;
	FUZZ_ASSERT(fuzz_is_utf8((const uint8_t *)value, strlen(value)));
	fprintf(t->fp, "%s = %s\n", name, value);
}

/* All settings as a text, to be freed. */
static char *
settings(const struct conf *conf, bool *incomplete)
{
	struct settings_text t = { 0 };
	char *text;
	size_t len;

	FUZZ_ASSERT((t.fp = open_memstream(&text, &len)) != NULL);
	conf_each(conf, add_setting, &t);
	fclose(t.fp);
	*incomplete = t.incomplete;
	return text;
}

static void
check_round(const struct conf *conf)
{
	char error[CONF_ERROR_MAX], *printed, *before, *after;
	bool incomplete, unused;
	struct conf *again;
	const char *path;
	size_t len;
	FILE *fp;

	FUZZ_ASSERT((fp = open_memstream(&printed, &len)) != NULL);
	conf_print(conf, fp);
	fclose(fp);
	before = settings(conf, &incomplete);
	fuzz_file(printed, len, &path);
	again = conf_load(path, NULL, NULL, 0, error);
	FUZZ_ASSERT(again != NULL || incomplete);
	if (again != NULL && !incomplete) {
		after = settings(again, &unused);
		FUZZ_ASSERT(strcmp(before, after) == 0);
		free(after);
		again->workers++;
		conf_keep_restart_only(again, conf);
		FUZZ_ASSERT(again->workers == conf->workers);
	}
	conf_free(again);
	free(before);
	free(printed);
}

static void
check_error(const char *error)
{
	FUZZ_ASSERT(*error != '\0' && strlen(error) < CONF_ERROR_MAX);
	FUZZ_ASSERT(strchr(error, '\n') == NULL);
}

/* ---- the input ---- */

static void
take_apart(struct input *in, struct fuzz *f)
{
	char *item;

	memset(in, 0, sizeof(*in));
	in->flags = fuzz_u8(f);
	in->len = f->left;
	if ((in->flags & FLAG_DEFS) == 0) {
		in->text = fuzz_text(f);
		return;
	}
	in->text = fuzz_text_until(f, '\0');
	in->len = strlen(in->text);
	while (f->left > 0) {
		item = fuzz_text_until(f, '\0');
		if (item[0] == '$' && strchr(item, '=') > item + 1 &&
		    in->nvariables < DEFS_MAX) {
			in->variable[in->nvariables++] = item;
			*strchr(item, '=') = '\0';
		} else if (item[0] != '$' && in->ndefs < DEFS_MAX) {
			in->def[in->ndefs++] = item;
		} else {
			free(item);
		}
	}
}

static void
forget(struct input *in)
{
	size_t i;

	for (i = 0; i < in->ndefs; i++)
		free(in->def[i]);
	for (i = 0; i < in->nvariables; i++)
		free(in->variable[i]);
	free(in->text);
}

/* The environment of the process is left as it was. */
static struct conf_env *
environment(const struct input *in, unsigned memory)
{
	struct conf_env *env;
	const char *name;
	size_t i;

	for (i = 0; i < in->nvariables; i++) {
		name = in->variable[i] + 1;
		/* Not those that matter to the engine. */
		if (strstr(name, "AUTH") != NULL ||
		    strstr(name, "LTP") != NULL ||
		    strstr(name, "KEY") != NULL ||
		    strstr(name, "RATE") != NULL ||
		    strstr(name, "PROXY") != NULL ||
		    strstr(name, "RUST_LOG") != NULL)
			setenv(name, name + strlen(name) + 1, 1);
	}
	fuzz_memory(memory);
	env = conf_env_take();
	fuzz_memory(0);
	for (i = 0; i < in->nvariables; i++)
		unsetenv(in->variable[i] + 1);
	return env;
}

static void
load(const struct input *in, unsigned memory)
{
	char error[CONF_ERROR_MAX] = "";
	const char *path;
	struct conf_env *env = environment(in, memory % 8);
	struct conf *conf;
	mode_t mode;
	int fd;

	if (env != NULL && (in->flags & FLAG_FORGET) != 0)
		conf_env_forget(env);
	fd = fuzz_file(in->text, in->len, &path);
	mode = (in->flags & FLAG_OPEN_MODE) != 0 ? 0644 : 0600;
	FUZZ_ASSERT(fchmod(fd, mode) == 0);
	if ((in->flags & FLAG_NO_FILE) != 0)
		path = in->len % 2 == 0 ? "/" : "/nonexistent";
	fuzz_memory(memory);
	conf = conf_load(path, env, in->def, in->ndefs, error);
	fuzz_memory(0);
	if (conf == NULL)
		check_error(error);
	else if (memory == 0)
		check_round(conf);
	if (conf != NULL) {
		conf_keys_from_environment(conf);
		conf_forget(conf);
	}
	conf_free(conf);
	conf_env_free(env);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz f = { data, len };
	struct input in;
	unsigned n = fuzz_number(data, len);

	fuzz_quiet();
	take_apart(&in, &f);
	load(&in, 0);
	/* Defaults alone take a hundred. */
	load(&in, n * 3);
	forget(&in);
	return 0;
}
