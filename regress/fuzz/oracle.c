/*
 * jansson's opinion, and where it is not ours.
 */
#include "oracle.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The scanner's JSON_DEPTH_MAX. */
#define DEPTH_MAX 32

enum oracle_verdict
oracle_read(const void *text, size_t len, bool reals, struct json_t **out)
{
	size_t flags =
	    JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
	json_error_t error;

	if (reals)
		flags |= JSON_DECODE_INT_AS_REAL;
	*out = json_loadb(text, len, flags, &error);
	if (*out != NULL)
		return ORACLE_GOOD;
	switch (json_error_code(&error)) {
	case json_error_numeric_overflow:
		return ORACLE_BIG_NUMBER;
	case json_error_null_byte_in_key:
		return ORACLE_NUL_IN_NAME;
	default:
		return ORACLE_BAD;
	}
}

void
oracle_free(struct json_t *o)
{
	json_decref(o);
}

/* ---- differences ---- */

/* Is the byte within a string?  *quoted is the state before it. */
static bool
in_string(const uint8_t *p, size_t i, bool *quoted, bool *escaped)
{
	bool was = *quoted;

	if (*escaped)
		*escaped = false;
	else if (was && p[i] == '\\')
		*escaped = true;
	else if (p[i] == '"')
		*quoted = !was;
	return was;
}

static bool
is_deep(const uint8_t *p, size_t len)
{
	bool quoted = false, escaped = false;
	unsigned depth = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		if (in_string(p, i, &quoted, &escaped))
			continue;
		if ((p[i] == '[' || p[i] == '{') && ++depth > DEPTH_MAX)
			return true;
		if ((p[i] == ']' || p[i] == '}') && depth > 0)
			depth--;
	}
	return false;
}

static bool
is_word_or_number(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
}

size_t
oracle_mend(const uint8_t *p, size_t len, uint8_t *out)
{
	bool quoted = false, escaped = false;
	size_t i, n = 0;

	for (i = 0; i < len; i++) {
		if (!in_string(p, i, &quoted, &escaped) && p[i] == '\0' &&
		    i > 0 && is_word_or_number(p[i - 1]))
			continue;
		out[n++] = p[i];
	}
	return n;
}

static bool
has_overlooked(const uint8_t *p, size_t len)
{
	uint8_t *out = malloc(len + 1);
	bool has;

	if (out == NULL)
		abort();
	has = oracle_mend(p, len, out) < len;
	free(out);
	return has;
}

/*
 * All the differences there are.  The protocol (RFC 8259, and section 2 of
 * the node's) decides, and not a library's limits.  Duplicate members, bad
 * UTF-8, lone surrogates and \u0000 in values are no difference: jansson is
 * told to be as strict, and to let those NULs pass.
 */
static const struct difference {
	bool taken; /* by us */
	enum oracle_verdict verdict; /* jansson's */
	bool (*holds)(const uint8_t *, size_t); /* of the text; NULL: any */
	const char *why;
} differences[] = {
	{ true, ORACLE_BIG_NUMBER, NULL,
	    "JSON has no largest number, neither whole (beyond int64_t) nor "
	    "real (beyond a double): only who wants the value may refuse it, "
	    "and unknown members are ignored whatever they hold" },
	{ true, ORACLE_NUL_IN_NAME, NULL,
	    "\\u0000 is a character like others, in names as in values: "
	    "jansson's names end at a NUL, ours have a length" },
	{ false, ORACLE_GOOD, is_deep,
	    "messages nest at most 32 deep, so that a stranger does not "
	    "choose how much stack is used; jansson goes to 2048" },
	{ false, ORACLE_GOOD, has_overlooked,
	    "a NUL byte behind a number or a word is no white space: jansson's "
	    "lexer puts it back as if it were the end, and loses it" },
};

const char *
oracle_excuse(
    const uint8_t *p, size_t len, bool taken, enum oracle_verdict verdict)
{
	const struct difference *d;
	size_t i;

	for (i = 0; i < sizeof(differences) / sizeof(differences[0]); i++) {
		d = &differences[i];
		if (d->taken == taken && d->verdict == verdict &&
		    (d->holds == NULL || d->holds(p, len)))
			return d->why;
	}
	return NULL;
}

const char *
oracle_excuse_integer(const char *text, size_t len)
{
	if (len == 2 && memcmp(text, "-0", 2) == 0)
		return "-0 is no timestamp: it would not come back as it was";
	return NULL;
}

/* ---- values ---- */

enum oracle_type
oracle_type(const struct json_t *o)
{
	static const enum oracle_type types[] = {
		[JSON_OBJECT] = ORACLE_OBJECT,
		[JSON_ARRAY] = ORACLE_ARRAY,
		[JSON_STRING] = ORACLE_STRING,
		[JSON_INTEGER] = ORACLE_NUMBER,
		[JSON_REAL] = ORACLE_NUMBER,
		[JSON_TRUE] = ORACLE_TRUE,
		[JSON_FALSE] = ORACLE_FALSE,
		[JSON_NULL] = ORACLE_NULL,
	};

	return types[json_typeof(o)];
}

bool
oracle_is_object(const struct json_t *o)
{
	return json_is_object(o);
}

size_t
oracle_size(const struct json_t *o)
{
	return json_object_size(o);
}

const struct json_t *
oracle_member(const struct json_t *o, const char *name)
{
	return json_object_get(o, name);
}

const char *
oracle_string(const struct json_t *o, size_t *len)
{
	*len = json_string_length(o);
	return json_string_value(o);
}

bool
oracle_is_integer(const struct json_t *o)
{
	return json_is_integer(o);
}

int64_t
oracle_integer(const struct json_t *o)
{
	return json_integer_value(o);
}

double
oracle_real(const struct json_t *o)
{
	return json_number_value(o);
}

/* ---- deep values ---- */

static void
dump(const json_t *o, size_t flags, oracle_visit *visit)
{
	char *text = json_dumps(o, JSON_COMPACT | flags);

	if (text == NULL)
		abort();
	visit(text, strlen(text));
	free(text);
}

/* NOLINTBEGIN(misc-no-recursion): jansson bounds the depth */
/* A scalar is taken up, and what holds more gets its own text. */
static void
flatten_into(json_t *flat, const char *name, json_t *value, oracle_visit *visit)
{
	if (json_is_object(value) || json_is_array(value))
		oracle_flatten(value, visit);
	else
		json_object_set_nocheck(flat, name, value);
}

void
oracle_flatten(const struct json_t *o, oracle_visit *visit)
{
	json_t *flat = json_object(), *mutable, *value;
	const char *name;
	char index[24];
	size_t i;
	void *at;

	/* Iterators want to be able to write. */
	memcpy(&mutable, &o, sizeof(mutable));
	for (at = json_object_iter(mutable); at != NULL;
	     at = json_object_iter_next(mutable, at)) {
		name = json_object_iter_key(at);
		flatten_into(flat, name, json_object_iter_value(at), visit);
	}
	json_array_foreach(mutable, i, value)
	{
		snprintf(index, sizeof(index), "%zu", i);
		flatten_into(flat, index, value, visit);
	}
	if (!json_is_object(o) && !json_is_array(o))
		json_object_set_nocheck(flat, "", mutable);
	if (json_object_size(flat) > 0) {
		dump(flat, 0, visit);
		dump(flat, JSON_ENSURE_ASCII, visit);
	}
	json_decref(flat);
}
/* NOLINTEND(misc-no-recursion) */
