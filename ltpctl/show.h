/*
 * What `ltpctl show' is told: the records of the control connection, taken
 * apart and checked.
 */
#ifndef SHOW_H
#define SHOW_H

#include <stddef.h>

#include "msg.h"

struct ask_msg;
struct ltpctl;

/*
 * Bytes from the network: any value, not NUL-terminated.  They lie in the
 * message and are gone with it.
 */
struct bytes {
	const char *p;
	size_t len;
};

struct show_summary {
	struct msg_ctl_summary s;
	struct bytes version;
	struct bytes node_id;
};

struct show_listener {
	struct bytes kind; /* "ltp", "metrics" */
	struct bytes url;
};

struct show_session {
	struct msg_session s;
	struct bytes client_id;
	struct bytes session_id; /* empty in the client dialect */
	struct bytes tag; /* may be empty */
};

struct show_key {
	struct msg_ctl_key k;
	struct bytes id;
};

struct show_setting {
	struct bytes name;
	struct bytes value;
	struct bytes origin;
};

/* Take a record apart.  0, or -1 when it is not what its type says. */
int show_parse_summary(struct show_summary *, const struct ask_msg *);
int show_parse_listener(struct show_listener *, const struct ask_msg *);
int show_parse_process(struct msg_process *, const struct ask_msg *);
int show_parse_key(struct show_key *, const struct ask_msg *);
int show_parse_setting(struct show_setting *, const struct ask_msg *);

/* The verb.  Returns the exit status. */
int show_run(struct ltpctl *);

#endif /* SHOW_H */
