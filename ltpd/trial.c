/*
 * A private key is read by ltp-sign alone, so a check of the configuration asks
 * it, as a node does at its start.
 */
#include "trial.h"

#include <sys/wait.h>

#include <event2/event.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "child.h"
#include "tlsfiles.h"

#define TRIAL_SECS 10

struct trial {
	struct event_base *base;
	struct chan *ch;
	bool good;
	char why[SIGN_WHY_MAX + 1];
};

static void
trial_say(struct trial *t, const char *why)
{
	strlcpy(t->why, why, sizeof(t->why));
}

static void
trial_message(struct chan *ch, struct msg *m, void *arg)
{
	struct msg_sign_loaded loaded;
	struct trial *t = arg;

	(void)ch;
	if (m->type != MSG_SIGN_LOADED)
		return;
	memcpy(&loaded, m->data, sizeof(loaded));
	t->good = loaded.good != 0;
	snprintf(t->why, sizeof(t->why), "%.*s", (int)(m->len - sizeof(loaded)),
	    (const char *)m->data + sizeof(loaded));
	event_base_loopbreak(t->base);
}

static void
trial_gone(struct chan *ch, enum chan_end end, void *arg)
{
	struct trial *t = arg;

	(void)end;
	chan_free(ch);
	t->ch = NULL;
	trial_say(t, "ltp-sign has died");
	event_base_loopbreak(t->base);
}

static const struct chan_ops trial_ops = {
	.message = trial_message,
	.gone = trial_gone,
};

/* The channel takes both descriptors, whatever becomes of them. */
static int
trial_ask(struct trial *t, const struct conf *conf, const struct tlsfiles *f)
{
	struct msg_conf_tls m;
	int fds[2] = { dup(f->fd), dup(f->key_fd) };

	if (fds[0] == -1 || fds[1] == -1)
		return -1;
	tlsfiles_describe(f, conf, &m);
	return chan_send_fds(t->ch, MSG_SIGN_PAIR, fds, 2, &m, sizeof(m));
}

static void
trial_hold(struct trial *t, const struct conf *conf, const struct tlsfiles *f)
{
	struct timeval limit = { .tv_sec = TRIAL_SECS };
	pid_t pid;
	int fd;

	if ((pid = child_spawn("ltp-sign", 0, &fd)) == -1) {
		trial_say(t, strerror(errno));
		return;
	}
	t->ch = chan_new(t->base, fd, ROLE_PARENT, ROLE_SIGN, &trial_ops, t);
	if (t->ch == NULL || trial_ask(t, conf, f) == -1) {
		trial_say(t, strerror(errno));
	} else {
		trial_say(t, "ltp-sign does not answer");
		event_base_loopexit(t->base, &limit);
		event_base_dispatch(t->base);
	}
	chan_free(t->ch);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int
trial_of_tls(
    const struct conf *conf, struct tlsfiles *f, char error[TRIAL_ERROR_MAX])
{
	struct trial t = { .good = false };

	f->pair = 1;
	if ((t.base = event_base_new()) == NULL) {
		trial_say(&t, strerror(errno));
	} else {
		trial_hold(&t, conf, f);
		event_base_free(t.base);
	}
	if (!t.good)
		snprintf(error, TRIAL_ERROR_MAX, "distributed.tls: %s", t.why);
	return t.good ? 0 : -1;
}
