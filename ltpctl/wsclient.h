/*
 * A WebSocket client: ws:// and wss:// addresses, the upgrade, whole messages.
 * Synchronous, with a deadline for every step.
 */
#ifndef WSCLIENT_H
#define WSCLIENT_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "monotime.h"
#include "ws.h"

#define WSURL_HOST_MAX       256
#define WSURL_TARGET_MAX     1024
#define WSCLIENT_PEER_MAX    (WSURL_HOST_MAX + 16)
#define WSCLIENT_HEAD_MAX    8192 /* bytes of an upgrade's answer */
#define WSCLIENT_TEXT_MAX    768
#define WSCLIENT_MESSAGE_MAX 65536

struct tlsclient;

struct wsurl {
	bool tls; /* wss:// */
	char host[WSURL_HOST_MAX]; /* without brackets */
	char port[6];
	char authority[WSURL_HOST_MAX + 16]; /* for the Host header */
	char target[WSURL_TARGET_MAX]; /* path and query */
};

/* NULL, or what is wrong with it (static). */
const char *wsurl_parse(struct wsurl *, const char *text);

struct wsclient {
	int fd;
	struct tlsclient *tls; /* the caller's, NULL: plaintext */
	struct ws ws;
	char peer[WSCLIENT_PEER_MAX]; /* "127.0.0.1:7070" */
	char text[WSCLIENT_TEXT_MAX]; /* printable: what went wrong */
	uint8_t in[WSCLIENT_HEAD_MAX];
	uint8_t *p; /* what was read and not used yet */
	size_t left;
};

enum wsclient_event {
	WSCLIENT_FAILED = 0, /* text says why */
	WSCLIENT_MESSAGE, /* text or binary: the frame */
	WSCLIENT_CLOSED, /* a close frame: its code, text has both */
	WSCLIENT_TIMEOUT, /* nothing until the deadline */
	WSCLIENT_SIGNAL, /* a handler ran meanwhile */
};

/* What the request shows, each may be NULL. */
struct wsclient_login {
	const char *key; /* X-API-Key */
	const char *token; /* Authorization: Bearer */
};

/* All four: 0, or -1 with text. */
int wsclient_connect(
    struct wsclient *, const struct wsurl *, struct monotime deadline);
/* The handshake of TLS; from then on all goes through it. */
int wsclient_secure(struct wsclient *, const struct wsurl *, struct tlsclient *,
    struct monotime deadline);
int wsclient_upgrade(struct wsclient *, const struct wsurl *,
    const struct wsclient_login *, struct monotime deadline);
int wsclient_send(struct wsclient *, enum ws_opcode, const void *, size_t,
    struct monotime deadline);

/* The next message; pings are answered meanwhile. */
enum wsclient_event
wsclient_next(struct wsclient *, struct ws_frame *, struct monotime deadline);
void wsclient_free(struct wsclient *);

#endif /* WSCLIENT_H */
