/*
 * The lines of ltpd.conf(5).  What is not in the subset is an error that
 * names its line; nothing is skipped and nothing is guessed.  A value is cut
 * out here, left to right, and turned into JSON in place: only arrays, which
 * may hold comments and end with a comma, need any turning.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_parse.h"
#include "secretfile.h"
#include "log.h"

struct parser {
	const char *path;
	char *p;
	char *end; /* of the text; a NUL is there */
	unsigned line;
	char table[CONF_NAME_MAX]; /* empty above all tables */
	char *error;
	size_t errsize;
};

static int parser_error(struct parser *, unsigned line, const char *fmt, ...)
    __attribute__((__format__(printf, 3, 4)));

/* Always -1. */
static int
parser_error(struct parser *ps, unsigned line, const char *fmt, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(ps->error, ps->errsize, "%s:%u: %s", ps->path, line, what);
	return -1;
}

static void
skip_blanks(struct parser *ps)
{
	while (*ps->p == ' ' || *ps->p == '\t')
		ps->p++;
}

/* Blanks and a comment; false when something else is left of the line. */
static bool
skip_rest(struct parser *ps)
{
	skip_blanks(ps);
	if (*ps->p == '#')
		ps->p += strcspn(ps->p, "\n");
	if (ps->p == ps->end)
		return true;
	if (*ps->p != '\n')
		return false;
	ps->p++;
	ps->line++;
	return true;
}

static size_t
bare_length(const char *p)
{
	return strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			 "0123456789_-");
}

/* TOML allows no control characters; CRLF ends a line as LF does. */
static int
parser_check_bytes(struct parser *ps)
{
	unsigned line = 1;
	char *p;

	for (p = ps->p; p < ps->end; p++) {
		if (*p == '\n')
			line++;
		else if (p[0] == '\r' && p[1] == '\n')
			*p = ' ';
		else if ((*p >= 0 && *p < ' ' && *p != '\t') || *p == 0x7f)
			return parser_error(
			    ps, line, "a control character is in this line");
	}
	return 0;
}

/* "[name]" or "[name.name]"; the cursor is on the bracket. */
static int
parse_table(struct parser *ps, const struct conf_parser *ops, void *arg)
{
	unsigned line = ps->line;
	const char *start;
	size_t len;

	if (ps->p[1] == '[')
		return parser_error(
		    ps, line, "arrays of tables are not supported");
	ps->p++;
	skip_blanks(ps);
	start = ps->p;
	while ((len = bare_length(ps->p)) > 0) {
		ps->p += len;
		if (*ps->p != '.' || bare_length(ps->p + 1) == 0)
			break;
		ps->p++;
	}
	len = (size_t)(ps->p - start);
	if (len == 0 || len >= sizeof(ps->table))
		return parser_error(ps, line, "bad name of a table");
	memcpy(ps->table, start, len);
	ps->table[len] = '\0';
	skip_blanks(ps);
	if (*ps->p != ']')
		return parser_error(
		    ps, line, "a table is written [name] or [name.name]");
	ps->p++;
	if (!skip_rest(ps))
		return parser_error(ps, line,
		    "nothing but a comment may follow [%s]", ps->table);
	return ops->table(ps->table, line, arg);
}

/* The cursor is on the quote that opens a string; ends behind its last. */
static int
scan_string(struct parser *ps, const char *name)
{
	if (strncmp(ps->p, "\"\"\"", 3) == 0)
		return parser_error(ps, ps->line,
		    "%s: strings of several lines are not supported", name);
	for (ps->p++; *ps->p != '"'; ps->p++) {
		if (*ps->p == '\\' && ps->p[1] != '\n' && ps->p[1] != '\0')
			ps->p++;
		else if (*ps->p == '\n' || *ps->p == '\0')
			return parser_error(ps, ps->line,
			    "%s: the string is not closed in its line", name);
	}
	ps->p++;
	return 0;
}

/* Turn what lies between two items, comments too, into blanks. */
static void
blank_gap(struct parser *ps)
{
	for (;; ps->p++) {
		if (*ps->p == '\n') {
			ps->line++;
			*ps->p = ' ';
		} else if (*ps->p == '#') {
			while (*ps->p != '\n' && ps->p < ps->end)
				*ps->p++ = ' ';
			ps->p--;
		} else if (*ps->p != ' ' && *ps->p != '\t')
			return;
	}
}

/*
 * The cursor is on the bracket that opens an array.  Only strings and commas
 * may stand in it, so one that is never closed is found at the next setting.
 */
static int
scan_array(struct parser *ps, const char *name)
{
	unsigned start = ps->line;
	char *comma = NULL; /* the last one, when a string is before it */
	bool item = false; /* the last thing was a string */

	for (ps->p++;; ps->p++) {
		blank_gap(ps);
		if (ps->p == ps->end)
			return parser_error(
			    ps, start, "%s: the array is not closed", name);
		if (*ps->p == ']')
			break;
		if (*ps->p == ',' && item) {
			comma = ps->p;
			item = false;
		} else if (*ps->p == '"' && !item) {
			if (scan_string(ps, name) == -1)
				return -1;
			ps->p--;
			item = true;
		} else {
			return parser_error(ps, ps->line,
			    "%s: expected %s in the array that begins in "
			    "line %u",
			    name, item ? "a comma or ]" : "a string or ]",
			    start);
		}
	}
	if (comma != NULL && !item)
		*comma = ' ';
	ps->p++;
	return 0;
}

static int
scan_value(struct parser *ps, const char *name)
{
	switch (*ps->p) {
	case '"':
		return scan_string(ps, name);
	case '[':
		return scan_array(ps, name);
	case '\'':
		return parser_error(
		    ps, ps->line, "%s: strings stand in double quotes", name);
	case '{':
		return parser_error(
		    ps, ps->line, "%s: inline tables are not supported", name);
	case '#':
	case '\n':
	case '\0':
		return parser_error(
		    ps, ps->line, "%s: a value is missing", name);
	default:
		ps->p += strcspn(ps->p, " \t\n#");
		return 0;
	}
}

/* The keyword before "=", with its table, into name. */
static int
parse_name(struct parser *ps, char name[CONF_NAME_MAX])
{
	const char *start = ps->p;
	size_t len = bare_length(ps->p);
	int n;

	ps->p += len;
	skip_blanks(ps);
	if (len > 0 && *ps->p == '.' && bare_length(ps->p + 1) > 0)
		return parser_error(ps, ps->line,
		    "dotted keywords are not supported, write a table "
		    "[%.*s]",
		    (int)(len > 64 ? 64 : len), start);
	if (len == 0 || *ps->p != '=')
		return parser_error(
		    ps, ps->line, "expected keyword = value, or [table]");
	ps->p++;
	n = snprintf(name, CONF_NAME_MAX, "%s%s%.*s", ps->table,
	    ps->table[0] == '\0' ? "" : ".", (int)len, start);
	if (n < 0 || n >= CONF_NAME_MAX)
		return parser_error(ps, ps->line, "the keyword is too long");
	return 0;
}

static int
parse_setting(struct parser *ps, const struct conf_parser *ops, void *arg)
{
	char name[CONF_NAME_MAX];
	struct conf_line setting;

	setting.line = ps->line;
	if (parse_name(ps, name) == -1)
		return -1;
	skip_blanks(ps);
	setting.name = name;
	setting.value = ps->p;
	if (scan_value(ps, name) == -1)
		return -1;
	setting.len = (size_t)(ps->p - setting.value);
	if (!skip_rest(ps))
		return parser_error(ps, ps->line,
		    "%s: nothing but a comment may follow the value", name);
	return ops->setting(&setting, arg);
}

int
conf_parse(const char *path, char *text, size_t len,
    const struct conf_parser *ops, void *arg, char *error, size_t errsize)
{
	struct parser ps = { .path = path,
		.p = text,
		.end = text + len,
		.line = 1,
		.error = error,
		.errsize = errsize };
	int r;

	if (parser_check_bytes(&ps) == -1)
		return -1;
	while (ps.p < ps.end) {
		if (skip_rest(&ps))
			continue;
		if (*ps.p == '[')
			r = parse_table(&ps, ops, arg);
		else
			r = parse_setting(&ps, ops, arg);
		if (r == -1)
			return -1;
	}
	return 0;
}

/*
 * jansson's memory: a block knows its size, so that it can be wiped.  This
 * covers the decoded strings, the tokens on their way there and the tables
 * of objects; not the text of errors, which lies on the stack.  It must not
 * fail: without memory for the end of a string, jansson (2.14) looks for that
 * end beyond its buffer, and writes what it finds there.
 */
union wiped {
	size_t size;
	max_align_t align;
};

static void *
wiping_malloc(size_t size)
{
	union wiped *block;

	if (size > SIZE_MAX - sizeof(*block) ||
	    (block = malloc(sizeof(*block) + size)) == NULL)
		fatalx("no memory for JSON");
	block->size = size;
	return block + 1;
}

static void
wiping_free(void *p)
{
	union wiped *block = p;

	if (block == NULL)
		return;
	block--;
	freezero(block, sizeof(*block) + block->size);
}

json_t *
conf_json(const char *text, size_t len, struct conf_json_error *why)
{
	json_error_t error;
	json_t *json;

	json_set_alloc_funcs(wiping_malloc, wiping_free);
	json = json_loadb(
	    text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
	if (json == NULL && why != NULL) {
		why->line = error.line;
		why->duplicate =
		    json_error_code(&error) == json_error_duplicate_key;
	}
	/* It quotes the token that it stumbled on, here and on its way here. */
	explicit_bzero(&error, sizeof(error));
	secretfile_wipe_stack();
	return json;
}

json_t *
conf_json_string(const char *text, size_t len)
{
	json_set_alloc_funcs(wiping_malloc, wiping_free);
	return json_stringn(text, len);
}
