/*
 * TLS over a client's socket.  The private key is not here but in ltp-sign.
 *
 * No memory of a connection's own holds what came from the socket but was not
 * asked for yet, unless the client stops to be read from: a wake-up reads the
 * socket once, between tls_wake() and tls_sleep().
 */
#ifndef TLS_H
#define TLS_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

#include "msg.h"

struct chan;
struct event_base;
struct tls;
struct tls_desk; /* of a worker: what is in force, and what is to be */

enum tls_result {
	TLS_DONE = 1,
	TLS_READ, /* when the socket is readable again */
	TLS_WRITE, /* writable */
	TLS_SIGN, /* a signature is waited for: turn.resume() will tell */
	TLS_FAILED,
};

/*
 * parent: where lies of ltp-sign are told of; may be NULL.  NULL when there is
 * no memory, or this program has no TLS.
 */
struct tls_desk *tls_desk_new(struct event_base *, struct chan *parent);
/* NULL is allowed here, and for begin and commit. */
void tls_desk_free(struct tls_desk *);
/* A channel to ltp-sign; takes fd.  -1 when there is no memory. */
int tls_desk_set_signer(struct tls_desk *, int fd, const struct msg_peer *);
/* A new configuration begins; it has no TLS until tls_desk_conf(). */
void tls_desk_begin(struct tls_desk *);
/*
 * The descriptor stays the caller's.  mtls: clients must have a certificate.
 * 0, or -1 with *why, a static text.
 */
int tls_desk_conf(struct tls_desk *, int fd, const struct msg_conf_tls *,
    bool mtls, const char **why);
/*
 * It is in force for those who come from now on; who is there keeps what was.
 */
void tls_desk_commit(struct tls_desk *);

/*
 * For a client that has just come; the socket stays the caller's.  NULL when
 * there is no memory, or no context.
 */
struct tls *tls_new(struct tls_desk *, int fd);
/* After TLS_SIGN, call this when the handshake can go on. */
void tls_set_resume(struct tls *, void (*)(void *), void *arg);
/* NULL is allowed. */
void tls_free(struct tls *);

enum tls_result tls_handshake(struct tls *);
/* Why it failed: a static text for the log. */
const char *tls_reason(const struct tls *);
/* It failed for the client's certificate, or for want of one. */
bool tls_blames_certificate(const struct tls *);
/* The id that the client's certificate proves; NULL: none was asked for. */
const char *tls_identity(const struct tls *);

/* A wake-up may read the socket once; its end keeps what is left. */
void tls_wake(struct tls *);
void tls_sleep(struct tls *);
/*
 * As recv(2) and send(2) do, with errno.  Behind tls_close(), or a failure,
 * reading gives bytes that are good for nothing but to be thrown away.
 */
ssize_t tls_read(struct tls *, void *, size_t);
ssize_t tls_write(struct tls *, const void *, size_t);
/* Is there something to read that the socket will not tell of? */
bool tls_pending(const struct tls *);
/* Say that nothing follows. */
void tls_close(struct tls *);

#endif /* TLS_H */
