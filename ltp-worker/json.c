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
#include "word.h"

/* Objects of up to so many members: names are compared one by one. */
#define NAMES_DIRECT 16
/* Room for so many names stays allocated between two texts. */
#define NAMES_KEEP 1024
/* Bytes of a \uXXXX. */
#define UNIT_SIZE 6

struct name {
	struct str text;
	uint64_t hash; /* of names in large objects, set when they end */
};

struct json {
	const uint8_t *end; /* of the text */
	json_visit *visit;
	void *arg;

	struct name *names; /* of all open objects, the innermost last */
	size_t nnames;
	size_t max_names;
	uint32_t *slots; /* hash table: 1 + index of a name, 0 is free */
	size_t max_slots;
	uint64_t key[2]; /* of the hash */
};

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

static uint8_t *scan_nested(
    struct json *, uint8_t *p, enum json_type, unsigned depth, bool visited);

/*
 * The top bit of each byte that is a control, a quote or a backslash.  What
 * is borrowed from the bytes above the first of them may mark those, too:
 * only the first is sure.
 */
static uint64_t
word_escapes(uint64_t w)
{
	uint64_t control = w - WORD_OF(' ');
	uint64_t quote = (w ^ WORD_OF('"')) - WORD_OF(1);
	uint64_t backslash = (w ^ WORD_OF('\\')) - WORD_OF(1);

	return (control | quote | backslash) & ~w & WORD_TOP_BITS;
}

/* The last word may overlap the one before. */
bool
bytes_same(const char *a, const char *b, size_t len)
{
	size_t i;

	if (len < WORD) {
		for (i = 0; i < len && a[i] == b[i]; i++)
			continue;
		return i == len;
	}
	for (i = 0; len - i > WORD; i += WORD) {
		if (word_read(a + i) != word_read(b + i))
			return false;
	}
	return word_read(a + len - WORD) == word_read(b + len - WORD);
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

/* Where the next name belongs, NULL when there is no memory. */
static struct str *
names_next(struct json *j)
{
	if (j->nnames == j->max_names && !names_resize(j, 2 * j->max_names))
		return NULL;
	return &j->names[j->nnames].text;
}

/*
 * The next name is in its place.  first: where the names of the innermost
 * object begin.
 */
static bool
names_add(struct json *j, size_t first)
{
	const struct str *name = &j->names[j->nnames].text;
	size_t i;

	if (j->nnames - first < NAMES_DIRECT) {
		for (i = first; i < j->nnames; i++) {
			if (str_same(&j->names[i].text, name))
				return false;
		}
	}
	j->nnames++;
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

static bool
next_is(const struct json *j, const uint8_t *p, uint8_t c)
{
	return p < j->end && *p == c;
}

/*
 * Move over ASCII that stands for itself: up to a quote, a backslash, a
 * control or another byte.
 */
static inline uint8_t *
skip_ascii(uint8_t *p, const uint8_t *end)
{
	uint64_t w, stop;

	for (; end - p >= (ptrdiff_t)WORD; p += WORD) {
		w = word_read(p);
		stop = (word_escapes(w) | w) & WORD_TOP_BITS;
		if (stop != 0)
			return p + word_first(stop);
	}
	while (p < end && *p >= ' ' && *p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}

/* The code unit of the \uXXXX at p, -1 when there is none. */
static int32_t
scan_unit(const uint8_t *p, const uint8_t *end)
{
	int32_t unit = 0;
	int i, c;

	if (end - p < UNIT_SIZE || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (i = 2; i < UNIT_SIZE; i++) {
		c = p[i];
		if (c >= '0' && c <= '9')
			c -= '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			c = (c | 0x20) - 'a' + 10;
		else
			return -1;
		unit = unit << 4 | c;
	}
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

/*
 * Decode the escape at p to *w, and move *w; never by more than the escape
 * is long.  Returns the end of it, NULL when it is none.
 */
static uint8_t *
scan_unicode(uint8_t *p, const uint8_t *end, uint8_t **w)
{
	int32_t c, low;

	c = scan_unit(p, end);
	if (c < 0 || (c >= 0xdc00 && c <= 0xdfff))
		return NULL;
	p += UNIT_SIZE;
	if (c >= 0xd800 && c <= 0xdbff) {
		low = scan_unit(p, end);
		if (low < 0xdc00 || low > 0xdfff)
			return NULL;
		p += UNIT_SIZE;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	*w = put_utf8(*w, c);
	return p;
}

static uint8_t *
scan_escape(uint8_t *p, const uint8_t *end, uint8_t **w)
{
	static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
	const char *letter;

	if (end - p < 2)
		return NULL;
	if (p[1] == 'u')
		return scan_unicode(p, end, w);
	letter = memchr(letters, p[1], sizeof(letters) - 1);
	if (letter == NULL)
		return NULL;
	*(*w)++ = (uint8_t)bytes[letter - letters];
	return p + 2;
}

/*
 * Move a run of bytes that are not ASCII to *w, if they are UTF-8.  Returns
 * the end of it, NULL when they are not.
 */
static uint8_t *
scan_utf8(uint8_t *p, const uint8_t *end, uint8_t **w)
{
	uint8_t *start = p;
	utf8_state state = 0;
	size_t len;

	while (p < end && *p >= 0x80)
		p++;
	len = (size_t)(p - start);
	if (!utf8_check(&state, start, len) || state != 0)
		return NULL;
	memmove(*w, start, len);
	*w += len;
	return p;
}

/*
 * The rest of a string, from the first byte at p that does not stand for
 * itself.  It is decoded where it lies: what is written to w never overtakes
 * what is read from p.  Apart, so that plain strings need no stack.
 */
static uint8_t *__attribute__((__noinline__))
scan_rest(uint8_t *start, uint8_t *p, const uint8_t *end, struct str *out)
{
	uint8_t *w = p, *from;

	while (p < end && *p != '"') {
		if (*p == '\\')
			p = scan_escape(p, end, &w);
		else if (*p >= 0x80)
			p = scan_utf8(p, end, &w);
		else
			return NULL;
		if (p == NULL)
			return NULL;
		from = p;
		p = skip_ascii(p, end);
		memmove(w, from, (size_t)(p - from));
		w += p - from;
	}
	if (p == end)
		return NULL;
	*out = (struct str){ (const char *)start, (size_t)(w - start) };
	return p + 1;
}

/* Most strings are plain ASCII. */
static uint8_t *
scan_string(const struct json *j, uint8_t *p, struct str *out)
{
	uint8_t *start;

	if (!next_is(j, p, '"'))
		return NULL;
	start = p + 1;
	p = skip_ascii(start, j->end);
	if (!next_is(j, p, '"'))
		return scan_rest(start, p, j->end, out);
	*out = (struct str){ (const char *)start, (size_t)(p - start) };
	return p + 1;
}

/* ---- values ---- */

static uint8_t *
skip_space(const struct json *j, uint8_t *p)
{
	while (
	    p < j->end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

static enum json_type
next_type(const struct json *j, const uint8_t *p)
{
	return p < j->end ? (enum json_type)type_of[*p] : JSON_NONE;
}

static uint8_t *
scan_word(const struct json *j, uint8_t *p, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(j->end - p) < len || memcmp(p, word, len) != 0)
		return NULL;
	return p + len;
}

static uint8_t *
scan_number(const struct json *j, uint8_t *p, struct str *out)
{
	const char *text = (const char *)p, *end;

	if ((end = number_end(text, (const char *)j->end)) == NULL)
		return NULL;
	*out = (struct str){ text, (size_t)(end - text) };
	return p + out->len;
}

/* The end of the value at p if it is no array or object, NULL if it is none. */
static uint8_t *
scan_scalar(
    const struct json *j, uint8_t *p, enum json_type type, struct str *value)
{
	switch (type) {
	case JSON_NULL:
		return scan_word(j, p, "null");
	case JSON_TRUE:
		return scan_word(j, p, "true");
	case JSON_FALSE:
		return scan_word(j, p, "false");
	case JSON_NUMBER:
		return scan_number(j, p, value);
	case JSON_STRING:
		return scan_string(j, p, value);
	default:
		return NULL;
	}
}

static bool
is_nested(enum json_type type)
{
	return type == JSON_ARRAY || type == JSON_OBJECT;
}

/* NOLINTBEGIN(misc-no-recursion): scan_nested() bounds the depth */
static uint8_t *
scan_array(struct json *j, uint8_t *p, unsigned depth)
{
	enum json_type type;
	struct str value;

	p = skip_space(j, p + 1);
	if (next_is(j, p, ']'))
		return p + 1;
	for (;;) {
		type = next_type(j, p);
		if (is_nested(type))
			p = scan_nested(j, p, type, depth + 1, false);
		else
			p = scan_scalar(j, p, type, &value);
		if (p == NULL)
			return NULL;
		p = skip_space(j, p);
		if (!next_is(j, p, ','))
			break;
		p = skip_space(j, p + 1);
	}
	return next_is(j, p, ']') ? p + 1 : NULL;
}

/* first: where the names of this object begin. */
static uint8_t *
scan_member(
    struct json *j, uint8_t *p, size_t first, unsigned depth, bool visited)
{
	struct str *name, value = { "", 0 };
	enum json_type type;

	if ((name = names_next(j)) == NULL ||
	    (p = scan_string(j, p, name)) == NULL || !names_add(j, first))
		return NULL;
	p = skip_space(j, p);
	if (!next_is(j, p, ':'))
		return NULL;
	p = skip_space(j, p + 1);
	type = next_type(j, p);
	if (is_nested(type)) {
		if (visited)
			j->visit(depth, name, type, &value, j->arg);
		return scan_nested(
		    j, p, type, depth + 1, visited && depth == 1);
	}
	p = scan_scalar(j, p, type, &value);
	if (p != NULL && visited)
		j->visit(depth, name, type, &value, j->arg);
	return p;
}

static uint8_t *
scan_object(struct json *j, uint8_t *p, unsigned depth, bool visited)
{
	size_t first = j->nnames;

	p = skip_space(j, p + 1);
	if (next_is(j, p, '}'))
		return p + 1;
	for (;;) {
		p = scan_member(j, p, first, depth, visited);
		if (p == NULL)
			return NULL;
		p = skip_space(j, p);
		if (!next_is(j, p, ','))
			break;
		p = skip_space(j, p + 1);
	}
	if (!next_is(j, p, '}') || !names_close(j, first))
		return NULL;
	return p + 1;
}

/*
 * The end of the array or object at p, NULL when it is none.  depth is that
 * of what it holds, 1 at the top.
 */
static uint8_t *
scan_nested(struct json *j, uint8_t *p, enum json_type type, unsigned depth,
    bool visited)
{
	if (depth > JSON_DEPTH_MAX)
		return NULL;
	if (type == JSON_ARRAY)
		return scan_array(j, p, depth);
	return scan_object(j, p, depth, visited);
}
/* NOLINTEND(misc-no-recursion) */

enum json_type
json_scan(struct json *j, char *text, size_t len, json_visit *visit, void *arg)
{
	uint8_t *p = (uint8_t *)text;
	struct str value;
	enum json_type type;

	/* Names are numbered in 32 bits. */
	if (len > UINT32_MAX)
		return JSON_NONE;
	j->end = p + len;
	j->visit = visit;
	j->arg = arg;
	j->nnames = 0;
	p = skip_space(j, p);
	type = next_type(j, p);
	if (is_nested(type))
		p = scan_nested(j, p, type, 1, true);
	else
		p = scan_scalar(j, p, type, &value);
	if (p == NULL || skip_space(j, p) != j->end)
		type = JSON_NONE;
	names_trim(j);
	return type;
}

/* ---- output ---- */

/*
 * Copy what needs no escape, at most len bytes of it; beyond them out is
 * spoiled, but not beyond out + len.  Returns how many they are.
 */
static size_t
copy_plain(char *out, const char *p, size_t len)
{
	size_t n = 0;
	uint64_t w, stop;

	for (; len - n >= WORD; n += WORD) {
		w = word_read(p + n);
		word_write(out + n, w);
		if ((stop = word_escapes(w)) != 0)
			return n + word_first(stop);
	}
	if (n > 0 && n < len) {
		/* The rest, with bytes before it that are known to be plain. */
		n = len - WORD;
		w = word_read(p + n);
		word_write(out + n, w);
		stop = word_escapes(w);
		return stop == 0 ? len : n + word_first(stop);
	}
	for (; n < len && (uint8_t)p[n] >= ' ' && p[n] != '"' && p[n] != '\\';
	     n++)
		out[n] = p[n];
	return n;
}

static char *
put_escape(char *out, uint8_t c)
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

	*out++ = '\\';
	if (letters[c] != '\0') {
		*out++ = letters[c];
		return out;
	}
	memcpy(out, "u00", 3);
	out += 3;
	*out++ = hex[c >> 4];
	*out++ = hex[c & 0xf];
	return out;
}

char *
json_put_string(char *out, const char *p, size_t len)
{
	size_t n;

	*out++ = '"';
	for (;;) {
		n = copy_plain(out, p, len);
		out += n;
		if (n == len)
			break;
		out = put_escape(out, (uint8_t)p[n]);
		p += n + 1;
		len -= n + 1;
	}
	*out++ = '"';
	return out;
}
