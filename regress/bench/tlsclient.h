#ifndef TLSCLIENT_H
#define TLSCLIENT_H

#include <sys/types.h>

#include <openssl/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tlsclient;

/*
 * Speak TLS of this version, 1.2 or 1.3, and of no other.  certificate: a file
 * with the only one that a server may show, NULL: any.  resume: offer the last
 * ticket that came; a server that does not take it ends the program.
 */
struct tlsclient *
tlsclient_new(const char *version, const char *certificate, bool resume);

/* For a socket that is connected. */
SSL *tlsclient_open(struct tlsclient *, int fd);
/* Nothing is said; NULL is ignored. */
void tlsclient_free(SSL *);

/* True when it is over; else *writes says what it waits for. */
bool tlsclient_handshake(struct tlsclient *, SSL *, bool *writes);

/* As send() and recv() on a socket that does not block. */
ssize_t tlsclient_write(SSL *, const void *, size_t len);
ssize_t tlsclient_read(SSL *, void *, size_t size);

/* Handshakes, ever, by kind. */
uint64_t tlsclient_full(const struct tlsclient *);
uint64_t tlsclient_resumed(const struct tlsclient *);

#endif
