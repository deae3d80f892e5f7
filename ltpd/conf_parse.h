/*
 * The syntax of ltpd.conf(5), a strict subset of TOML: what a line is, where
 * a value ends.  Values are decoded by jansson.
 */
#ifndef CONF_PARSE_H
#define CONF_PARSE_H

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>

#define CONF_NAME_MAX 128 /* bytes of "table.keyword", with its NUL */

/* One "keyword = value". */
struct conf_line {
	const char *name; /* "table.keyword", or "keyword" above all tables */
	const char *value; /* JSON: comments, line ends and a trailing comma
			      are blanks by now; not NUL-terminated */
	size_t len;
	unsigned line; /* where it begins, from 1 */
};

/* Handlers say what is wrong themselves and return -1 to stop. */
struct conf_parser {
	int (*table)(const char *name, unsigned line, void *arg);
	int (*setting)(const struct conf_line *, void *arg);
};

/*
 * Read text, which has a NUL behind it, and change it on the way.  Returns 0,
 * or -1 with "path:line: what is wrong" in error unless a handler stopped it.
 * What it says never quotes a value, which might be secret.
 */
int conf_parse(const char *path, char *text, size_t len,
    const struct conf_parser *, void *arg, char *error, size_t errsize);

/* Where and why something is no JSON. */
struct conf_json_error {
	int line;
	bool duplicate; /* of a member's name */
};

/*
 * Decode any JSON value that may be secret: from the first call on, whatever
 * jansson allocates in this process is wiped when it is freed.  Nothing else
 * in the process may have used jansson before, and it ends when there is no
 * memory.  NULL with why set (may be NULL).
 */
json_t *conf_json(const char *text, size_t len, struct conf_json_error *why);
/* A string; NULL when text is no UTF-8. */
json_t *conf_json_string(const char *text, size_t len);

#endif /* CONF_PARSE_H */
