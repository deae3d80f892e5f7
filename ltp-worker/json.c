/*
 * JSON as strangers send it.  The scanner descends over the text itself and
 * builds no tree; all it keeps is the names of the members of the objects
 * that are open, so that a name which comes twice is seen.  Whoever chooses
 * the names must not be able to make that slow: names of large objects are
 * looked up by a hash under a random key.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "number.h"
#include "siphash.h"
#include "utf8.h"

/* Objects of up to so many members: names are compared one by one. */
#define NAMES_DIRECT 16
/* Room for so many names stays allocated between two texts. */
#define NAMES_KEEP 1024

struct name {
	struct str text;
	uint64_t hash; /* of names in large objects, set when they end */
};

struct json {
	uint8_t *p; /* the next byte of the text */
	uint8_t *end;
	json_visit *visit;
	void *arg;

	struct name *names; /* of all open objects, the innermost last */
	size_t nnames;
	size_t max_names;
	uint32_t *slots; /* hash table: 1 + index of a name, 0 is free */
	size_t max_slots;
	uint64_t key[2]; /* of the hash */
};

/* Where an array or object stands. */
struct place {
	unsigned depth; /* 1: top level */
	unsigned visit; /* as what depth its members are visited, 0: not */
	const struct str *parent; /* the name of the member that holds it */
};

static const struct str empty = { "", 0 };

/* The first byte of a value tells what it is. */
static const uint8_t type_of[256] = {
	['{'] = JSON_OBJECT,
	['['] = JSON_ARRAY,
	['"'] = JSON_STRING,
	['n'] = JSON_NULL,
	['t'] = JSON_TRUE,
	['f'] = JSON_FALSE,
	['-'] = JSON_NUMBER,
	['0'] = JSON_NUMBER,
	['1'] = JSON_NUMBER,
	['2'] = JSON_NUMBER,
	['3'] = JSON_NUMBER,
	['4'] = JSON_NUMBER,
	['5'] = JSON_NUMBER,
	['6'] = JSON_NUMBER,
	['7'] = JSON_NUMBER,
	['8'] = JSON_NUMBER,
	['9'] = JSON_NUMBER,
};

static bool
scan_value(struct json *, enum json_type, const struct place *, struct str *);

static bool
str_same(const struct str *a, const struct str *b)
{
	return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

bool
str_is(const struct str *s, const char *text)
{
	return s->len == strlen(text) && memcmp(s->p, text, s->len) == 0;
}

struct json *
json_new(void)
{
	struct json *j;

	if ((j = calloc(1, sizeof(*j))) == NULL)
		return NULL;
	j->max_names = NAMES_KEEP;
	j->names = reallocarray(NULL, j->max_names, sizeof(*j->names));
	if (j->names == NULL) {
		free(j);
		return NULL;
	}
	arc4random_buf(j->key, sizeof(j->key));
	return j;
}

void
json_free(struct json *j)
{
	if (j == NULL)
		return;
	free(j->slots);
	free(j->names);
	free(j);
}

/* ---- names ---- */

static bool
names_resize(struct json *j, size_t max)
{
	struct name *names;

	if ((names = reallocarray(j->names, max, sizeof(*names))) == NULL)
		return false;
	j->names = names;
	j->max_names = max;
	return true;
}

static bool
slots_clear(struct json *j, size_t n)
{
	uint32_t *slots;

	if (n > j->max_slots) {
		slots = reallocarray(j->slots, n, sizeof(*slots));
		if (slots == NULL)
			return false;
		j->slots = slots;
		j->max_slots = n;
	}
	memset(j->slots, 0, n * sizeof(*j->slots));
	return true;
}

/* A large text must not cost memory for ever. */
static void
names_trim(struct json *j)
{
	if (j->max_names <= NAMES_KEEP)
		return;
	(void)names_resize(j, NAMES_KEEP);
	free(j->slots);
	j->slots = NULL;
	j->max_slots = 0;
}

/* first: where the names of the innermost object begin. */
static bool
names_add(struct json *j, size_t first, const struct str *name)
{
	size_t i;

	if (j->nnames - first < NAMES_DIRECT) {
		for (i = first; i < j->nnames; i++) {
			if (str_same(&j->names[i].text, name))
				return false;
		}
	}
	if (j->nnames == j->max_names && !names_resize(j, 2 * j->max_names))
		return false;
	j->names[j->nnames++].text = *name;
	return true;
}

/* Are the names of a large object all different? */
static bool
names_unique(struct json *j, size_t first)
{
	struct name *name, *other;
	size_t i, size, slot;

	for (size = 4 * NAMES_DIRECT; size < 2 * (j->nnames - first); size *= 2)
		continue;
	if (!slots_clear(j, size))
		return false;
	for (i = first; i < j->nnames; i++) {
		name = &j->names[i];
		name->hash = siphash(j->key, name->text.p, name->text.len);
		for (slot = name->hash & (size - 1); j->slots[slot] != 0;
		     slot = (slot + 1) & (size - 1)) {
			other = &j->names[j->slots[slot] - 1];
			if (other->hash == name->hash &&
			    str_same(&other->text, &name->text))
				return false;
		}
		j->slots[slot] = (uint32_t)i + 1;
	}
	return true;
}

/* The innermost object ends. */
static bool
names_close(struct json *j, size_t first)
{
	if (j->nnames - first > NAMES_DIRECT && !names_unique(j, first))
		return false;
	j->nnames = first;
	return true;
}

/* ---- strings ---- */

#define EACH_BYTE(c) (0x0101010101010101ULL * (c))

/*
 * Eight bytes at once: is there no control among them, no quote, no
 * backslash, and nothing but ASCII?  A borrow needs such a byte to begin.
 */
static bool
word_is_plain(const void *p)
{
	uint64_t w, quote, backslash;

	memcpy(&w, p, sizeof(w));
	quote = (w ^ EACH_BYTE('"')) - EACH_BYTE(1);
	backslash = (w ^ EACH_BYTE('\\')) - EACH_BYTE(1);
	w |= (w - EACH_BYTE(' ')) | quote | backslash;
	return (w & EACH_BYTE(0x80)) == 0;
}

/*
 * Move over bytes that stand for themselves: up to a quote, a backslash, a
 * control or a byte that is no UTF-8.
 */
static void
skip_plain(struct json *j)
{
	uint8_t *p = j->p, *end = j->end, *run;
	utf8_state state;

	for (;;) {
		while (end - p >= 8 && word_is_plain(p))
			p += 8;
		while (p < end && *p >= ' ' && *p < 0x80 && *p != '"' &&
		       *p != '\\')
			p++;
		if (p == end || *p < 0x80)
			break;
		for (run = p; p < end && *p >= 0x80; p++)
			continue;
		state = 0;
		if (!utf8_check(&state, run, (size_t)(p - run)) || state != 0) {
			p = run;
			break;
		}
	}
	j->p = p;
}

/* The code unit of \uXXXX, -1 when there is none. */
static int32_t
scan_unit(struct json *j)
{
	int32_t unit = 0;
	int i, c;

	if (j->end - j->p < 6 || j->p[0] != '\\' || j->p[1] != 'u')
		return -1;
	for (i = 2; i < 6; i++) {
		c = j->p[i];
		if (c >= '0' && c <= '9')
			c -= '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			c = (c | 0x20) - 'a' + 10;
		else
			return -1;
		unit = unit << 4 | c;
	}
	j->p += 6;
	return unit;
}

static uint8_t *
put_utf8(uint8_t *w, int32_t c)
{
	if (c < 0x80) {
		*w++ = (uint8_t)c;
		return w;
	}
	if (c < 0x800)
		*w++ = (uint8_t)(0xc0 | c >> 6);
	else {
		if (c < 0x10000)
			*w++ = (uint8_t)(0xe0 | c >> 12);
		else {
			*w++ = (uint8_t)(0xf0 | c >> 18);
			*w++ = (uint8_t)(0x80 | (c >> 12 & 0x3f));
		}
		*w++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	}
	*w++ = (uint8_t)(0x80 | (c & 0x3f));
	return w;
}

static uint8_t *
scan_unicode(struct json *j, uint8_t *w)
{
	int32_t c, low;

	c = scan_unit(j);
	if (c < 0 || (c >= 0xdc00 && c <= 0xdfff))
		return NULL;
	if (c >= 0xd800 && c <= 0xdbff) {
		low = scan_unit(j);
		if (low < 0xdc00 || low > 0xdfff)
			return NULL;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	return put_utf8(w, c);
}

/*
 * Write what the escape at p stands for to w; never longer than the escape.
 * Returns the end of it, NULL when it is none.
 */
static uint8_t *
scan_escape(struct json *j, uint8_t *w)
{
	static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
	const char *letter;

	if (j->end - j->p < 2)
		return NULL;
	if (j->p[1] == 'u')
		return scan_unicode(j, w);
	letter = memchr(letters, j->p[1], sizeof(letters) - 1);
	if (letter == NULL)
		return NULL;
	*w++ = (uint8_t)bytes[letter - letters];
	j->p += 2;
	return w;
}

static bool
scan_string(struct json *j, struct str *out)
{
	uint8_t *w, *from;

	w = ++j->p;
	out->p = (const char *)w;
	for (;;) {
		from = j->p;
		skip_plain(j);
		if (w != from)
			memmove(w, from, (size_t)(j->p - from));
		w += j->p - from;
		if (j->p == j->end || *j->p != '\\')
			break;
		if ((w = scan_escape(j, w)) == NULL)
			return false;
	}
	out->len = (size_t)(w - (const uint8_t *)out->p);
	return j->p < j->end && *j->p++ == '"';
}

/* ---- values ---- */

static void
skip_space(struct json *j)
{
	while (j->p < j->end && (*j->p == ' ' || *j->p == '\t' ||
				    *j->p == '\n' || *j->p == '\r'))
		j->p++;
}

static bool
skip_byte(struct json *j, uint8_t c)
{
	if (j->p == j->end || *j->p != c)
		return false;
	j->p++;
	return true;
}

static enum json_type
next_type(const struct json *j)
{
	return j->p < j->end ? (enum json_type)type_of[*j->p] : JSON_NONE;
}

static bool
scan_word(struct json *j, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(j->end - j->p) < len || memcmp(j->p, word, len) != 0)
		return false;
	j->p += len;
	return true;
}

static bool
scan_number(struct json *j, struct str *out)
{
	const char *end;

	out->p = (const char *)j->p;
	if ((end = number_end(out->p, (const char *)j->end)) == NULL)
		return false;
	out->len = (size_t)(end - out->p);
	j->p += out->len;
	return true;
}

/* NOLINTBEGIN(misc-no-recursion): scan_value() bounds the depth */
static bool
scan_array(struct json *j, const struct place *place)
{
	const struct place inner = { .depth = place->depth + 1 };
	struct str value;

	j->p++;
	skip_space(j);
	if (skip_byte(j, ']'))
		return true;
	do {
		skip_space(j);
		if (!scan_value(j, next_type(j), &inner, &value))
			return false;
		skip_space(j);
	} while (skip_byte(j, ','));
	return skip_byte(j, ']');
}

static void
member_visit(struct json *j, const struct place *place, const struct str *name,
    enum json_type type, const struct str *value)
{
	if (place->visit != 0)
		j->visit(
		    place->visit, place->parent, name, type, value, j->arg);
}

/* first: where the names of this object begin. */
static bool
scan_member(struct json *j, const struct place *place, size_t first)
{
	struct str name, value = empty;
	const struct place inner = {
		.depth = place->depth + 1,
		.visit = place->visit == 1 ? 2 : 0,
		.parent = &name,
	};
	enum json_type type;
	bool nested;

	if (next_type(j) != JSON_STRING || !scan_string(j, &name) ||
	    !names_add(j, first, &name))
		return false;
	skip_space(j);
	if (!skip_byte(j, ':'))
		return false;
	skip_space(j);
	type = next_type(j);
	nested = type == JSON_OBJECT || type == JSON_ARRAY;
	if (nested)
		member_visit(j, place, &name, type, &empty);
	if (!scan_value(j, type, &inner, &value))
		return false;
	if (!nested)
		member_visit(j, place, &name, type, &value);
	return true;
}

static bool
scan_object(struct json *j, const struct place *place)
{
	size_t first = j->nnames;

	j->p++;
	skip_space(j);
	if (skip_byte(j, '}'))
		return true;
	do {
		skip_space(j);
		if (!scan_member(j, place, first))
			return false;
		skip_space(j);
	} while (skip_byte(j, ','));
	return skip_byte(j, '}') && names_close(j, first);
}

/* place is where the value stands if it is an array or an object. */
static bool
scan_value(struct json *j, enum json_type type, const struct place *place,
    struct str *value)
{
	switch (type) {
	case JSON_NULL:
		return scan_word(j, "null");
	case JSON_TRUE:
		return scan_word(j, "true");
	case JSON_FALSE:
		return scan_word(j, "false");
	case JSON_NUMBER:
		return scan_number(j, value);
	case JSON_STRING:
		return scan_string(j, value);
	case JSON_ARRAY:
		return place->depth <= JSON_DEPTH_MAX && scan_array(j, place);
	case JSON_OBJECT:
		return place->depth <= JSON_DEPTH_MAX && scan_object(j, place);
	case JSON_NONE:
		break;
	}
	return false;
}
/* NOLINTEND(misc-no-recursion) */

enum json_type
json_scan(struct json *j, char *text, size_t len, json_visit *visit, void *arg)
{
	const struct place top = { .depth = 1, .visit = 1, .parent = &empty };
	struct str value;
	enum json_type type;

	/* Names are numbered in 32 bits. */
	if (len > UINT32_MAX)
		return JSON_NONE;
	j->p = (uint8_t *)text;
	j->end = j->p + len;
	j->visit = visit;
	j->arg = arg;
	j->nnames = 0;
	skip_space(j);
	type = next_type(j);
	if (!scan_value(j, type, &top, &value))
		type = JSON_NONE;
	skip_space(j);
	if (j->p != j->end)
		type = JSON_NONE;
	names_trim(j);
	return type;
}

/* ---- output ---- */

char *
json_put_string(char *out, const char *p, size_t len)
{
	static const char letters[256] = {
		['"'] = '"',
		['\\'] = '\\',
		['\b'] = 'b',
		['\f'] = 'f',
		['\n'] = 'n',
		['\r'] = 'r',
		['\t'] = 't',
	};
	static const char hex[] = "0123456789abcdef";
	unsigned char c;

	*out++ = '"';
	while (len > 0) {
		if (len >= 8 && word_is_plain(p)) {
			memcpy(out, p, 8);
			out += 8;
			p += 8;
			len -= 8;
			continue;
		}
		len--;
		c = (unsigned char)*p++;
		if (letters[c] != '\0') {
			*out++ = '\\';
			*out++ = letters[c];
		} else if (c < ' ') {
			memcpy(out, "\\u00", 4);
			out += 4;
			*out++ = hex[c >> 4];
			*out++ = hex[c & 0xf];
		} else
			*out++ = (char)c;
	}
	*out++ = '"';
	return out;
}
