/*
 * Canonical JSON: a scanner that accepts exactly what the node prints, so
 * that what it accepts need not be printed again to be compared.
 */
#include "canon.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "utf8.h"

#define CANON_DEPTH_MAX 32
/* Digits that a double keeps, and the last integer before gaps. */
#define CANON_DIGITS  15
#define CANON_INTEGER "9007199254740992"

struct canon {
	const char *start;
	const char *p;
	const char *end;
	unsigned depth;
	const char *why;
	const char *env;
	const char *env_end;
};

static bool canon_value(struct canon *);

static bool
canon_fail(struct canon *c, const char *why)
{
	if (c->why == NULL)
		c->why = why;
	return false;
}

static bool
canon_char(struct canon *c, char want)
{
	if (c->p == c->end || *c->p != want)
		return false;
	c->p++;
	return true;
}

static bool
canon_literal(struct canon *c, const char *text)
{
	size_t len = strlen(text);

	if ((size_t)(c->end - c->p) < len || memcmp(c->p, text, len) != 0)
		return canon_fail(c, "is no JSON");
	c->p += len;
	return true;
}

/* What follows a backslash: only what cannot be written without one. */
static bool
canon_escape(struct canon *c)
{
	const char *p = c->p;

	if (p < c->end && *p != '\0' && strchr("\"\\bfnrt", *p) != NULL) {
		c->p++;
		return true;
	}
	if (c->end - p < 5 || memcmp(p, "u00", 3) != 0 ||
	    (p[3] != '0' && p[3] != '1') || p[4] == '\0' ||
	    strchr("0123456789abcdef", p[4]) == NULL ||
	    (p[3] == '0' && strchr("89acd", p[4]) != NULL))
		return canon_fail(c, "has an escape that need not be one");
	c->p += 5;
	return true;
}

static bool
canon_string(struct canon *c)
{
	const char *start = c->p + 1;
	utf8_state state = 0;

	if (!canon_char(c, '"'))
		return canon_fail(c, "is no JSON");
	while (c->p < c->end && *c->p != '"') {
		if ((unsigned char)*c->p < ' ')
			return canon_fail(c, "has a control character");
		if (*c->p++ == '\\' && !canon_escape(c))
			return false;
	}
	if (!utf8_check(
		&state, (const uint8_t *)start, (size_t)(c->p - start)) ||
	    state != 0)
		return canon_fail(c, "is not UTF-8");
	return canon_char(c, '"') || canon_fail(c, "is no JSON");
}

static size_t
canon_digits(struct canon *c)
{
	const char *start = c->p;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return (size_t)(c->p - start);
}

/* Digits from the first that is not 0 on. */
static size_t
canon_significant(const char *p, const char *end)
{
	size_t n = 0;

	for (; p < end; p++) {
		if (*p != '.' && (*p != '0' || n > 0))
			n++;
	}
	return n;
}

static bool
canon_number(struct canon *c)
{
	const char *why = "has a number in another form";
	const char *start;
	size_t n;

	if (canon_char(c, '-') && c->p < c->end && *c->p == '0' &&
	    (c->p + 1 == c->end || c->p[1] != '.'))
		return canon_fail(c, why);
	start = c->p;
	n = canon_digits(c);
	if (n == 0 || (n > 1 && *start == '0'))
		return canon_fail(c, n == 0 ? "is no JSON" : why);
	if (!canon_char(c, '.')) {
		if (n > sizeof(CANON_INTEGER) - 1 ||
		    (n == sizeof(CANON_INTEGER) - 1 &&
			memcmp(start, CANON_INTEGER, n) > 0))
			return canon_fail(c, why);
		return true;
	}
	if (canon_digits(c) == 0 || c->p[-1] == '0' ||
	    canon_significant(start, c->p) > CANON_DIGITS)
		return canon_fail(c, why);
	return true;
}

/* Bytes decide, and what is equal is a duplicate. */
static bool
canon_sorted(const char *a, size_t alen, const char *b, size_t blen)
{
	int cmp = memcmp(a, b, alen < blen ? alen : blen);

	return cmp < 0 || (cmp == 0 && alen < blen);
}

/* NOLINTBEGIN(misc-no-recursion): canon_value() bounds the depth */
static bool
canon_member(struct canon *c, const char **last, size_t *last_len)
{
	const char *name = c->p;
	size_t len;
	bool env;

	if (!canon_string(c))
		return false;
	len = (size_t)(c->p - name) - 1;
	if (*last != NULL && !canon_sorted(*last, *last_len, name, len))
		return canon_fail(c, "has members that are not sorted");
	*last = name;
	*last_len = len;
	if (!canon_char(c, ':'))
		return canon_fail(c, "is no JSON");
	env = c->depth == 1 && len == 4 && memcmp(name, "\"env", 4) == 0;
	if (!canon_value(c))
		return false;
	if (env) {
		c->env = name;
		c->env_end = c->p;
	}
	return true;
}

static bool
canon_object(struct canon *c)
{
	const char *last = NULL;
	size_t last_len = 0;

	if (canon_char(c, '}'))
		return true;
	do {
		if (!canon_member(c, &last, &last_len))
			return false;
	} while (canon_char(c, ','));
	return canon_char(c, '}') || canon_fail(c, "is no JSON");
}

static bool
canon_array(struct canon *c)
{
	if (canon_char(c, ']'))
		return true;
	do {
		if (!canon_value(c))
			return false;
	} while (canon_char(c, ','));
	return canon_char(c, ']') || canon_fail(c, "is no JSON");
}

static bool
canon_value(struct canon *c)
{
	bool good;

	if (c->p == c->end)
		return canon_fail(c, "is no JSON");
	switch (*c->p) {
	case '{':
	case '[':
		if (c->depth == CANON_DEPTH_MAX)
			return canon_fail(c, "is too deep");
		c->depth++;
		good = *c->p++ == '{' ? canon_object(c) : canon_array(c);
		c->depth--;
		return good;
	case '"':
		return canon_string(c);
	case 't':
		return canon_literal(c, "true");
	case 'f':
		return canon_literal(c, "false");
	case 'n':
		return canon_literal(c, "null");
	default:
		return canon_number(c);
	}
}
/* NOLINTEND(misc-no-recursion) */

const char *
canon_check(const char *text, size_t len, size_t *env, size_t *env_len)
{
	struct canon c = { .start = text, .p = text, .end = text + len };

	*env = *env_len = 0;
	if (len == 0 || *text != '{')
		return "is no JSON object";
	if (canon_value(&c) && c.p != c.end)
		canon_fail(&c, "is no JSON");
	if (c.why == NULL && c.env != NULL) {
		*env = (size_t)(c.env - text);
		*env_len = (size_t)(c.env_end - c.env) +
			   (c.env_end < c.end && *c.env_end == ',' ? 1 : 0);
	}
	return c.why;
}
