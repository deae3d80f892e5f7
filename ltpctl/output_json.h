/*
 * Pieces of JSON.  Whatever cannot be allocated ends the program.
 */
#ifndef OUTPUT_JSON_H
#define OUTPUT_JSON_H

#include <jansson.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "metric.h"
#include "show.h"

/* Print on one line, in ASCII: no terminal is moved by it.  No newline. */
void output_json_print(FILE *, const json_t *);

/* Never NULL. */
json_t *output_json_object(void);
/* Any bytes: what is not UTF-8 becomes U+FFFD. */
json_t *output_json_text(const struct bytes *);
json_t *output_json_process(const struct msg_process *);

/* Set a member.  The first takes the value. */
void output_json_set(json_t *, const char *name, json_t *value);
void output_json_int(json_t *, const char *name, int64_t);
/* A count that may be unknown: null when negative. */
void output_json_known(json_t *, const char *name, int64_t);
/* Rounded to a thousandth. */
void output_json_real(json_t *, const char *name, double);
void output_json_bool(json_t *, const char *name, bool);
void output_json_str(json_t *, const char *name, const char *);
void output_json_bytes(json_t *, const char *name, const struct bytes *);

#endif /* OUTPUT_JSON_H */
