/*
 * What the running node says of itself, collected.  Whoever runs ltpctl and
 * may not ask gets to know that, too.
 */
#include <stdlib.h>
#include <string.h>

#include "conf_keyword.h"
#include "conf_state.h"
#include "conf_value.h"
#include "nodeview.h"
#include "show.h"

void
nodeview_init(struct nodeview *v)
{
	memset(v, 0, sizeof(*v));
	TAILQ_INIT(&v->processes);
	TAILQ_INIT(&v->listeners);
	TAILQ_INIT(&v->keys);
}

/* ---- one handler for each type of record: 0 or -1 ---- */

static void
copy_bytes(char *to, size_t size, const struct bytes *b)
{
	size_t n = b->len < size ? b->len : size - 1;

	memcpy(to, b->p, n);
	to[n] = '\0';
}

static int
take_summary(struct nodeview *v, const struct ask_msg *m)
{
	struct show_summary s;

	if (show_parse_summary(&s, m) == -1)
		return -1;
	v->summary = s.s;
	copy_bytes(v->version, sizeof(v->version), &s.version);
	return 0;
}

static int
take_listener(struct nodeview *v, const struct ask_msg *m)
{
	struct nodeview_listener *l;
	struct show_listener s;

	if (show_parse_listener(&s, m) == -1 ||
	    (l = calloc(1, sizeof(*l))) == NULL)
		return -1;
	copy_bytes(l->kind, sizeof(l->kind), &s.kind);
	copy_bytes(l->url, sizeof(l->url), &s.url);
	TAILQ_INSERT_TAIL(&v->listeners, l, entry);
	return 0;
}

static int
take_process(struct nodeview *v, const struct ask_msg *m)
{
	struct nodeview_process *p;
	struct msg_process s;

	if (show_parse_process(&s, m) == -1 ||
	    (p = calloc(1, sizeof(*p))) == NULL)
		return -1;
	p->p = s;
	TAILQ_INSERT_TAIL(&v->processes, p, entry);
	return 0;
}

static int
take_key(struct nodeview *v, const struct ask_msg *m)
{
	struct nodeview_key *k;
	struct show_key s;

	if (show_parse_key(&s, m) == -1 || (k = calloc(1, sizeof(*k))) == NULL)
		return -1;
	k->k = s.k;
	copy_bytes(k->id, sizeof(k->id), &s.id);
	TAILQ_INSERT_TAIL(&v->keys, k, entry);
	return 0;
}

static enum conf_source
origin_source(const char *text)
{
	if (strcmp(text, "default") == 0)
		return SOURCE_DEFAULT;
	if (strcmp(text, "-D") == 0)
		return SOURCE_DEFINITION;
	if (strncmp(text, "environment ", strlen("environment ")) == 0)
		return SOURCE_ENVIRONMENT;
	return SOURCE_FILE;
}

/*
 * A setting, back from what was printed.  One that this ltpctl does not know
 * belongs to another build, of which the version tells.
 */
static int
take_setting(struct nodeview *v, const struct ask_msg *m)
{
	char name[128], error[VALUE_ERROR_MAX], *origin;
	struct show_setting s;
	const struct keyword *k;
	struct conf_origin *o;

	if (show_parse_setting(&s, m) == -1)
		return -1;
	copy_bytes(name, sizeof(name), &s.name);
	if ((k = keyword_find(name)) == NULL)
		return 0;
	if ((origin = strndup(s.origin.p, s.origin.len)) == NULL)
		return -1;
	o = conf_origin(v->conf, k);
	free(o->text);
	o->text = origin;
	o->source = origin_source(origin);
	o->given = s.value.len != strlen("<unset>") ||
		   memcmp(s.value.p, "<unset>", s.value.len) != 0;
	if ((k->flags & KEYWORD_SECRET) || !o->given)
		return 0;
	return value_set_json(k, v->conf, s.value.p, s.value.len, error);
}

/* ---- asking ---- */

static const struct {
	enum ctl_show what;
	enum msg_type type;
	int (*take)(struct nodeview *, const struct ask_msg *);
} records[] = {
	{ SHOW_SUMMARY, MSG_CTL_SUMMARY, take_summary },
	{ SHOW_SUMMARY, MSG_CTL_LISTENER, take_listener },
	{ SHOW_PROCESSES, MSG_CTL_PROCESS, take_process },
	{ SHOW_KEYS, MSG_CTL_KEY, take_key },
	{ SHOW_CONFIG, MSG_CTL_CONFIG, take_setting },
};

#define RECORDS (sizeof(records) / sizeof(records[0]))

static int
nodeview_take(struct nodeview *v, struct ask *a, enum ctl_show what,
    const struct ask_msg *m)
{
	size_t i;

	for (i = 0; i < RECORDS; i++) {
		if (records[i].what == what && records[i].type == m->type &&
		    records[i].take(v, m) == 0)
			return 0;
	}
	return ask_malformed(a, m->type);
}

static int
nodeview_show(struct nodeview *v, struct ask *a, enum ctl_show what)
{
	struct msg_ctl_show show = { .what = what };
	enum ask_result result;
	struct ask_msg m;

	if (ask_send(a, MSG_CTL_SHOW, &show, sizeof(show)) == -1)
		return -1;
	while ((result = ask_next(a, &m)) == ASK_RECORD) {
		if (nodeview_take(v, a, what, &m) == -1)
			return -1;
	}
	return result == ASK_END ? 0 : -1;
}

void
nodeview_ask(struct nodeview *v, const char *socket)
{
	static const enum ctl_show all[] = { SHOW_SUMMARY, SHOW_PROCESSES,
		SHOW_KEYS, SHOW_CONFIG };
	struct ask a;
	size_t i;

	if ((v->conf = conf_new()) == NULL) {
		strlcpy(v->text, "out of memory", sizeof(v->text));
		return;
	}
	v->up = ask_open(&a, socket) == 0;
	for (i = 0; v->up && i < sizeof(all) / sizeof(all[0]); i++)
		v->up = nodeview_show(v, &a, all[i]) == 0;
	/* The supervisor is one of them. */
	v->up = v->up && !TAILQ_EMPTY(&v->processes);
	if (v->up) {
		ask_close(&a);
		return;
	}
	v->stuck = a.late || a.greeted;
	v->denied = !a.absent && !v->stuck;
	strlcpy(v->text, a.text, sizeof(v->text));
	ask_close(&a);
}

void
nodeview_free(struct nodeview *v)
{
	struct nodeview_process *p;
	struct nodeview_listener *l;
	struct nodeview_key *k;

	while ((p = TAILQ_FIRST(&v->processes)) != NULL) {
		TAILQ_REMOVE(&v->processes, p, entry);
		free(p);
	}
	while ((l = TAILQ_FIRST(&v->listeners)) != NULL) {
		TAILQ_REMOVE(&v->listeners, l, entry);
		free(l);
	}
	while ((k = TAILQ_FIRST(&v->keys)) != NULL) {
		TAILQ_REMOVE(&v->keys, k, entry);
		free(k);
	}
	conf_free(v->conf);
	nodeview_init(v);
}
