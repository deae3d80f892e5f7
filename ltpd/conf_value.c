/*
 * Values of settings.  Each kind has one row of functions.  A string that
 * was secret is wiped before its memory is given back, and no error quotes
 * one.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf_parse.h"
#include "conf_value.h"

#define GOT_MAX 64 /* bytes of a bad value that are shown */

/*
 * set and decode return 0, or -1 with error set; decode returns
 * VALUE_MISMATCH when the JSON is of another type.
 */
struct kind {
	int (*set)(const struct keyword *, struct conf *, const char *text,
	    char *error);
	int (*decode)(
	    const struct keyword *, struct conf *, const json_t *, char *error);
	json_t *(*encode)(const struct keyword *, const struct conf *);
};

#define VALUE_MISMATCH 1

static void *
member(const struct keyword *k, struct conf *conf)
{
	return (char *)conf + k->offset;
}

static const void *
const_member(const struct keyword *k, const struct conf *conf)
{
	return (const char *)conf + k->offset;
}

static int refuse(const struct keyword *, char *error, const char *got,
    size_t len, const char *fmt, ...) __attribute__((__format__(printf, 5, 6)));

/* What is wrong, and with which value unless it is secret.  Always -1. */
static int
refuse(const struct keyword *k, char *error, const char *got, size_t len,
    const char *fmt, ...)
{
	char shown[GOT_MAX * 4 + 1] = "";
	size_t i, used = 0;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error, VALUE_ERROR_MAX, fmt, ap);
	va_end(ap);
	if ((k->flags & KEYWORD_SECRET) || len == 0)
		return -1;
	for (i = 0; i < len && i < GOT_MAX; i++)
		used += (size_t)snprintf(shown + used, sizeof(shown) - used,
		    got[i] >= ' ' && got[i] <= '~' ? "%c" : "\\x%02x",
		    (unsigned char)got[i]);
	used = strlen(error);
	snprintf(error + used, VALUE_ERROR_MAX - used, " (got '%s'%s)", shown,
	    i < len ? ".." : "");
	return -1;
}

static int
refuse_memory(char *error)
{
	strlcpy(error, strerror(ENOMEM), VALUE_ERROR_MAX);
	return -1;
}

/* ---- true and false ---- */

static int
bool_set(
    const struct keyword *k, struct conf *conf, const char *text, char *error)
{
	bool *value = member(k, conf);

	if (strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0)
		*value = true;
	else if (strcasecmp(text, "false") == 0 || strcmp(text, "0") == 0)
		*value = false;
	else
		return refuse(
		    k, error, text, strlen(text), "must be true or false");
	return 0;
}

static int
bool_decode(
    const struct keyword *k, struct conf *conf, const json_t *json, char *error)
{
	bool *value = member(k, conf);

	(void)error;
	if (!json_is_boolean(json))
		return VALUE_MISMATCH;
	*value = json_is_true(json);
	return 0;
}

static json_t *
bool_encode(const struct keyword *k, const struct conf *conf)
{
	const bool *value = const_member(k, conf);

	return json_boolean(*value);
}

/* ---- integers ---- */

static int
refuse_integer(
    const struct keyword *k, char *error, const char *got, size_t len)
{
	return refuse(k, error, got, len,
	    "must be an integer from %lld to %lld", (long long)k->min,
	    (long long)k->max);
}

static int
integer_set(
    const struct keyword *k, struct conf *conf, const char *text, char *error)
{
	int64_t *value = member(k, conf), n;
	const char *bad = NULL;

	/* strtonum(3) would skip blanks and take a sign. */
	if (text[strspn(text, "0123456789")] != '\0')
		return refuse_integer(k, error, text, strlen(text));
	n = strtonum(text, k->min, k->max, &bad);
	if (bad != NULL)
		return refuse_integer(k, error, text, strlen(text));
	*value = n;
	return 0;
}

static int
integer_decode(
    const struct keyword *k, struct conf *conf, const json_t *json, char *error)
{
	int64_t *value = member(k, conf);
	json_int_t n = json_integer_value(json);
	char got[32];

	if (!json_is_integer(json))
		return VALUE_MISMATCH;
	if (n < k->min || n > k->max) {
		snprintf(got, sizeof(got), "%lld", (long long)n);
		return refuse_integer(k, error, got, strlen(got));
	}
	*value = n;
	return 0;
}

static json_t *
integer_encode(const struct keyword *k, const struct conf *conf)
{
	const int64_t *value = const_member(k, conf);

	return json_integer(*value);
}

/* ---- one of a few words ---- */

static int
choice_find(const struct keyword *k, struct conf *conf, const char *word,
    int (*compare)(const char *, const char *), char *error)
{
	const struct keyword_choice *c;
	int64_t *value = member(k, conf);
	char words[128] = "";

	for (c = k->choices; c->word != NULL; c++) {
		if (compare(c->word, word) == 0) {
			*value = c->value;
			return 0;
		}
		if (c != k->choices)
			strlcat(words, c[1].word == NULL ? " or " : ", ",
			    sizeof(words));
		strlcat(words, c->word, sizeof(words));
	}
	return refuse(k, error, word, strlen(word), "must be %s", words);
}

static int
choice_set(
    const struct keyword *k, struct conf *conf, const char *text, char *error)
{
	return choice_find(k, conf, text, strcasecmp, error);
}

static int
choice_decode(
    const struct keyword *k, struct conf *conf, const json_t *json, char *error)
{
	if (!json_is_string(json))
		return VALUE_MISMATCH;
	return choice_find(k, conf, json_string_value(json), strcmp, error);
}

static json_t *
choice_encode(const struct keyword *k, const struct conf *conf)
{
	const int64_t *value = const_member(k, conf);
	const struct keyword_choice *c;

	for (c = k->choices; c->word != NULL; c++) {
		if (c->value == *value)
			return json_string(c->word);
	}
	return NULL;
}

/* ---- strings ---- */

/* A string, or an item of a list.  0, or -1 with error set. */
static int
string_check(const struct keyword *k, const char *text, char *error)
{
	const char *what = NULL, *p;
	json_t *json;

	json = conf_json_string(text, strlen(text));
	if (json == NULL)
		what = "must be UTF-8";
	json_decref(json);
	for (p = text; *p != '\0'; p++) {
		if ((*p > 0 && *p < ' ') || *p == 0x7f)
			what = "must not hold control characters";
	}
	if (text[0] == '\0' && !(k->flags & KEYWORD_EMPTY))
		what = "must not be empty";
	if (what == NULL && k->check != NULL)
		what = k->check(text);
	if (what == NULL)
		return 0;
	return refuse(k, error, text, strlen(text), "%s", what);
}

static void
string_free(const struct keyword *k, char *s)
{
	if (s != NULL && (k->flags & KEYWORD_SECRET))
		freezero(s, strlen(s));
	else
		free(s);
}

static int
string_set(
    const struct keyword *k, struct conf *conf, const char *text, char *error)
{
	char **value = member(k, conf), *s;

	if (string_check(k, text, error) == -1)
		return -1;
	s = strdup(text);
	if (s == NULL)
		return refuse_memory(error);
	string_free(k, *value);
	*value = s;
	return 0;
}

static int
string_decode(
    const struct keyword *k, struct conf *conf, const json_t *json, char *error)
{
	if (!json_is_string(json))
		return VALUE_MISMATCH;
	return string_set(k, conf, json_string_value(json), error);
}

static json_t *
string_encode(const struct keyword *k, const struct conf *conf)
{
	char *const *value = const_member(k, conf);

	return *value == NULL ? json_null() : json_string(*value);
}

/* ---- lists of strings ---- */

static void
list_free(const struct keyword *k, struct conf_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		string_free(k, list->item[i]);
	free(list->item);
	list->item = NULL;
	list->count = 0;
}

static int
list_add(const struct keyword *k, struct conf_list *list, const char *text,
    size_t len, char *error)
{
	char **item, *s;

	s = strndup(text, len);
	item = reallocarray(list->item, list->count + 1, sizeof(*item));
	if (item != NULL)
		list->item = item;
	if (s == NULL || item == NULL) {
		string_free(k, s);
		return refuse_memory(error);
	}
	item[list->count++] = s;
	return string_check(k, s, error);
}

/* Put a complete list in place; takes what is in list, even on failure. */
static int
list_replace(const struct keyword *k, struct conf *conf, struct conf_list *list,
    char *error)
{
	struct conf_list *value = member(k, conf);
	char got[32];

	if (list->count < (size_t)k->min || list->count > (size_t)k->max) {
		snprintf(got, sizeof(got), "%zu", list->count);
		list_free(k, list);
		return refuse(k, error, got, strlen(got),
		    "must have %lld to %lld items", (long long)k->min,
		    (long long)k->max);
	}
	list_free(k, value);
	*value = *list;
	return 0;
}

static int
list_set(
    const struct keyword *k, struct conf *conf, const char *text, char *error)
{
	struct conf_list list = { NULL, 0 };
	size_t len, cut;

	for (;;) {
		text += strspn(text, " \t");
		len = cut = strcspn(text, ",");
		while (
		    cut > 0 && (text[cut - 1] == ' ' || text[cut - 1] == '\t'))
			cut--;
		if (list_add(k, &list, text, cut, error) == -1) {
			list_free(k, &list);
			return -1;
		}
		if (text[len] == '\0')
			return list_replace(k, conf, &list, error);
		text += len + 1;
	}
}

static int
list_decode(
    const struct keyword *k, struct conf *conf, const json_t *json, char *error)
{
	struct conf_list list = { NULL, 0 };
	const json_t *item;
	bool single;
	size_t i, n;

	single = json_is_string(json) && (k->flags & KEYWORD_SINGLE);
	if (!single && !json_is_array(json))
		return VALUE_MISMATCH;
	n = single ? 1 : json_array_size(json);
	for (i = 0; i < n; i++) {
		item = single ? json : json_array_get(json, i);
		if (list_add(k, &list, json_string_value(item),
			json_string_length(item), error) == -1) {
			list_free(k, &list);
			return -1;
		}
	}
	return list_replace(k, conf, &list, error);
}

static json_t *
list_encode(const struct keyword *k, const struct conf *conf)
{
	const struct conf_list *value = const_member(k, conf);
	json_t *array;
	size_t i;

	array = json_array();
	for (i = 0; array != NULL && i < value->count; i++) {
		if (json_array_append_new(array, json_string(value->item[i])) ==
		    -1) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

/* ---- any of them ---- */

static const struct kind kinds[] = {
	[KIND_BOOL] = { bool_set, bool_decode, bool_encode },
	[KIND_INTEGER] = { integer_set, integer_decode, integer_encode },
	[KIND_CHOICE] = { choice_set, choice_decode, choice_encode },
	[KIND_STRING] = { string_set, string_decode, string_encode },
	[KIND_LIST] = { list_set, list_decode, list_encode },
};

int
value_set_text(const struct keyword *k, struct conf *conf, const char *text,
    char error[VALUE_ERROR_MAX])
{
	if (*text == '\0' && !(k->flags & KEYWORD_EMPTY))
		return refuse(k, error, text, 0, "must not be empty");
	return kinds[k->kind].set(k, conf, text, error);
}

static int
refuse_type(const struct keyword *k, char *error, const char *got, size_t len)
{
	switch (k->kind) {
	case KIND_BOOL:
		return refuse(k, error, got, len, "must be true or false");
	case KIND_INTEGER:
		return refuse_integer(k, error, got, len);
	case KIND_LIST:
		return refuse(k, error, got, len,
		    "must be %san array of strings in double quotes",
		    k->flags & KEYWORD_SINGLE ? "a string or " : "");
	default:
		return refuse(
		    k, error, got, len, "must be a string in double quotes");
	}
}

int
value_set_json(const struct keyword *k, struct conf *conf, const char *json,
    size_t len, char error[VALUE_ERROR_MAX])
{
	json_t *decoded;
	int r;

	decoded = conf_json(json, len, NULL);
	if (decoded == NULL && (*json == '"' || *json == '['))
		return refuse(
		    k, error, json, len, "has a bad escape, or is not UTF-8");
	r = VALUE_MISMATCH;
	if (decoded != NULL)
		r = kinds[k->kind].decode(k, conf, decoded, error);
	json_decref(decoded);
	if (r == VALUE_MISMATCH)
		return refuse_type(k, error, json, len);
	return r;
}

bool
value_is_set(const struct keyword *k, const struct conf *conf)
{
	char *const *string;
	const struct conf_list *list;

	switch (k->kind) {
	case KIND_STRING:
		string = const_member(k, conf);
		return *string != NULL;
	case KIND_LIST:
		list = const_member(k, conf);
		return list->count > 0 || !(k->flags & KEYWORD_SECRET);
	default:
		return true;
	}
}

bool
value_equal(const struct keyword *k, const struct conf *a, const struct conf *b)
{
	json_t *ja, *jb;
	bool equal;

	ja = kinds[k->kind].encode(k, a);
	jb = kinds[k->kind].encode(k, b);
	equal = json_equal(ja, jb);
	json_decref(ja);
	json_decref(jb);
	return equal;
}

int
value_copy(const struct keyword *k, struct conf *to, const struct conf *from)
{
	char error[VALUE_ERROR_MAX];
	json_t *json;
	int r;

	json = kinds[k->kind].encode(k, from);
	if (json == NULL) {
		errno = ENOMEM;
		return -1;
	}
	r = 0;
	if (json_is_null(json))
		value_clear(k, to);
	else if (kinds[k->kind].decode(k, to, json, error) != 0) {
		errno = ENOMEM;
		r = -1;
	}
	json_decref(json);
	return r;
}

void
value_clear(const struct keyword *k, struct conf *conf)
{
	char **string;

	switch (k->kind) {
	case KIND_STRING:
		string = member(k, conf);
		string_free(k, *string);
		*string = NULL;
		break;
	case KIND_LIST:
		list_free(k, member(k, conf));
		break;
	default:
		break;
	}
}

char *
value_print(const struct keyword *k, const struct conf *conf)
{
	json_t *json;
	char *text = NULL;
	size_t len;

	json = kinds[k->kind].encode(k, conf);
	if (json == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	len = json_dumpb(json, NULL, 0, JSON_ENCODE_ANY);
	text = calloc(1, len + 1);
	if (text != NULL)
		json_dumpb(json, text, len, JSON_ENCODE_ANY);
	json_decref(json);
	return text;
}
