/*
 * show: ask the supervisor for one kind of records and print them as they
 * arrive; a list may be long, so nothing is collected.
 */
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "ltpctl.h"
#include "show.h"
#include "wire.h"

static struct bytes
show_bytes(struct wire *w, size_t len)
{
	struct bytes b;

	b.p = wire_bytes(w, len);
	b.len = b.p == NULL ? 0 : len;
	return b;
}

/* ---- taking records apart ---- */

int
show_parse_summary(struct show_summary *out, const struct ask_msg *m)
{
	struct wire w;

	wire_init(&w, m->data, m->len);
	wire_copy(&w, &out->s, sizeof(out->s));
	out->version = show_bytes(&w, out->s.version_len);
	out->node_id = show_bytes(&w, out->s.node_id_len);
	return wire_done(&w) ? 0 : -1;
}

int
show_parse_listener(struct show_listener *out, const struct ask_msg *m)
{
	const char *text = (const char *)m->data, *blank;

	if ((blank = memchr(text, ' ', m->len)) == NULL)
		return -1;
	out->kind.p = text;
	out->kind.len = (size_t)(blank - text);
	out->url.p = blank + 1;
	out->url.len = m->len - out->kind.len - 1;
	return 0;
}

int
show_parse_process(struct msg_process *out, const struct ask_msg *m)
{
	struct wire w;

	wire_init(&w, m->data, m->len);
	wire_copy(&w, out, sizeof(*out));
	return wire_done(&w) ? 0 : -1;
}

int
show_parse_key(struct show_key *out, const struct ask_msg *m)
{
	struct wire w;

	wire_init(&w, m->data, m->len);
	wire_copy(&w, &out->k, sizeof(out->k));
	out->id = show_bytes(&w, out->k.id_len);
	return wire_done(&w) ? 0 : -1;
}

int
show_parse_setting(struct show_setting *out, const struct ask_msg *m)
{
	struct msg_ctl_config c;
	struct wire w;

	wire_init(&w, m->data, m->len);
	wire_copy(&w, &c, sizeof(c));
	out->name = show_bytes(&w, c.name_len);
	out->value = show_bytes(&w, c.value_len);
	out->origin = show_bytes(&w, c.origin_len);
	return wire_done(&w) ? 0 : -1;
}

/* The next record of a page. */
static int
show_parse_session(struct show_session *out, struct wire *w)
{
	wire_copy(w, &out->s, sizeof(out->s));
	if (out->s.client_id_len > LTP_ID_MAX ||
	    out->s.session_id_len > LTP_ID_MAX || out->s.tag_len > LTP_ID_MAX)
		return -1;
	out->client_id = show_bytes(w, out->s.client_id_len);
	out->session_id = show_bytes(w, out->s.session_id_len);
	out->tag = show_bytes(w, out->s.tag_len);
	return w->bad ? -1 : 0;
}

/* ---- one handler for each type of record ---- */

static int
show_summary(struct output_to *to, const struct ask_msg *m)
{
	struct show_summary summary;

	if (to->rows > 0 || show_parse_summary(&summary, m) == -1)
		return -1;
	to->ops->summary(to, &summary);
	to->rows++;
	return 0;
}

static int
show_listener(struct output_to *to, const struct ask_msg *m)
{
	struct show_listener listener;

	if (to->rows == 0 || show_parse_listener(&listener, m) == -1)
		return -1;
	to->ops->listener(to, &listener);
	return 0;
}

static int
show_process(struct output_to *to, const struct ask_msg *m)
{
	struct msg_process process;

	if (show_parse_process(&process, m) == -1)
		return -1;
	to->ops->process(to, &process);
	return 0;
}

static int
show_sessions(struct output_to *to, const struct ask_msg *m)
{
	struct msg_sessions_page page;
	struct show_session session;
	struct wire w;
	unsigned i;

	wire_init(&w, m->data, m->len);
	wire_copy(&w, &page, sizeof(page));
	for (i = 0; i < page.count; i++) {
		if (show_parse_session(&session, &w) == -1)
			return -1;
		to->ops->session(to, &session);
	}
	return wire_done(&w) ? 0 : -1;
}

static int
show_key(struct output_to *to, const struct ask_msg *m)
{
	struct show_key key;

	if (show_parse_key(&key, m) == -1)
		return -1;
	to->ops->key(to, &key);
	return 0;
}

static int
show_config(struct output_to *to, const struct ask_msg *m)
{
	struct show_setting setting;

	if (show_parse_setting(&setting, m) == -1)
		return -1;
	to->ops->setting(to, &setting);
	return 0;
}

static const struct show_record {
	enum ctl_show what;
	enum msg_type type;
	int (*take)(struct output_to *, const struct ask_msg *);
} records[] = {
	{ SHOW_SUMMARY, MSG_CTL_SUMMARY, show_summary },
	{ SHOW_SUMMARY, MSG_CTL_LISTENER, show_listener },
	{ SHOW_PROCESSES, MSG_CTL_PROCESS, show_process },
	{ SHOW_SESSIONS, MSG_CTL_SESSIONS, show_sessions },
	{ SHOW_KEYS, MSG_CTL_KEY, show_key },
	{ SHOW_CONFIG, MSG_CTL_CONFIG, show_config },
};

#define RECORDS (sizeof(records) / sizeof(records[0]))

static int
show_take(struct output_to *to, enum ctl_show what, struct ask *a,
    const struct ask_msg *m)
{
	size_t i;

	for (i = 0; i < RECORDS; i++) {
		if (records[i].what != what || records[i].type != m->type)
			continue;
		if (records[i].take(to, m) == -1)
			break;
		return 0;
	}
	return ask_malformed(a, m->type);
}

/* The records of an answer.  0, or -1 with the connection's text. */
static int
show_answer(struct ltpctl *ctl, enum ctl_show what, struct ask *a)
{
	struct output_to *to = &ctl->to;
	enum ask_result result;
	struct ask_msg m;
	bool begun = false;

	while ((result = ask_next(a, &m)) != ASK_FAILED) {
		if (!begun)
			to->ops->head(to, what);
		begun = true;
		if (result == ASK_END)
			break;
		if (show_take(to, what, a, &m) == -1)
			return -1;
	}
	if (result == ASK_FAILED)
		return -1;
	if (what == SHOW_SUMMARY && to->rows == 0)
		return ask_malformed(a, MSG_CTL_END);
	to->ops->tail(to, what);
	return 0;
}

int
show_run(struct ltpctl *ctl)
{
	struct msg_ctl_show show = { .what = ctl->verb->what };
	int status = LTPCTL_OK;
	struct ask a;

	if (ltpctl_connect(ctl, &a) == -1)
		return LTPCTL_FAILED;
	if (ask_send(&a, MSG_CTL_SHOW, &show, sizeof(show)) == -1 ||
	    show_answer(ctl, (enum ctl_show)show.what, &a) == -1)
		status = ltpctl_fail(ctl, "%s", a.text);
	else if (a.text[0] != '\0')
		fprintf(stderr, "ltpctl: %s\n", a.text);
	ask_close(&a);
	return status;
}
