/*
 * A child's log sink: MSG_LOG to the supervisor.
 */
#include "childlog.h"

#include <string.h>

#include "chan.h"
#include "log.h"
#include "msg.h"

/* Log lines may fill this much of the channel's queue, no more. */
#define CHILDLOG_HIGH_WATER (CHAN_LOW_WATER)

static void
childlog_send(enum log_level level, const char *text, void *arg)
{
	static uint32_t dropped;
	struct chan *ch = arg;
	struct msg_log m = { .level = level, .dropped = dropped };
	/* An error may be the last that is heard of this process. */
	int (*put)(struct chan *, enum msg_type, const void *, size_t,
	    const void *, size_t) =
	    level == LEVEL_ERROR ? chan_send : chan_post;

	if (chan_queued(ch) > CHILDLOG_HIGH_WATER ||
	    put(ch, MSG_LOG, &m, sizeof(m), text, strlen(text)) == -1)
		dropped++;
	else
		dropped = 0;
}

void
childlog_start(struct chan *ch)
{
	log_set_sink(childlog_send, ch);
}
