/*
 * The JSON scanner beside jansson, on any text: the same verdict, the same
 * members, and the same values, strings byte by byte and doubles bit by bit.
 * Where they differ on purpose is a table in oracle.c, and nowhere else.
 * What the scanner reads is written again, too.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "json.h"
#include "number.h"
#include "oracle.h"

static struct json *scanner;

struct compare {
	const struct json_t *o; /* what jansson made of it, NULL: nothing */
	const struct json_t *held; /* its member that was visited last */
	size_t members; /* visited at the top level */
	size_t inner; /* visited of what is held */
	bool reals; /* whole numbers are doubles, too */
};

static void
compare_number(const struct json_t *o, bool reals, const struct str *text)
{
	double ours, theirs = oracle_real(o);
	int64_t integer;
	bool whole;

	FUZZ_ASSERT(
	    number_end(text->p, text->p + text->len) == text->p + text->len);
	FUZZ_ASSERT(number_get_double(text->p, text->len, &ours));
	whole = number_get_int64(text->p, text->len, &integer);
	if (reals || !oracle_is_integer(o)) {
		FUZZ_ASSERT(fuzz_same_double(ours, theirs));
		FUZZ_ASSERT(reals || !whole);
	} else if (whole)
		FUZZ_ASSERT(integer == oracle_integer(o));
	else
		FUZZ_ASSERT(oracle_excuse_integer(text->p, text->len) != NULL);
}

static void
compare_value(const struct json_t *o, bool reals, enum json_type type,
    const struct str *value)
{
	static const enum oracle_type types[] = {
		[JSON_NULL] = ORACLE_NULL,
		[JSON_TRUE] = ORACLE_TRUE,
		[JSON_FALSE] = ORACLE_FALSE,
		[JSON_NUMBER] = ORACLE_NUMBER,
		[JSON_STRING] = ORACLE_STRING,
		[JSON_ARRAY] = ORACLE_ARRAY,
		[JSON_OBJECT] = ORACLE_OBJECT,
	};
	const char *text;
	size_t len;

	FUZZ_ASSERT(o != NULL && oracle_type(o) == types[type]);
	if (type == JSON_NUMBER) {
		compare_number(o, reals, value);
	} else if (type == JSON_STRING) {
		text = oracle_string(o, &len);
		FUZZ_ASSERT(len == value->len);
		FUZZ_ASSERT(memcmp(text, value->p, len) == 0);
	} else
		FUZZ_ASSERT(value->len == 0);
}

/* All its members were visited, if it is an object. */
static void
compare_end(struct compare *c)
{
	if (oracle_is_object(c->held))
		FUZZ_ASSERT(c->inner == oracle_size(c->held));
	c->held = NULL;
	c->inner = 0;
}

static void
compare_visit(unsigned depth, const struct str *name, enum json_type type,
    const struct str *value, void *arg)
{
	struct compare *c = arg;
	const struct json_t *o;
	char *text;

	FUZZ_ASSERT(depth == 1 || depth == 2);
	FUZZ_ASSERT(type != JSON_NONE);
	FUZZ_ASSERT(fuzz_is_utf8((const uint8_t *)name->p, name->len));
	FUZZ_ASSERT(fuzz_is_utf8((const uint8_t *)value->p, value->len));
	if (c->o == NULL)
		return;
	if (depth == 1)
		compare_end(c);
	FUZZ_ASSERT((text = strndup(name->p, name->len)) != NULL);
	FUZZ_ASSERT(strlen(text) == name->len);
	o = oracle_member(depth == 1 ? c->o : c->held, text);
	free(text);
	compare_value(o, c->reals, type, value);
	if (depth == 1) {
		c->held = o;
		c->members++;
	} else
		c->inner++;
}

/* A copy of exactly its size, so that a byte beyond it is noticed. */
static enum json_type
scan(const uint8_t *p, size_t len, struct compare *c)
{
	enum json_type type;
	char *text;

	FUZZ_ASSERT((text = malloc(len)) != NULL);
	if (len > 0)
		memcpy(text, p, len);
	type = json_scan(scanner, text, len, compare_visit, c);
	free(text);
	return type;
}

static void
compare_text(const uint8_t *p, size_t len, bool reals)
{
	struct compare c = { .reals = reals };
	enum oracle_verdict verdict;
	enum json_type type;
	struct json_t *o;

	verdict = oracle_read(p, len, reals, &o);
	type = scan(p, len, &c);
	if ((type != JSON_NONE) != (verdict == ORACLE_GOOD)) {
		FUZZ_ASSERT(
		    oracle_excuse(p, len, type != JSON_NONE, verdict) != NULL);
	} else if (o != NULL) {
		FUZZ_ASSERT((type == JSON_OBJECT) == oracle_is_object(o));
		c.o = o;
		FUZZ_ASSERT(scan(p, len, &c) == type);
		compare_end(&c);
		if (type == JSON_OBJECT)
			FUZZ_ASSERT(c.members == oracle_size(o));
	}
	oracle_free(o);
}

static void
compare_flat(const char *text, size_t len)
{
	struct compare c = { 0 };
	struct json_t *o;

	FUZZ_ASSERT(oracle_read(text, len, false, &o) == ORACLE_GOOD);
	c.o = o;
	FUZZ_ASSERT(scan((const uint8_t *)text, len, &c) == JSON_OBJECT);
	FUZZ_ASSERT(c.members == oracle_size(o));
	oracle_free(o);
}

static void
compare_deep(const uint8_t *p, size_t len)
{
	struct json_t *o;

	(void)oracle_read(p, len, false, &o);
	if (o != NULL)
		oracle_flatten(o, compare_flat);
	oracle_free(o);
}

/* What jansson overlooks is taken out, and all is as it was without it. */
static void
compare_mended(const uint8_t *p, size_t len)
{
	uint8_t *mended;
	size_t n;

	FUZZ_ASSERT((mended = malloc(len + 1)) != NULL);
	n = oracle_mend(p, len, mended);
	if (n < len)
		compare_text(mended, n, false);
	free(mended);
}

/* ---- writing ---- */

static size_t
put_plainly(char *out, const uint8_t *p, size_t len)
{
	static const char letters[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
	const char *letter;
	size_t n = 0;

	out[n++] = '"';
	for (; len > 0; p++, len--) {
		letter = *p == '\0' ? NULL : strchr(letters, *p);
		if (letter != NULL)
			n += (size_t)sprintf(
			    out + n, "\\%c", names[letter - letters]);
		else if (*p < ' ')
			n += (size_t)sprintf(out + n, "\\u%04x", *p);
		else
			out[n++] = (char)*p;
	}
	out[n++] = '"';
	return n;
}

/* The input as a string; it fits, and looks as if written byte by byte. */
static void
check_put(const uint8_t *p, size_t len)
{
	char *out, *plain;
	size_t n;

	/* sprintf(3) ends with a NUL. */
	FUZZ_ASSERT((out = malloc(JSON_STRING_MAX(len))) != NULL);
	FUZZ_ASSERT((plain = malloc(JSON_STRING_MAX(len) + 1)) != NULL);
	n = (size_t)(json_put_string(out, (const char *)p, len) - out);
	FUZZ_ASSERT(n == put_plainly(plain, p, len));
	FUZZ_ASSERT(memcmp(out, plain, n) == 0);
	free(out);
	free(plain);
}

/* Both halves of the input, and what they have in common. */
static void
check_same(const uint8_t *p, size_t len)
{
	const char *a = (const char *)p, *b = a + len / 2;
	size_t n;

	for (n = 0; n <= len / 2 && n <= 40; n++)
		FUZZ_ASSERT(
		    bytes_same(a, b, n) == (n == 0 || memcmp(a, b, n) == 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (scanner == NULL)
		FUZZ_ASSERT((scanner = json_new()) != NULL);
	compare_text(data, len, false);
	compare_text(data, len, true);
	compare_deep(data, len);
	compare_mended(data, len);
	check_put(data, len);
	check_same(data, len);
	return 0;
}
