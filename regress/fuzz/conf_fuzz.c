/*
 * ltpd.conf(5) and -D.  What is printed of a configuration is one, with the
 * same settings.  The input is the file, and if its first byte is odd, a NUL
 * and definitions with NULs between them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "fuzz.h"

#define DEFS_MAX 8

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
		conf_keep_restart_only(again, conf);
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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz f = { data, len };
	char error[CONF_ERROR_MAX] = "", *defs[DEFS_MAX];
	bool split = (fuzz_u8(&f) & 1) != 0;
	struct conf *conf;
	const char *path;
	size_t ndefs = 0, n = f.left, i;
	char *text;

	fuzz_quiet();
	text = split ? fuzz_text_until(&f, '\0') : fuzz_text(&f);
	if (split)
		n = strlen(text);
	while (split && f.left > 0 && ndefs < DEFS_MAX)
		defs[ndefs++] = fuzz_text_until(&f, '\0');
	fuzz_file(text, n, &path);
	conf = conf_load(path, NULL, defs, ndefs, error);
	if (conf == NULL)
		check_error(error);
	else
		check_round(conf);
	if (conf != NULL)
		conf_forget(conf);
	conf_free(conf);
	for (i = 0; i < ndefs; i++)
		free(defs[i]);
	free(text);
	return 0;
}
