/*
 * For the tests of tls.c: its side of a socketpair, OpenSSL as the client on
 * the other, and a process of its own that signs.
 */
#ifndef TLS_TALK_H
#define TLS_TALK_H

#include <sys/types.h>

#include <event2/event.h>

#include <stdbool.h>

#include <openssl/ssl.h>

#include "certs.h"
#include "msg.h"
#include "signer.h"
#include "tls.h"

#define TURNS 2000 /* of a conversation that should have ended */
#define PAIR  7

/* The worker's side, and who signs. */
struct stage {
	struct event_base *base;
	struct tls_desk *desk;
	struct cert server;
	struct cert ca;
	pid_t pid; /* of who signs; 0: nobody */
};

/* One conversation. */
struct talk {
	struct stage *st;
	struct tls *tls;
	SSL *ssl; /* the client's */
	int fd[2]; /* [0] is the server's */
	bool waits; /* the server, for a signature */
	unsigned waited; /* how often it did */
	enum tls_result result;
	int connected; /* 1: the client is content, -1: it is not */
};

/* Of who signs. */
enum manner {
	SIGNS = 0,
	REFUSES, /* every question */
	SAYS_NOTHING,
	DIES, /* of the first question */
};

/* What there is to configure. */
struct node {
	const char *key;
	unsigned min_version;
	bool mtls;
	const char *crl;
};

/* A client. */
struct guest {
	unsigned version; /* no other; 0: any */
	struct cert *cert; /* NULL: none */
	const char *sigalgs;
	const char *ciphers;
	const char *alpn; /* with the length in front */
	unsigned extra; /* certificates behind its own */
};

/* Before all others; -1: there is no memory that can be locked. */
int stage_set_up(void);

/* A worker, and who signs for it. */
void stage_open(struct stage *, const struct node *, enum manner);
void stage_close(struct stage *);
/* Another one that signs, with the key of this certificate. */
void notary_start(struct stage *, const struct cert *, enum manner);
void notary_stop(struct stage *);
/* The descriptor that the supervisor would pass. */
int
stage_bundle(const struct stage *, const struct node *, struct msg_conf_tls *);
void stage_take(
    struct stage *, const struct node *, int fd, const struct msg_conf_tls *);
/* Both. */
void stage_conf(struct stage *, const struct node *);

/* The client's side of a socket. */
SSL *guest_ssl(const struct guest *, int fd);

/* talk_open() and talk_start(). */
void talk_begin(struct talk *, struct stage *, const struct guest *);
/* Its sockets alone. */
void talk_open(struct talk *, struct stage *);
void talk_start(struct talk *, const struct guest *);
void talk_end(struct talk *);
/* One side goes on with its handshake, if it can. */
void talk_client(struct talk *);
void talk_server(struct talk *);
/* For tls_set_resume(). */
void talk_resume(void *);
bool talk_is_settled(const struct talk *);
/* Until the server has made up its mind. */
void talk_handshake(struct talk *);
/* All of it. */
enum tls_result talk_once(struct stage *, const struct guest *);
/* What one side writes the other reads. */
void talk_check_bytes(struct talk *);

#endif /* TLS_TALK_H */
