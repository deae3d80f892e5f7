/*
 * What doctor found: one finding to the check, with the worst that was seen.
 */
#ifndef FINDING_H
#define FINDING_H

#include <stdio.h>

struct json_t;

enum finding_status {
	FINDING_OK = 0,
	FINDING_WARNING,
	FINDING_ERROR,
};

#define FINDING_DETAIL_MAX 1024
#define FINDING_ADVICE_MAX 768

struct finding {
	enum finding_status status;
	char detail[FINDING_DETAIL_MAX]; /* may be empty */
	char advice[FINDING_ADVICE_MAX]; /* what to do about it */
};

/*
 * Add what was seen.  Several of them are joined; what is well goes unsaid
 * once something is not.  None of it may be a secret.
 */
void finding_ok(struct finding *, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));
void finding_warn(struct finding *, const char *advice, const char *fmt, ...)
    __attribute__((__format__(printf, 3, 4)));
void finding_error(struct finding *, const char *advice, const char *fmt, ...)
    __attribute__((__format__(printf, 3, 4)));

/* "[OK] name - detail", and under it what to do. */
void finding_print(const struct finding *, const char *name, FILE *);
/* The same as a new object. */
struct json_t *finding_json(const struct finding *, const char *name);
/* "ok", "warning", "error" */
const char *finding_status_name(enum finding_status);

#endif /* FINDING_H */
