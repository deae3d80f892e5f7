/*
 * Is a JSON object written in the one form that the audit log uses?
 */
#ifndef CANON_H
#define CANON_H

#include <stddef.h>

/*
 * Compact, members sorted at every level without a duplicate, strings with
 * no escape but those that must be, numbers in their one form.  Returns NULL
 * when it is, else what is wrong, a static text.  *env and *env_len are where
 * the top-level member "env" stands, from its name to the comma after it;
 * the length is 0 when there is none.
 */
const char *
canon_check(const char *text, size_t len, size_t *env, size_t *env_len);

#endif /* CANON_H */
