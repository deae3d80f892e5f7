/*
 * Noticing that the remote listener's files have changed: tokens, and
 * certificates with their key.
 */
#ifndef REMOTEWATCH_H
#define REMOTEWATCH_H

struct parent;
struct remotewatch;

struct remotewatch *remotewatch_new(struct parent *);
void remotewatch_free(struct remotewatch *); /* NULL is allowed */
/* The configuration has changed. */
void remotewatch_follow(struct remotewatch *);
/*
 * A reload has said what is wrong with them: no need to say it again.  An empty
 * text: nothing is, so that the next failure is a new one, whatever its text.
 */
void remotewatch_told_tokens(struct remotewatch *, const char *error);
void remotewatch_told_tls(struct remotewatch *, const char *error);
/* The certificates that were found here are no good. */
void remotewatch_refused(struct remotewatch *, const char *why);

#endif /* REMOTEWATCH_H */
