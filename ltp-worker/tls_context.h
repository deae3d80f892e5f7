/*
 * What all connections of one configuration share: certificate, CAs, CRLs,
 * versions, ciphers, ticket keys.
 */
#ifndef TLS_CONTEXT_H
#define TLS_CONTEXT_H

#include <stdbool.h>

#include <openssl/ssl.h>

#include "msg.h"
#include "signer.h"

/* Of an SSL_CTX, and whether clients must show a certificate. */
struct tls_context {
	SSL_CTX *ssl;
	bool mtls;
};

/* Of a worker. */
struct tls_desk {
	struct signer signer;
	struct tls_context *now; /* NULL: no TLS */
	struct tls_context *next;
	BIO_METHOD *bio;
	uint8_t *input; /* what this wake-up read from the socket */
};

/* The library, before the sandbox.  0 or -1. */
int tls_library_init(void);
/* The descriptor stays the caller's.  NULL with *why, a static text. */
struct tls_context *tls_context_new(struct signer *, int fd,
    const struct msg_conf_tls *, bool mtls, const char **why);
/* Connections keep what they need of it.  NULL is allowed. */
void tls_context_free(struct tls_context *);

#endif /* TLS_CONTEXT_H */
