/*
 * Values of settings: how each kind is read, from the text of a variable or
 * from the file, compared, copied and printed.  A setting is a keyword and
 * the struct conf that it is a member of.
 */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "conf_keyword.h"

#define VALUE_ERROR_MAX 320

/*
 * Set from the text of a variable or of -D: lists with commas, words without
 * case.  0, or -1 with "must be .. (got '..')" in error and the old value in
 * place; a secret is not quoted.
 */
int value_set_text(const struct keyword *, struct conf *, const char *text,
    char error[VALUE_ERROR_MAX]);
/* The same from JSON, as the file has it. */
int value_set_json(const struct keyword *, struct conf *, const char *json,
    size_t len, char error[VALUE_ERROR_MAX]);

/* False when there is nothing to print. */
bool value_is_set(const struct keyword *, const struct conf *);
bool
value_equal(const struct keyword *, const struct conf *, const struct conf *);
/* 0, or -1 with errno and the old value in place. */
int
value_copy(const struct keyword *, struct conf *to, const struct conf *from);
/* Free what the value holds, wiping it when it is secret. */
void value_clear(const struct keyword *, struct conf *);
/* As the file writes it, to be freed; NULL with errno.  Not for secrets. */
char *value_print(const struct keyword *, const struct conf *);

#endif /* CONF_VALUE_H */
