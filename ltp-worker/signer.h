/*
 * The channel to ltp-sign, and a key whose private half is there: a public
 * key that OpenSSL takes for a whole one, and whose signatures are questions.
 *
 * Where the library can leave a handshake in the middle (sign_wait_async.c) the
 * worker goes on with others until the answer comes; where it cannot
 * (sign_wait_blocking.c) it waits, for 100 ms at most.
 */
#ifndef SIGNER_H
#define SIGNER_H

#include <sys/queue.h>

#include <event2/event.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>

#include "monotime.h"
#include "msg.h"

struct chan;
struct question;

enum question_state {
	QUESTION_OPEN = 1,
	QUESTION_ANSWERED,
	QUESTION_FAILED,
};

/*
 * A handshake as the signer knows it; embedded in whatever drives one.
 */
struct turn {
	TAILQ_ENTRY(turn) entry;
	bool waiting; /* for one of the library's jobs */
	struct question *question; /* NULL: it waits for no signature */
	/* Go on with the handshake; called from the event loop. */
	void (*resume)(void *arg);
	void *arg;
};

/* On the stack of who waits for the answer. */
struct question {
	TAILQ_ENTRY(question) entry;
	struct turn *turn;
	enum question_state state;
	struct msg_sign_ask ask;
	const uint8_t *in;
	size_t inlen;
	uint8_t *out;
	size_t outsize;
	size_t outlen;
	bool sent;
	struct monotime deadline; /* while it is not sent */
};

struct signer {
	struct event_base *base;
	struct chan *parent; /* where lies are told of; may be NULL */
	struct chan *ch; /* NULL: not introduced, or it died */
	int fd; /* of ch, to wait for it */
	struct msg_peer who; /* who that channel leads to */
	struct event *timer; /* of questions that could not be sent */
	struct event *retry; /* of those who got no job */
	uint32_t last_serial;
	struct turn *turn; /* whose handshake is being driven */
	TAILQ_HEAD(, question) questions; /* by age */
	TAILQ_HEAD(turn_list, turn) waiting;
	bool retrying; /* those who wait, one by one */
	bool full; /* the last one that asked got no job */
};

/* -1 when there is no memory. */
int signer_init(struct signer *, struct event_base *, struct chan *parent);
void signer_clear(struct signer *);
/* A channel to ltp-sign; takes fd.  -1 when there is no memory. */
int signer_set(struct signer *, int fd, const struct msg_peer *);

/*
 * A key that ltp-sign signs for, of the pair of that number.  NULL when the
 * public key is of no type that it can be, or there is no memory.
 */
EVP_PKEY *signer_key(struct signer *, uint32_t pair, EVP_PKEY *public);

/*
 * This handshake is driven from now on; NULL: none.  Whoever drives one calls
 * this before and after.
 */
void signer_attend(struct signer *, struct turn *);
/*
 * There was no job for it; it is resumed when there may be one.
 */
void signer_queue(struct signer *, struct turn *);
/* Who needs a job has to queue, even if there is one. */
bool signer_is_awaited(const struct signer *);
/*
 * It is given up: its question fails, without a resume.  What waits in the
 * library must be driven once more to come to its end.
 */
void signer_abandon(struct signer *, struct turn *);

/* ---- for sign_wait_*.c ---- */

/* At start, before the sandbox.  -1: it cannot be had. */
int sign_wait_init(void);
/* Nobody waits any more. */
void sign_wait_clear(void);
/* May handshakes be left in the middle?  Before and after one. */
void sign_wait_allow(SSL *, bool);
/* Does this error of the library's say that it has no job left? */
bool sign_wait_no_job(int error);
/* Until the question is not open any more. */
void sign_wait(struct signer *, struct question *);

#endif /* SIGNER_H */
