/*
 * The HTTP/1.1 request that opens a WebSocket session: RFC 6455 section 4,
 * and section 1 of the LTP node protocol, which is stricter than RFC 9112
 * where leniency is how requests are smuggled.  The request is parsed by
 * llhttp or http-parser; what they tolerate and we do not is checked here.
 */
#ifndef UPGRADE_H
#define UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msg.h"

#define UPGRADE_MAX_BYTES    8192
#define UPGRADE_MAX_HEADERS  100
#define UPGRADE_RESPONSE_MAX 1024

struct upgrade;

enum upgrade_state {
	UPGRADE_MORE = 0, /* not complete yet */
	UPGRADE_DONE, /* a good upgrade request */
	UPGRADE_BAD, /* refuse it: upgrade_status(), upgrade_reason() */
};

/* NULL with errno. */
struct upgrade *upgrade_new(void);
/* Wiped, it holds the credential.  NULL is allowed. */
void upgrade_free(struct upgrade *);

/*
 * Feed a piece of the request; *used is how many bytes belong to it (the
 * rest, after UPGRADE_DONE, is the first of the WebSocket stream).  A
 * request that is complete but no good is found bad at once; a bad byte does
 * not wait for the end of the request.
 */
enum upgrade_state
upgrade_input(struct upgrade *, const uint8_t *, size_t len, size_t *used);

/*
 * After UPGRADE_BAD: 400, 405, 426 or 431, and what is wrong, a static text
 * that is both the response's body and the log's reason.
 */
unsigned upgrade_status(const struct upgrade *);
const char *upgrade_reason(const struct upgrade *);

/* Values of header fields, NULL when absent; NUL-terminated. */
const char *upgrade_origin(const struct upgrade *);
/* All X-Forwarded-For fields joined by ", ". */
const char *upgrade_forwarded_for(const struct upgrade *);

enum credential_kind {
	CREDENTIAL_NONE = 0,
	CREDENTIAL_KEY, /* key; id too when it came by Basic */
	CREDENTIAL_CONFLICT, /* two that disagree, or one that cannot be a
				key: refuse as invalid */
};

struct credential {
	enum credential_kind kind;
	size_t id_len; /* 0: any id that has this key */
	size_t key_len;
	char id[LTP_ID_MAX];
	char key[AUTH_KEY_MAX];
};

/* What the request offers.  The caller wipes *out. */
void upgrade_credential(const struct upgrade *, struct credential *out);

/*
 * The 101 response: Sec-WebSocket-Accept, and the first ltp.v0.N that was
 * offered as subprotocol.  Returns its length.
 */
size_t
upgrade_print_accept(const struct upgrade *, char out[UPGRADE_RESPONSE_MAX]);
/*
 * Any other response: status, the fields that go with it (Allow for 405,
 * Sec-WebSocket-Version and Upgrade for 426, Retry-After for 429 and 503
 * with retry_after seconds), Content-Length, Connection: close, and body
 * without a newline.  Returns its length.
 */
size_t upgrade_print_refusal(char out[UPGRADE_RESPONSE_MAX], unsigned status,
    const char *body, unsigned retry_after);

/*
 * Is this origin on the list?  An entry is "*", "scheme://host" with or
 * without a port, or "scheme://host:*" for any port.  Compared without case,
 * default ports (80, 443) are the same as none.
 */
bool upgrade_origin_matches(const char *entry, const char *origin);

#endif /* UPGRADE_H */
