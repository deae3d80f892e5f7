/*
 * The keywords of ltpd.conf(5): one table of names, types, limits, defaults
 * and environment variables.
 */
#ifndef CONF_KEYWORD_H
#define CONF_KEYWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf.h"

enum keyword_kind {
	KIND_BOOL = 1, /* bool */
	KIND_INTEGER, /* int64_t */
	KIND_CHOICE, /* int64_t, one of a few words */
	KIND_STRING, /* char *, NULL when unset */
	KIND_LIST, /* struct conf_list */
};

enum keyword_flags {
	KEYWORD_SECRET = 1 << 0, /* never printed, not for -D */
	KEYWORD_RESTART = 1 << 1, /* a reload does not take it */
	KEYWORD_SINGLE = 1 << 2, /* a list that may be one string */
	KEYWORD_PLAIN_ENV = 1 << 3, /* a variable that is not one of the
					words was meant for somebody else */
	KEYWORD_EACH_START = 1 << 4, /* the default is good for one start */
	KEYWORD_EMPTY = 1 << 5, /* "" is refused with the other settings */
};

struct keyword_choice {
	const char *word;
	int64_t value;
};

#define KEYWORD_VARIABLES 2

struct keyword {
	const char *name; /* with its table */
	const char *alias; /* another name in the file, or NULL */
	const char *variable[KEYWORD_VARIABLES]; /* the first one wins */
	enum keyword_kind kind;
	unsigned flags;
	size_t offset; /* in struct conf */
	const char *initial; /* default, as a variable would have it; NULL:
				unset or computed */
	int64_t min; /* of an integer, or of a list's items */
	int64_t max;
	const struct keyword_choice *choices; /* ends with a NULL word */
	/* What a string or item must be, or NULL when it is. */
	const char *(*check)(const char *);
};

extern const struct keyword keywords[];
extern const size_t keyword_count;

/* By name or alias; NULL when there is none. */
const struct keyword *keyword_find(const char *name);
bool keyword_table_exists(const char *table);

#endif /* CONF_KEYWORD_H */
