/*
 * A child's log lines go through its channel; the supervisor alone writes
 * the log.  Above the channel's high-water mark lines are dropped, and the
 * next one that gets through says how many.
 */
#ifndef CHILDLOG_H
#define CHILDLOG_H

struct chan;

/* From now on log through ch (the channel to the supervisor). */
void childlog_start(struct chan *ch);

#endif /* CHILDLOG_H */
