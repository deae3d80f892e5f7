/*
 * ltpctl: the operator's program.  One verb per run; what the verbs are, what
 * they take and what they may do is one table.  It holds what its verb needs
 * and talks to the supervisor through the control socket (ping: to a node,
 * as a client).  Answers go to stdout, errors to stderr; with -j both are
 * JSON on stdout.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "doctor.h"
#include "key.h"
#include "keyedit.h"
#include "ltpctl.h"
#include "output_json.h"
#include "ping.h"
#include "sandbox.h"
#include "show.h"
#include "token.h"
#include "top.h"
#include "trace.h"

#define LTPCTL_SOCKET       RUNSTATEDIR "/ltpd/ltpd.sock"
#define LTPCTL_MAX_COUNT    1000000
#define LTPCTL_MAX_FILES    10000
#define LTPCTL_MAX_INTERVAL 3600000 /* ms */
#define LTPCTL_TEXT_MAX     (ASK_TEXT_MAX + 256)
#define SYNOPSIS_MAX        160
/* To replace a file and keep its owner. */
#define KEY_PROMISES "stdio rpath wpath cpath fattr chown flock"
/* The last three, for root to see with the eyes of another user. */
#define DOCTOR_PROMISES "stdio rpath unix inet getpw proc id"

static int reload_run(struct ltpctl *);
static int log_run(struct ltpctl *);
static int rotate_run(struct ltpctl *);
static int disconnect_run(struct ltpctl *);
static int stop_run(struct ltpctl *);
static int help_run(struct ltpctl *);

/* Rows of one first word stand together. */
static const struct verb verbs[] = {
	{ { "show", "summary" }, "", "", 0, 0, "stdio unix", "stdio", show_run,
	    SHOW_SUMMARY, "the node at a glance" },
	{ { "show", "processes" }, "", "", 0, 0, "stdio unix", "stdio",
	    show_run, SHOW_PROCESSES, "each process and its sandbox" },
	{ { "show", "sessions" }, "", "", 0, 0, "stdio unix", "stdio", show_run,
	    SHOW_SESSIONS, "who is connected" },
	{ { "show", "keys" }, "", "", 0, 0, "stdio unix", "stdio", show_run,
	    SHOW_KEYS, "ids of the API keys and where they come from" },
	{ { "show", "config" }, "", "", 0, 0, "stdio unix", "stdio", show_run,
	    SHOW_CONFIG, "every setting and where it comes from" },
	{ { "reload", NULL }, "", "", 0, 0, "stdio unix", "stdio", reload_run,
	    0, "read the configuration and the keys again" },
	{ { "log", "verbose" }, "", "", 0, 0, "stdio unix", "stdio", log_run, 1,
	    "log at level debug" },
	{ { "log", "brief" }, "", "", 0, 0, "stdio unix", "stdio", log_run, 0,
	    "log at the configured level" },
	{ { "log", "rotate" }, "", "", 0, 0, "stdio unix", "stdio", rotate_run,
	    0, "open the log and the audit log again" },
	{ { "trace", "verify" }, "[-p key] file ...", "p", 1, LTPCTL_MAX_FILES,
	    "stdio rpath", "stdio rpath", trace_verify_run, 0,
	    "is the audit log what ltpd wrote?" },
	{ { "trace", "head" }, "file", "", 1, 1, "stdio rpath", "stdio rpath",
	    trace_head_run, 0, "index and hash of its last line" },
	{ { "token", "generate" }, "[-i id] [-o file]", "Io", 0, 0,
	    KEY_PROMISES, "stdio", token_generate_run, 0,
	    "make a token for the remote listener" },
	{ { "disconnect", NULL }, "session", "", 1, 1, "stdio unix", "stdio",
	    disconnect_run, 0, "close one session" },
	{ { "stop", NULL }, "", "", 0, 0, "stdio unix", "stdio", stop_run, 0,
	    "drain and end the node" },
	{ { "doctor", NULL }, "[-f ltpd.conf]", "f", 0, 0, DOCTOR_PROMISES,
	    DOCTOR_PROMISES, doctor_run, 0,
	    "is the node set up as it should be?" },
	{ { "key", "add" }, "file id", "", 2, 2, KEY_PROMISES, "stdio",
	    key_edit_run, KEYEDIT_ADD, "make a key and add it to a file" },
	{ { "key", "generate" }, "[-o file] id", "o", 1, 1, KEY_PROMISES,
	    "stdio", key_generate_run, 0, "make a key" },
	{ { "key", "list" }, "file", "", 1, 1, "stdio rpath", "stdio",
	    key_list_run, 0, "ids and digests in a key file" },
	{ { "key", "remove" }, "file id", "", 2, 2, KEY_PROMISES, "stdio",
	    key_edit_run, KEYEDIT_REMOVE, "take an id out of a key file" },
	{ { "key", "rotate" }, "file id", "", 2, 2, KEY_PROMISES, "stdio",
	    key_edit_run, KEYEDIT_ROTATE, "make another key for an id" },
	{ { "ping", NULL },
	    "[-c count] [-i ms] [--id id] [--key-file file] "
	    "[--token-file file] [--ca file] [--cert file --cert-key file] "
	    "[url]",
	    "CIKacikt", 0, 1, "stdio rpath unix inet dns", "stdio", ping_run, 0,
	    "connect as a client and time the answers" },
	{ { "top", NULL }, "[-i ms] [-n count]", "in", 0, 0, "stdio unix tty",
	    "stdio tty", top_run, 0, "watch the node at work" },
	{ { "help", NULL }, "", "", 0, 0, "stdio", "stdio", help_run, 0,
	    "this list" },
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

/* Those without a letter have one that cannot be given. */
static const struct option longopts[] = {
	{ "ca", required_argument, NULL, 'a' },
	{ "cert", required_argument, NULL, 'C' },
	{ "cert-key", required_argument, NULL, 'K' },
	{ "id", required_argument, NULL, 'I' },
	{ "json", no_argument, NULL, 'j' },
	{ "token-file", required_argument, NULL, 't' },
	{ "key-file", required_argument, NULL, 'k' },
	{ "public-key", required_argument, NULL, 'p' },
	{ NULL, 0, NULL, 0 },
};

/* ---- saying what is wrong ---- */

int
ltpctl_fail(struct ltpctl *ctl, const char *fmt, ...)
{
	char text[LTPCTL_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ctl->to.ops->error(&ctl->to, text);
	return LTPCTL_FAILED;
}

static char *
verb_synopsis(const struct verb *v, char *buf, size_t size)
{
	snprintf(buf, size, "%s%s%s%s%s", v->words[0],
	    v->words[1] != NULL ? " " : "",
	    v->words[1] != NULL ? v->words[1] : "",
	    v->arguments[0] != '\0' ? " " : "", v->arguments);
	return buf;
}

static _Noreturn void usage(struct ltpctl *, const char *, ...)
    __attribute__((__format__(printf, 2, 3)));

static void
usage(struct ltpctl *ctl, const char *fmt, ...)
{
	char text[LTPCTL_TEXT_MAX], synopsis[SYNOPSIS_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ctl->to.ops->error(&ctl->to, text);
	if (ctl->verb != NULL)
		verb_synopsis(ctl->verb, synopsis, sizeof(synopsis));
	if (!ctl->json)
		fprintf(stderr, "usage: ltpctl [-j] [-s socket] %s\n",
		    ctl->verb != NULL ? synopsis : "verb [argument ...]");
	exit(LTPCTL_USAGE);
}

/* ---- from words to a verb ---- */

/* Rows first to end - 1 of the table fit what was read so far. */
struct verb_range {
	size_t first;
	size_t end;
};

/* The first row after i, within the range, that has another word there. */
static size_t
verb_next(const struct verb_range *r, size_t i, int level)
{
	const char *word = verbs[i].words[level];

	while (i < r->end && strcmp(verbs[i].words[level], word) == 0)
		i++;
	return i;
}

/* Narrow the range to a word or an abbreviation; returns how many fit. */
static size_t
verb_match(struct verb_range *r, int level, const char *word)
{
	struct verb_range found = *r;
	size_t i, next, n = 0;

	for (i = r->first; i < r->end; i = next) {
		next = verb_next(r, i, level);
		if (strncmp(verbs[i].words[level], word, strlen(word)) != 0)
			continue;
		found.first = i;
		found.end = next;
		n++;
		if (strcmp(verbs[i].words[level], word) == 0) {
			n = 1;
			break;
		}
	}
	if (n == 1)
		*r = found;
	return n;
}

/* The words at a level that begin with prefix, separated by commas. */
static const char *
verb_choices(const struct verb_range *r, int level, const char *prefix,
    char *buf, size_t size)
{
	size_t i;

	buf[0] = '\0';
	for (i = r->first; i < r->end; i = verb_next(r, i, level)) {
		if (strncmp(verbs[i].words[level], prefix, strlen(prefix)) != 0)
			continue;
		if (buf[0] != '\0')
			strlcat(buf, ", ", size);
		strlcat(buf, verbs[i].words[level], size);
	}
	return buf;
}

/* Find the row that the words name; returns how many words it took. */
static int
verb_find(struct ltpctl *ctl, int argc, char **argv)
{
	struct verb_range r = { .first = 0, .end = VERBS };
	char list[256];
	size_t n;
	int level;

	for (level = 0; level < 2; level++) {
		if (verbs[r.first].words[level] == NULL)
			break;
		if (level >= argc)
			usage(ctl, "missing %s, one of: %s",
			    level == 0 ? "verb" : "word",
			    verb_choices(&r, level, "", list, sizeof(list)));
		n = verb_match(&r, level, argv[level]);
		if (n == 0)
			usage(ctl, "unknown %s %s, one of: %s",
			    level == 0 ? "verb" : "word", argv[level],
			    verb_choices(&r, level, "", list, sizeof(list)));
		if (n > 1)
			usage(ctl, "ambiguous %s %s: %s",
			    level == 0 ? "verb" : "word", argv[level],
			    verb_choices(
				&r, level, argv[level], list, sizeof(list)));
	}
	ctl->verb = &verbs[r.first];
	return level;
}

/* ---- options ---- */

static unsigned
option_number(struct ltpctl *ctl, int letter, const char *text, long long max)
{
	const char *why;
	unsigned n;

	n = (unsigned)strtonum(text, 1, max, &why);
	if (why != NULL)
		usage(ctl, "-%c %s: %s", letter, text, why);
	return n;
}

/* Options whose argument is kept as it is. */
static const struct {
	int letter;
	size_t offset; /* of a const char * in struct ltpctl */
} texts[] = {
	{ 'C', offsetof(struct ltpctl, cert_file) },
	{ 'I', offsetof(struct ltpctl, id) },
	{ 'K', offsetof(struct ltpctl, cert_key_file) },
	{ 'a', offsetof(struct ltpctl, ca_file) },
	{ 'f', offsetof(struct ltpctl, conf_path) },
	{ 'k', offsetof(struct ltpctl, key_file) },
	{ 'o', offsetof(struct ltpctl, key_output) },
	{ 'p', offsetof(struct ltpctl, public_key) },
	{ 's', offsetof(struct ltpctl, socket) },
	{ 't', offsetof(struct ltpctl, token_file) },
};

static void
option_text(struct ltpctl *ctl, int letter, const char *text)
{
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (texts[i].letter == letter)
			*(const char **)((char *)ctl + texts[i].offset) = text;
	}
}

/* -i is a time, but for a token, which takes none, it is its id. */
static void
option_i(struct ltpctl *ctl, char seen[UCHAR_MAX], const char *text)
{
	if (ctl->verb->run != token_generate_run) {
		ctl->interval_ms =
		    option_number(ctl, 'i', text, LTPCTL_MAX_INTERVAL);
		return;
	}
	ctl->id = text;
	seen['i'] = 0;
}

/*
 * Options may stand before and after the verb.  Letters seen go to seen;
 * returns the argument of -i, which only the verb gives a meaning.
 */
static const char *
options_parse(struct ltpctl *ctl, int argc, char **argv, char seen[UCHAR_MAX])
{
	const char *i = NULL;
	int ch;

	opterr = 0;
	while ((ch = getopt_long(
		    argc, argv, ":c:f:i:jk:n:o:p:s:", longopts, NULL)) != -1) {
		switch (ch) {
		case 'c':
		case 'n':
			ctl->count =
			    option_number(ctl, ch, optarg, LTPCTL_MAX_COUNT);
			break;
		case 'i':
			i = optarg;
			break;
		case 'j':
			ctl->json = true;
			output_init(&ctl->to, stdout, true);
			break;
		case ':':
			usage(ctl, "option -%c needs a value", optopt);
		case '?':
			if (optopt != 0)
				usage(ctl, "unknown option -%c", optopt);
			usage(ctl, "unknown option %s", argv[optind - 1]);
		default:
			option_text(ctl, ch, optarg);
		}
		seen[ch] = 1;
	}
	return i;
}

static _Noreturn void
usage_option(struct ltpctl *ctl, int letter)
{
	const struct option *o;

	for (o = longopts; o->name != NULL; o++) {
		if (o->val == letter)
			usage(ctl, "%s takes no option --%s",
			    ctl->verb->words[0], o->name);
	}
	usage(ctl, "%s takes no option -%c", ctl->verb->words[0], letter);
}

static void
options_check(struct ltpctl *ctl, const char seen[UCHAR_MAX])
{
	const struct verb *v = ctl->verb;
	int ch;

	for (ch = 1; ch < UCHAR_MAX; ch++) {
		if (seen[ch] && ch != 'j' && ch != 's' &&
		    strchr(v->options, ch) == NULL)
			usage_option(ctl, ch);
	}
	if (ctl->nargs < v->min_args || ctl->nargs > v->max_args)
		usage(ctl, "%s: wrong number of arguments", v->words[0]);
}

static void
socket_default(struct ltpctl *ctl)
{
	const char *path = getenv("LTPD_CONTROL_SOCKET");

	ctl->socket_given = path != NULL && path[0] != '\0';
	ctl->socket = ctl->socket_given ? path : LTPCTL_SOCKET;
}

/* ---- verbs that are one question ---- */

void
ltpctl_connected(const struct ltpctl *ctl)
{
	if (sandbox_pledge(ctl->verb->running) == -1)
		err(LTPCTL_FAILED, "pledge");
}

int
ltpctl_connect(struct ltpctl *ctl, struct ask *a)
{
	if (ask_open(a, ctl->socket) == -1) {
		ltpctl_fail(ctl, "%s", a->text);
		return -1;
	}
	ltpctl_connected(ctl);
	return 0;
}

static int
ltpctl_command(
    struct ltpctl *ctl, enum msg_type type, const void *payload, size_t len)
{
	int status = LTPCTL_OK;
	struct ask_msg m;
	struct ask a;

	if (ltpctl_connect(ctl, &a) == -1)
		return LTPCTL_FAILED;
	a.timeout_ms = ASK_SLOW_MS;
	if (ask_send(&a, type, payload, len) == -1) {
		status = ltpctl_fail(ctl, "%s", a.text);
		goto done;
	}
	switch (ask_next(&a, &m)) {
	case ASK_FAILED:
		status = ltpctl_fail(ctl, "%s", a.text);
		break;
	case ASK_RECORD:
		ask_malformed(&a, m.type);
		status = ltpctl_fail(ctl, "%s", a.text);
		break;
	case ASK_END:
		ctl->to.ops->done(&ctl->to, a.text);
		break;
	}
done:
	ask_close(&a);
	return status;
}

static int
reload_run(struct ltpctl *ctl)
{
	return ltpctl_command(ctl, MSG_CTL_RELOAD, NULL, 0);
}

static int
log_run(struct ltpctl *ctl)
{
	struct msg_ctl_log log = { .verbose = ctl->verb->what };

	return ltpctl_command(ctl, MSG_CTL_LOG, &log, sizeof(log));
}

static int
rotate_run(struct ltpctl *ctl)
{
	return ltpctl_command(ctl, MSG_CTL_ROTATE, NULL, 0);
}

static int
disconnect_run(struct ltpctl *ctl)
{
	size_t len = strlen(ctl->args[0]);

	if (len == 0 || len > LTP_ID_MAX)
		return ltpctl_fail(ctl, "disconnect: no such session");
	return ltpctl_command(ctl, MSG_CTL_DISCONNECT, ctl->args[0], len);
}

static int
stop_run(struct ltpctl *ctl)
{
	return ltpctl_command(ctl, MSG_CTL_STOP, NULL, 0);
}

/* ---- help ---- */

static void
help_text(const struct verb *v, FILE *fp)
{
	char synopsis[SYNOPSIS_MAX];

	verb_synopsis(v, synopsis, sizeof(synopsis));
	if (strlen(synopsis) > 20)
		fprintf(fp, "  %s\n  %-20s  %s\n", synopsis, "", v->help);
	else
		fprintf(fp, "  %-20s  %s\n", synopsis, v->help);
}

static void
help_json(const struct verb *v, json_t *list)
{
	json_t *o = output_json_object();
	char synopsis[SYNOPSIS_MAX];

	verb_synopsis(v, synopsis, sizeof(synopsis));
	output_json_str(o, "synopsis", synopsis);
	output_json_str(o, "help", v->help);
	json_array_append_new(list, o);
}

static int
help_run(struct ltpctl *ctl)
{
	json_t *list = json_array();
	size_t i;

	if (!ctl->json)
		printf("usage: ltpctl [-j] [-s socket] verb [argument ...]\n"
		       "verbs, which may be abbreviated:\n");
	for (i = 0; i < VERBS; i++) {
		if (ctl->json)
			help_json(&verbs[i], list);
		else
			help_text(&verbs[i], stdout);
	}
	if (ctl->json) {
		output_json_print(stdout, list);
		putchar('\n');
	}
	json_decref(list);
	return LTPCTL_OK;
}

int
main(int argc, char *argv[])
{
	char seen[UCHAR_MAX] = { 0 };
	struct ltpctl ctl = { .socket = NULL };
	const char *i;
	int status, used;

	if (sandbox_harden(0) == -1)
		err(LTPCTL_FAILED, "cannot harden the process");
	output_init(&ctl.to, stdout, false);
	i = options_parse(&ctl, argc, argv, seen);
	if (ctl.socket == NULL)
		socket_default(&ctl);
	else
		ctl.socket_given = true;
	used = verb_find(&ctl, argc - optind, argv + optind);
	ctl.args = argv + optind + used;
	ctl.nargs = argc - optind - used;
	if (i != NULL)
		option_i(&ctl, seen, i);
	options_check(&ctl, seen);
	if (sandbox_pledge(ctl.verb->setup) == -1)
		err(LTPCTL_FAILED, "pledge");
	status = ctl.verb->run(&ctl);
	/* A full disk must not pass for an answer. */
	if (fflush(stdout) == EOF || ferror(stdout))
		err(LTPCTL_FAILED, "stdout");
	return status;
}
