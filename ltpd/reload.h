/*
 * Handing out the configuration, in two phases: BEGIN .. END to every child,
 * wait for every ACK, then COMMIT to all.
 */
#ifndef RELOAD_H
#define RELOAD_H

#include "conf.h"
#include "keyfile.h"

struct child;
struct parent;
struct tlsfiles;
struct tokens;

#define RELOAD_ERROR_MAX 1024

/*
 * Read the configuration and the keys again and start phase one.  done is
 * called with NULL when every child has taken it (arg is the caller's, NULL
 * done is allowed).  Returns -1 with a text in error when nothing changes:
 * the configuration is bad, or a reload is in progress.
 */
int reload_start(struct parent *, void (*done)(const char *error, void *arg),
    void *arg, char error[RELOAD_ERROR_MAX]);
/*
 * The same two phases for new keys alone; takes keys.  NULL: there is no
 * good set, nobody is let in.  No reload is in progress.
 */
void reload_keys(struct parent *, struct keyset *keys);
/*
 * The same for new tokens alone, and for certificates and their key, which
 * ltp-sign looks at first; a bad pair is told to
 * remotewatch_refused().  Both take what they are given.
 */
void reload_tokens(struct parent *, struct tokens *);
void reload_tls(struct parent *, struct tlsfiles *);
/* ltp-sign has looked at these, or never will. */
void reload_judged(struct parent *, const struct tlsfiles *);
/* Give up a reload that is in progress, the node is going down. */
void reload_abandon(struct parent *);
/* Forget who asked (ltpctl went away). */
void reload_forget(struct parent *, void *arg);

/* Send a child all that it must know, as it starts or in phase one. */
void reload_send(struct parent *, struct child *);
/* A child has acknowledged a generation. */
void reload_acked(struct parent *, struct child *);
/* A child has gone: nobody waits for it. */
void reload_child_gone(struct parent *);

#endif /* RELOAD_H */
