/*
 * The client's side of TLS over a socket that does not block: 1.2 or 1.3,
 * with the server's chain and name verified.
 */
#ifndef TLSCLIENT_H
#define TLSCLIENT_H

#include <sys/types.h>

#include <stddef.h>

/* Of OpenSSL, whose headers not everybody needs who speaks TLS. */
struct ssl_ctx_st;
struct ssl_st;

#define TLSCLIENT_TEXT_MAX 256
#define TLSCLIENT_ID_MAX   257 /* bytes of an identity, with its NUL */

struct tlsclient_files {
	const char *ca; /* NULL: the CAs of the system */
	const char *cert; /* ours, NULL: none */
	const char *key; /* its private key */
};

struct tlsclient {
	struct ssl_ctx_st *ctx;
	struct ssl_st *ssl;
	short events; /* after EAGAIN: what poll(2) is to wait for */
	char text[TLSCLIENT_TEXT_MAX]; /* printable: what went wrong */
};

/* Read the files.  0, or -1 with text. */
int tlsclient_init(struct tlsclient *, const struct tlsclient_files *);
/* The name that our certificate proves to the node; empty: none. */
void tlsclient_identity(const struct tlsclient *, char id[TLSCLIENT_ID_MAX]);

/* Use this connection, of which the caller remains the owner.  0 or -1. */
int tlsclient_begin(struct tlsclient *, int fd, const char *host);
/*
 * As connect(2), recv(2) and send(2): -1 with EAGAIN and events, or with
 * EPROTO and text, or another errno.
 */
int tlsclient_handshake(struct tlsclient *);
ssize_t tlsclient_read(struct tlsclient *, void *, size_t);
ssize_t tlsclient_write(struct tlsclient *, const void *, size_t);
/* NULL members are allowed. */
void tlsclient_free(struct tlsclient *);

#endif /* TLSCLIENT_H */
