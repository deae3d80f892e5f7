/*
 * The supervisor's part of ltp-sign: passing it certificates and keys, and
 * hearing whether they are good.
 */
#ifndef SIGNING_H
#define SIGNING_H

#include <stdbool.h>

struct child;
struct msg;
struct parent;
struct tlsfiles;

/*
 * Have ltp-sign look at these; what it says comes by reload_judged().  Returns
 * those that it has been given already if they are the same.  Takes a
 * reference and returns one.
 */
struct tlsfiles *signing_ask(struct parent *, struct tlsfiles *);
/* No answer has come: it counts as a bad one, with that text. */
void signing_give_up(struct parent *, struct tlsfiles *, const char *why);
/* MSG_SIGN_LOADED; false when nobody asked. */
bool signing_loaded(struct parent *, struct msg *);
/* p->tls is what a reload has brought. */
void signing_adopted(struct parent *);
/*
 * ltp-sign was started: it gets what is in force before it enters its sandbox.
 * 0 or -1.
 */
int signing_equip(struct parent *);
/* ltp-sign has died. */
void signing_child_gone(struct parent *);
/* Free what is held of this. */
void signing_free(struct parent *);

#endif /* SIGNING_H */
