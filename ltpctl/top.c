/*
 * top: what the node does now.  One control connection for all refreshes;
 * rates are differences of counters.  On a terminal it paints the screen
 * with a few ANSI sequences, elsewhere it prints a block or an object for
 * each interval.
 */
#include <sys/ioctl.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "ask.h"
#include "ltpctl.h"
#include "monotime.h"
#include "output_json.h"
#include "show.h"
#include "top.h"

#define TOP_INTERVAL_MS 1000
#define TOP_PROCESSES   72 /* as many as a node can have, and some */
#define TOP_ROWS        24
#define TOP_COLUMNS     80
#define TOP_TITLE       11 /* columns of a row's title */

#define SCREEN_ENTER    "\033[?1049h\033[?25l" /* alternate, no cursor */
#define SCREEN_LEAVE    "\033[?25h\033[?1049l"
#define SCREEN_HOME     "\033[H"
#define LINE_REST       "\033[K" /* clear to the end of the line */
#define SCREEN_REST     "\033[J"

struct top_sample {
	struct monotime at;
	struct msg_ctl_summary s;
	char node_id[LTP_ID_MAX];
	size_t node_id_len;
	struct msg_process process[TOP_PROCESSES];
	size_t processes;
};

struct top {
	struct ltpctl *ctl;
	struct ask ask;
	struct top_sample now;
	struct top_sample before;
	bool rates; /* before is there */
	bool screen; /* paint, do not print */
	bool keys; /* stdin is the terminal */
	char *frame; /* what was painted last */
	size_t frame_len;
	struct termios termios; /* as it was, when keys is set */
	sigset_t sigmask; /* as it was */
};

static volatile sig_atomic_t top_quit;
static volatile sig_atomic_t top_resized;
static volatile sig_atomic_t top_suspended;

static void
top_signal(int sig)
{
	if (sig == SIGWINCH)
		top_resized = 1;
	else if (sig == SIGTSTP)
		top_suspended = 1;
	else
		top_quit = 1;
}

/* ---- samples ---- */

static int
top_take(struct top *t, const struct ask_msg *m)
{
	struct top_sample *s = &t->now;
	struct show_summary summary;
	struct msg_process process;

	switch (m->type) {
	case MSG_CTL_SUMMARY:
		if (show_parse_summary(&summary, m) == -1 ||
		    summary.node_id.len > sizeof(s->node_id))
			break;
		s->s = summary.s;
		s->node_id_len = summary.node_id.len;
		memcpy(s->node_id, summary.node_id.p, s->node_id_len);
		return 0;
	case MSG_CTL_PROCESS:
		if (show_parse_process(&process, m) == -1 ||
		    s->processes == TOP_PROCESSES)
			break;
		s->process[s->processes++] = process;
		return 0;
	case MSG_CTL_LISTENER:
		return 0;
	default:
		break;
	}
	return ask_malformed(&t->ask, m->type);
}

static int
top_ask(struct top *t, enum ctl_show what)
{
	struct msg_ctl_show show = { .what = what };
	enum ask_result result;
	struct ask_msg m;

	if (ask_send(&t->ask, MSG_CTL_SHOW, &show, sizeof(show)) == -1)
		return -1;
	while ((result = ask_next(&t->ask, &m)) == ASK_RECORD) {
		if (top_take(t, &m) == -1)
			return -1;
	}
	return result == ASK_END ? 0 : -1;
}

static int
top_sample(struct top *t)
{
	memset(&t->now, 0, sizeof(t->now));
	if (top_ask(t, SHOW_SUMMARY) == -1)
		return -1;
	t->now.at = monotime_now();
	return top_ask(t, SHOW_PROCESSES);
}

static double
top_seconds(const struct top *t)
{
	int64_t us = monotime_diff_us(t->now.at, t->before.at);

	return us > 0 ? (double)us / 1e6 : 1e-6;
}

/* Per second. */
static double
top_rate(const struct top *t, size_t counter)
{
	uint64_t now = t->now.s.stat.counters.n[counter];
	uint64_t before = t->before.s.stat.counters.n[counter];

	return now > before ? (double)(now - before) / top_seconds(t) : 0;
}

/* Percent of one processor; negative when it is not known. */
static double
top_cpu(const struct top *t, const struct msg_process *p)
{
	const struct msg_process *b;
	size_t i;

	for (i = 0; t->rates && i < t->before.processes; i++) {
		b = &t->before.process[i];
		if (b->role != p->role || b->slot != p->slot ||
		    b->pid != p->pid || b->cpu_us < 0 || p->cpu_us < b->cpu_us)
			continue;
		return (double)(p->cpu_us - b->cpu_us) / 1e4 / top_seconds(t);
	}
	return -1;
}

/* ---- text ---- */

/* An item of a row; a row that would be too long goes on in a new line. */
static void
text_item(FILE *fp, size_t *column, const char *name, const char *value)
{
	size_t len = 2 + strlen(name) + 1 + strlen(value);

	if (*column + len > TOP_COLUMNS) {
		fprintf(fp, "\n%-*s", TOP_TITLE, "");
		*column = TOP_TITLE;
	}
	fprintf(fp, "  %s %s", name, value);
	*column += len;
}

static void
text_rate(const struct top *t, FILE *fp, size_t *column, const char *name,
    size_t counter)
{
	char num[OUTPUT_NUM_MAX] = "-";

	if (t->rates)
		snprintf(num, sizeof(num), "%.1f", top_rate(t, counter));
	text_item(fp, column, name, num);
}

static void
text_size_rate(const struct top *t, FILE *fp, size_t *column, const char *name,
    size_t counter)
{
	char num[OUTPUT_NUM_MAX];
	double rate = top_rate(t, counter);

	/* What does not fit is absurd, not undefined. */
	if (rate > (double)(INT64_MAX / 2))
		rate = (double)(INT64_MAX / 2);
	output_size(num, t->rates ? (int64_t)rate : -1);
	text_item(fp, column, name, num);
}

static void
text_family(
    const struct top *t, FILE *fp, const char *title, enum counter first)
{
	size_t i, end = output_family_end(first), column = TOP_TITLE;

	fprintf(fp, "%-*s", TOP_TITLE, title);
	for (i = first; i < end; i++)
		text_rate(t, fp, &column, counter_desc[i].value, i);
	fputc('\n', fp);
}

static void
text_traffic(const struct top *t, FILE *fp)
{
	size_t column = TOP_TITLE;

	fprintf(fp, "%-*s", TOP_TITLE, "per second");
	text_rate(t, fp, &column, "connects", COUNT_CONNECTIONS);
	text_rate(t, fp, &column, "replies", COUNT_REPLIES);
	text_size_rate(t, fp, &column, "in", COUNT_BYTES_IN);
	text_size_rate(t, fp, &column, "out", COUNT_BYTES_OUT);
	fputc('\n', fp);
	text_family(t, fp, "messages", COUNT_MSG_HELLO);
	text_family(t, fp, "rejected", COUNT_REJECT_RATE_LIMIT);
}

static void
text_summary(const struct top *t, FILE *fp)
{
	const struct msg_ctl_summary *s = &t->now.s;
	const uint64_t *g = s->stat.gauges;
	struct bytes node = { t->now.node_id, t->now.node_id_len };
	char id[OUTPUT_ID_MAX], up[OUTPUT_NUM_MAX];

	fprintf(fp, "%s  pid %" PRIu32 "  up %s  log %s%s\n",
	    output_id(id, &node), s->pid,
	    output_duration(up, (int64_t)s->stat.uptime_ms),
	    output_log_level(s->log_level),
	    s->stat.draining ? "  draining" : "");
	fprintf(fp,
	    "connections %" PRIu64 " of %" PRIu32 "  sessions %" PRIu64
	    " of %" PRIu32 "  workers %" PRIu64 " of %" PRIu32 "  auth %s\n\n",
	    g[GAUGE_CONNECTIONS], s->max_connections, g[GAUGE_SESSIONS],
	    s->max_sessions, g[GAUGE_WORKERS], s->stat.workers_configured,
	    output_auth_mode(s->auth_mode));
}

static void
text_process(const struct top *t, FILE *fp, const struct msg_process *p)
{
	char name[OUTPUT_NUM_MAX], percent[OUTPUT_NUM_MAX] = "-";
	char up[OUTPUT_NUM_MAX], mem[OUTPUT_NUM_MAX], fds[OUTPUT_NUM_MAX];
	double cpu = top_cpu(t, p);
	bool alive = p->pid != 0;

	if (cpu >= 0)
		snprintf(percent, sizeof(percent), "%.1f", cpu);
	fprintf(fp,
	    "%-10s %7" PRIu32 " %-8s %7s %6s %6s %5s %6" PRIu64 " %8" PRIu64
	    " %8" PRIu32 "\n",
	    output_process_name(name, p), p->pid, child_state_name(p->state),
	    output_duration(up, alive ? p->uptime_ms : -1), percent,
	    output_size(mem, alive ? p->resident_bytes : -1),
	    output_count(fds, alive ? p->descriptors : -1), p->connections,
	    p->sessions, p->restarts);
}

static void
text_frame(const struct top *t, FILE *fp)
{
	size_t i;

	text_summary(t, fp);
	text_traffic(t, fp);
	fprintf(fp, "\n%-10s %7s %-8s %7s %6s %6s %5s %6s %8s %8s\n", "PROCESS",
	    "PID", "STATE", "UPTIME", "CPU%", "MEMORY", "FDS", "CONNS",
	    "SESSIONS", "RESTARTS");
	for (i = 0; i < t->now.processes; i++)
		text_process(t, fp, &t->now.process[i]);
}

/* ---- JSON ---- */

static json_t *
json_family(const struct top *t, enum counter first)
{
	size_t i, end = output_family_end(first);
	json_t *o = output_json_object();

	for (i = first; i < end; i++)
		output_json_real(o, counter_desc[i].value, top_rate(t, i));
	return o;
}

static json_t *
json_rates(const struct top *t)
{
	json_t *o = output_json_object();

	output_json_real(o, "connects", top_rate(t, COUNT_CONNECTIONS));
	output_json_real(o, "replies", top_rate(t, COUNT_REPLIES));
	output_json_real(o, "bytes_in", top_rate(t, COUNT_BYTES_IN));
	output_json_real(o, "bytes_out", top_rate(t, COUNT_BYTES_OUT));
	output_json_set(o, "messages", json_family(t, COUNT_MSG_HELLO));
	output_json_set(o, "rejected", json_family(t, COUNT_REJECT_RATE_LIMIT));
	return o;
}

static json_t *
json_processes(const struct top *t)
{
	json_t *list = json_array(), *o;
	double cpu;
	size_t i;

	for (i = 0; i < t->now.processes; i++) {
		o = output_json_process(&t->now.process[i]);
		if ((cpu = top_cpu(t, &t->now.process[i])) >= 0)
			output_json_real(o, "cpu_percent", cpu);
		else
			output_json_set(o, "cpu_percent", json_null());
		json_array_append_new(list, o);
	}
	return list;
}

static void
json_frame(const struct top *t, FILE *fp)
{
	const struct msg_ctl_summary *s = &t->now.s;
	struct bytes node = { t->now.node_id, t->now.node_id_len };
	json_t *o = output_json_object();

	output_json_bytes(o, "node_id", &node);
	output_json_int(o, "uptime_ms", (int64_t)s->stat.uptime_ms);
	output_json_int(
	    o, "interval_ms", monotime_diff_ms(t->now.at, t->before.at));
	output_json_bool(o, "draining", s->stat.draining);
	output_json_int(
	    o, "connections", (int64_t)s->stat.gauges[GAUGE_CONNECTIONS]);
	output_json_int(o, "sessions", (int64_t)s->stat.gauges[GAUGE_SESSIONS]);
	output_json_int(o, "workers", (int64_t)s->stat.gauges[GAUGE_WORKERS]);
	output_json_set(o, "per_second", json_rates(t));
	output_json_set(o, "processes", json_processes(t));
	output_json_print(fp, o);
	fputc('\n', fp);
	json_decref(o);
}

/* ---- the screen ---- */

static void
screen_enter(struct top *t)
{
	struct termios tio;

	if (t->keys) {
		tio = t->termios;
		tio.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tio.c_cc[VMIN] = 1;
		tio.c_cc[VTIME] = 0;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &tio);
	}
	fputs(SCREEN_ENTER, stdout);
	fflush(stdout);
}

static void
screen_leave(struct top *t)
{
	fputs(SCREEN_LEAVE, stdout);
	fflush(stdout);
	if (t->keys)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &t->termios);
}

/* The frame, cut to the size that the terminal has now. */
static void
screen_paint(const struct top *t)
{
	struct winsize ws = { 0 };
	const char *p = t->frame, *end = t->frame + t->frame_len, *nl;
	size_t len, row, rows = TOP_ROWS, columns = TOP_COLUMNS;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_row > 0 &&
	    ws.ws_col > 0) {
		rows = ws.ws_row;
		columns = ws.ws_col;
	}
	fputs(SCREEN_HOME, stdout);
	for (row = 0; row < rows && p < end; row++) {
		nl = memchr(p, '\n', (size_t)(end - p));
		len = (size_t)((nl != NULL ? nl : end) - p);
		if (row > 0)
			fputc('\n', stdout);
		/* Clear first: in the last column it would take a letter. */
		fputs(LINE_REST, stdout);
		fwrite(p, 1, len < columns ? len : columns, stdout);
		p += len + 1;
	}
	if (row < rows)
		fputs("\n" SCREEN_REST, stdout);
	fflush(stdout);
}

static void
screen_suspend(struct top *t)
{
	screen_leave(t);
	kill(getpid(), SIGSTOP);
	screen_enter(t);
	screen_paint(t);
}

/* 0, or -1 with errno. */
static int
screen_show(struct top *t)
{
	FILE *fp;

	free(t->frame);
	t->frame = NULL;
	if ((fp = open_memstream(&t->frame, &t->frame_len)) == NULL)
		return -1;
	text_frame(t, fp);
	if (fclose(fp) == EOF)
		return -1;
	screen_paint(t);
	return 0;
}

/* ---- the loop ---- */

static int
top_show(struct top *t)
{
	if (t->screen)
		return screen_show(t);
	if (t->ctl->json)
		json_frame(t, stdout);
	else {
		text_frame(t, stdout);
		fputc('\n', stdout);
	}
	return fflush(stdout) == EOF ? -1 : 0;
}

/* A key was pressed, or the terminal is gone. */
static void
top_key(void)
{
	char key;
	ssize_t n;

	n = read(STDIN_FILENO, &key, 1);
	if (n == 0 || (n == -1 && errno != EINTR && errno != EAGAIN) ||
	    (n == 1 && (key == 'q' || key == 'Q')))
		top_quit = 1;
}

/* Wait for the next refresh, and see to keys and signals meanwhile. */
static void
top_wait(struct top *t, struct monotime until)
{
	struct pollfd pfd = { .fd = t->keys ? STDIN_FILENO : -1,
		.events = POLLIN };
	struct timespec ts;
	int64_t us;

	while (
	    !top_quit && (us = monotime_diff_us(until, monotime_now())) > 0) {
		ts.tv_sec = (time_t)(us / 1000000);
		ts.tv_nsec = (long)(us % 1000000) * 1000;
		if (ppoll(&pfd, 1, &ts, &t->sigmask) > 0)
			top_key();
		if (top_suspended)
			screen_suspend(t);
		else if (top_resized)
			screen_paint(t);
		top_suspended = top_resized = 0;
	}
}

static int
top_loop(struct top *t)
{
	unsigned interval = t->ctl->interval_ms, shown = 0;
	struct monotime next = monotime_now();

	if (interval == 0)
		interval = TOP_INTERVAL_MS;
	while (!top_quit) {
		if (top_sample(t) == -1)
			return -1;
		if ((t->rates || t->screen) && top_show(t) == -1) {
			strlcpy(
			    t->ask.text, strerror(errno), sizeof(t->ask.text));
			return -1;
		}
		if (t->rates && ++shown == t->ctl->count)
			break;
		t->before = t->now;
		t->rates = true;
		/* A refresh that took too long is not made up for. */
		next = monotime_add_ms(next, interval);
		if (monotime_reached(monotime_now(), next))
			next = monotime_add_ms(monotime_now(), interval);
		top_wait(t, next);
	}
	return 0;
}

/* Signals wait until top_wait(), so that none is missed or cuts a screen. */
static void
top_catch(struct top *t)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM,
		SIGTSTP, SIGWINCH };
	struct sigaction sa = { .sa_handler = top_signal };
	sigset_t set;
	size_t i;

	sigemptyset(&sa.sa_mask);
	sigemptyset(&set);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, &t->sigmask);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &sa, NULL);
}

static bool
top_has_screen(const struct ltpctl *ctl)
{
	const char *term = getenv("TERM");

	return !ctl->json && isatty(STDOUT_FILENO) && term != NULL &&
	       term[0] != '\0' && strcmp(term, "dumb") != 0;
}

int
top_run(struct ltpctl *ctl)
{
	struct top *t;
	int ret;

	if ((t = calloc(1, sizeof(*t))) == NULL)
		return ltpctl_fail(ctl, "%s", strerror(errno));
	t->ctl = ctl;
	if (ltpctl_connect(ctl, &t->ask) == -1) {
		free(t);
		return LTPCTL_FAILED;
	}
	t->screen = top_has_screen(ctl);
	if (t->screen) {
		t->keys = isatty(STDIN_FILENO) &&
			  tcgetattr(STDIN_FILENO, &t->termios) == 0;
		top_catch(t);
		screen_enter(t);
	} else
		sigprocmask(SIG_BLOCK, NULL, &t->sigmask);
	ret = top_loop(t);
	if (t->screen)
		screen_leave(t);
	if (ret == -1)
		ltpctl_fail(ctl, "%s", t->ask.text);
	ask_close(&t->ask);
	free(t->frame);
	free(t);
	return ret == 0 ? LTPCTL_OK : LTPCTL_FAILED;
}
