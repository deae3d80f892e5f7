/*
 * What the operator reads: text tables and JSON are two tables of functions,
 * and the verbs do not know which one they feed.
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "msg.h"
#include "show.h"

struct json_t;
struct output;

/* Where an answer goes. */
struct output_to {
	const struct output *ops;
	FILE *fp;
	struct json_t *doc; /* JSON: the object being made, or NULL */
	bool array; /* JSON: a streamed array is open */
	size_t rows; /* printed since the head */
};

struct output {
	void (*head)(struct output_to *, enum ctl_show);
	void (*summary)(struct output_to *, const struct show_summary *);
	void (*listener)(struct output_to *, const struct show_listener *);
	void (*process)(struct output_to *, const struct msg_process *);
	void (*session)(struct output_to *, const struct show_session *);
	void (*key)(struct output_to *, const struct show_key *);
	void (*setting)(struct output_to *, const struct show_setting *);
	void (*tail)(struct output_to *, enum ctl_show);
	/* A command was carried out; the remark may be empty. */
	void (*done)(struct output_to *, const char *remark);
	/* Closes what is open. */
	void (*error)(struct output_to *, const char *text);
};

extern const struct output output_text;
extern const struct output output_json;

/* Write to fp, which stays the caller's, as text or as JSON. */
void output_init(struct output_to *, FILE *, bool json);

/* ---- pieces of text, into buffers of the caller's; all return buf ---- */

#define OUTPUT_NUM_MAX  32
#define OUTPUT_ID_MAX   (4 * LTP_ID_MAX + 1)
#define OUTPUT_LINE_MAX 128

/* "512B", "1.5K", "12.3M"; "-" when negative, that is not known. */
char *output_size(char buf[OUTPUT_NUM_MAX], int64_t bytes);
/* "123ms", "4.2s", "5m06s", "7h08m", "9d10h"; "-" when negative. */
char *output_duration(char buf[OUTPUT_NUM_MAX], int64_t ms);
/* Processor time as top(1) has it, "1:02.34"; "-" when negative. */
char *output_cpu(char buf[OUTPUT_NUM_MAX], int64_t us);
/* Seconds since the epoch in RFC 3339, UTC; "-" when zero or absurd. */
char *output_time(char buf[OUTPUT_NUM_MAX], int64_t epoch);
/* A count; "-" when negative. */
char *output_count(char buf[OUTPUT_NUM_MAX], int64_t n);
/* "worker[3]", "auth". */
char *output_process_name(char buf[OUTPUT_NUM_MAX], const struct msg_process *);
/* What holds a process: "seccomp=2 landlock=7 no_new_privs=1 dumpable=0". */
char *output_sandbox(char buf[OUTPUT_LINE_MAX], const struct msg_process *);
/* The address of a session's peer. */
char *output_peer(char buf[OUTPUT_LINE_MAX], const struct msg_session *);
/* An id as one word without blanks, "-" when empty. */
char *output_id(char buf[OUTPUT_ID_MAX], const struct bytes *);
/*
 * Free text (a setting, a reason): blanks stay, control characters and
 * non-ASCII bytes become ^C and M-C.
 */
void output_put_line(FILE *, const struct bytes *);
/* The same into a buffer, cut where it ends. */
char *output_line(char *buf, size_t bufsize, const struct bytes *);

/*
 * Names of what arrives as a number; "unknown" for one that is not there.
 */
/* enum conf_auth_mode */
const char *output_auth_mode(unsigned);
/* enum conf_dialect */
const char *output_dialect(unsigned);
/* enum identity_source */
const char *output_identity(unsigned);
/* enum key_source */
const char *output_key_source(unsigned);
/* enum auth_realm */
const char *output_key_realm(unsigned);
/* enum sandbox_mechanism */
const char *output_mechanism(unsigned);
/* enum log_level */
const char *output_log_level(unsigned);

/*
 * The end of the family that counter i begins or lies in: rows i up to it
 * are siblings.
 */
size_t output_family_end(size_t i);

#endif /* OUTPUT_H */
