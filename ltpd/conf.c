/*
 * A configuration in memory: how it is shown, what of it is wiped, and what
 * of it a reload leaves as it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "conf_keyword.h"
#include "conf_state.h"
#include "conf_value.h"

struct conf *
conf_new(void)
{
	struct conf *conf;

	conf = calloc(1, sizeof(*conf));
	if (conf == NULL)
		return NULL;
	conf->state = calloc(1, sizeof(*conf->state));
	if (conf->state != NULL)
		conf->state->origin =
		    calloc(keyword_count, sizeof(*conf->state->origin));
	if (conf->state == NULL || conf->state->origin == NULL) {
		conf_free(conf);
		return NULL;
	}
	return conf;
}

void
conf_free(struct conf *conf)
{
	size_t i;

	if (conf == NULL)
		return;
	for (i = 0; i < keyword_count; i++) {
		value_clear(&keywords[i], conf);
		if (conf->state != NULL && conf->state->origin != NULL)
			free(conf->state->origin[i].text);
	}
	if (conf->state != NULL)
		free(conf->state->origin);
	free(conf->state);
	free(conf);
}

struct conf_origin *
conf_origin(const struct conf *conf, const struct keyword *k)
{
	return &conf->state->origin[k - keywords];
}

void
conf_forget(struct conf *conf)
{
	const struct keyword *k;

	for (k = keywords; k < keywords + keyword_count; k++) {
		if (k->flags & KEYWORD_SECRET)
			value_clear(k, conf);
	}
}

bool
conf_keys_from_environment(const struct conf *conf)
{
	return conf_origin(conf, keyword_find("auth_keys"))->source ==
	       SOURCE_ENVIRONMENT;
}

/* ---- showing it ---- */

static const char *
origin_text(const struct conf_origin *o)
{
	return o->source == SOURCE_DEFAULT ? "default" : o->text;
}

/* A value to show, to be freed; *plain is false when it is no value. */
static char *
shown_value(const struct conf *conf, const struct keyword *k, bool *plain)
{
	*plain = false;
	if (k->flags & KEYWORD_SECRET)
		return strdup(
		    conf_origin(conf, k)->given ? "<set>" : "<unset>");
	if (!value_is_set(k, conf))
		return strdup("<unset>");
	*plain = true;
	return value_print(k, conf);
}

void
conf_each(const struct conf *conf, conf_each_fn *fn, void *arg)
{
	const struct keyword *k;
	bool plain;
	char *value;

	for (k = keywords; k < keywords + keyword_count; k++) {
		value = shown_value(conf, k, &plain);
		fn(k->name, value == NULL ? "<out of memory>" : value,
		    origin_text(conf_origin(conf, k)), arg);
		free(value);
	}
}

static size_t
table_length(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot == NULL ? 0 : (size_t)(dot - name);
}

static bool
same_table(const char *a, const char *b)
{
	return table_length(a) == table_length(b) &&
	       strncmp(a, b, table_length(a)) == 0;
}

static void
print_setting(const struct conf *conf, const struct keyword *k, FILE *fp)
{
	const struct conf_origin *o = conf_origin(conf, k);
	const char *name = k->name + table_length(k->name);
	bool plain;
	char *value;

	value = shown_value(conf, k, &plain);
	if ((k->flags & KEYWORD_EACH_START) && o->source == SOURCE_DEFAULT)
		plain = false;
	fprintf(fp, "%s%s = %s # %s\n", plain ? "" : "# ",
	    *name == '.' ? name + 1 : name,
	    value == NULL ? "<out of memory>" : value, origin_text(o));
	free(value);
}

void
conf_print(const struct conf *conf, FILE *fp)
{
	const struct keyword *k;
	const char *last = "";

	for (k = keywords; k < keywords + keyword_count; k++) {
		if (!same_table(k->name, last))
			fprintf(fp, "\n[%.*s]\n", (int)table_length(k->name),
			    k->name);
		print_setting(conf, k, fp);
		last = k->name;
	}
}

/* ---- what only a restart takes ---- */

static void
keep_origin(struct conf *next, const struct conf *old, const struct keyword *k)
{
	struct conf_origin *to = conf_origin(next, k);
	const struct conf_origin *from = conf_origin(old, k);
	char *text = from->text == NULL ? NULL : strdup(from->text);

	if (text == NULL && from->text != NULL)
		return;
	free(to->text);
	*to = *from;
	to->text = text;
}

void
conf_keep_restart_only(struct conf *next, const struct conf *old)
{
	const struct conf_origin *was, *is;
	const struct keyword *k;
	bool plain;
	char *value;

	for (k = keywords; k < keywords + keyword_count; k++) {
		if (!(k->flags & KEYWORD_RESTART) || value_equal(k, next, old))
			continue;
		was = conf_origin(old, k);
		is = conf_origin(next, k);
		if (value_copy(k, next, old) == -1) {
			log_warn("conf: %s", k->name);
			continue;
		}
		value = shown_value(old, k, &plain);
		if (was->source != SOURCE_DEFAULT ||
		    is->source != SOURCE_DEFAULT)
			log_warnx("conf: a change of %s takes a restart, it "
				  "stays %s",
			    k->name, value == NULL ? "the same" : value);
		free(value);
		keep_origin(next, old, k);
	}
}
