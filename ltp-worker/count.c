/*
 * Counters of one worker.
 */
#include "count.h"

#include <event2/event.h>

#include "chan.h"
#include "msg.h"

#define COUNT_LOG_PAUSE_MS 1000

static const enum counter suppressed[CATEGORY__MAX] = {
	[CATEGORY_IP_RATE_LIMIT] = COUNT_LOG_SUPPRESSED_IP_RATE_LIMIT,
	[CATEGORY_RATE_LIMIT] = COUNT_LOG_SUPPRESSED_RATE_LIMIT,
	[CATEGORY_TOO_LARGE] = COUNT_LOG_SUPPRESSED_TOO_LARGE,
	[CATEGORY_INVALID_JSON] = COUNT_LOG_SUPPRESSED_INVALID_JSON,
	[CATEGORY_AUTH] = COUNT_LOG_SUPPRESSED_AUTH,
	[CATEGORY_ORIGIN] = COUNT_LOG_SUPPRESSED_ORIGIN,
	[CATEGORY_HANDSHAKE] = COUNT_LOG_SUPPRESSED_HANDSHAKE,
};

static void
count_timer(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	count_report(arg);
}

int
count_start(struct count *c, struct event_base *base, struct chan *parent)
{
	struct timeval second = { .tv_sec = 1 };

	c->parent = parent;
	c->timer = event_new(base, -1, EV_PERSIST, count_timer, c);
	if (c->timer == NULL)
		return -1;
	return event_add(c->timer, &second);
}

void
count_report(struct count *c)
{
	struct msg_count m;

	if (!counters_delta(&m.delta, &c->now, &c->reported) &&
	    c->expired_last_sweep == c->reported_last_sweep)
		return;
	m.expired_last_sweep = c->expired_last_sweep;
	/* What cannot be sent now is part of the next delta. */
	if (chan_send(c->parent, MSG_COUNT, &m, sizeof(m), NULL, 0) == -1)
		return;
	c->reported = c->now;
	c->reported_last_sweep = c->expired_last_sweep;
}

bool
count_may_log(struct count *c, enum log_category cat, struct monotime now)
{
	if (!monotime_reached(now, c->quiet_until[cat])) {
		c->now.n[suppressed[cat]]++;
		return false;
	}
	c->quiet_until[cat] = monotime_add_ms(now, COUNT_LOG_PAUSE_MS);
	return true;
}
