/*
 * The texts of each kind of server.  All are made once; for a message only the
 * digits are written into a copy, so that the generator is not what is
 * measured.
 */
#include "target.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CLIENT_DIGITS 8
#define SEQ_DIGITS    13
/* A timestamp_ms is this and the number of the message. */
#define SEQ_BASE 1700000000000

/* With these names a heartbeat is 101 bytes of JSON. */
#define CLIENT_NAME "bench-session-with-a-long-id-"
#define CLIENT_ID   CLIENT_NAME "########"
#define TIMESTAMP   "@@@@@@@@@@@@@"
#define SESSION_ID  "%%%%%%%%-%%%%-%%%%-%%%%-%%%%%%%%%%%%"

#define HEARTBEAT                                            \
	"{\"type\":\"heartbeat\",\"client_id\":\"" CLIENT_ID \
	"\",\"timestamp_ms\":" TIMESTAMP "}"
/* Its number rises as its time does. */
#define NUMBERED                                             \
	"{\"type\":\"heartbeat\",\"client_id\":\"" CLIENT_ID \
	"\",\"timestamp_ms\":" TIMESTAMP                     \
	",\"session_id\":\"%s\",\"seq\":" TIMESTAMP "}"
#define HELLO "{\"type\":\"hello\",\"client_id\":\"" CLIENT_ID "\"}"
#define NATS_CONNECT                                                        \
	"CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":0}\r\n" \
	"PING\r\n"

#define WS_KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define WS_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define WS_TEXT   0x81
#define WS_BINARY 0x82
#define WS_MASKED 0x80

static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };

/* ---- making texts ---- */

/* Find the places of the digits in a text that is complete. */
static void
text_index(struct target_text *t)
{
	uint8_t *at;

	at = memmem(t->bytes, t->len, "########", CLIENT_DIGITS);
	t->client_at = at == NULL ? 0 : (size_t)(at - t->bytes);
	at = memmem(t->bytes, t->len, TIMESTAMP, SEQ_DIGITS);
	t->seq_at[0] = at == NULL ? 0 : (size_t)(at - t->bytes);
	if (at != NULL) {
		at += SEQ_DIGITS;
		at = memmem(at, (size_t)(t->bytes + t->len - at), TIMESTAMP,
		    SEQ_DIGITS);
	}
	t->seq_at[1] = at == NULL ? 0 : (size_t)(at - t->bytes);
	at = memmem(t->bytes, t->len, SESSION_ID, TARGET_SESSION);
	t->session_at = at == NULL ? 0 : (size_t)(at - t->bytes);
}

static void
text_mask(struct target_text *t, size_t from)
{
	size_t i;

	t->mask_from = from;
	for (i = from; i < t->len; i++)
		t->bytes[i] ^= mask[(i - from) & 3];
}

/* A frame, masked as clients must or not as servers must. */
static int __attribute__((format(printf, 4, 5))) text_frame(
    struct target_text *t, uint8_t opcode, bool masked, const char *fmt, ...)
{
	char payload[TARGET_BYTES_MAX - 16];
	uint8_t *p = t->bytes;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(payload, sizeof(payload), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(payload))
		return -1;
	memset(t, 0, sizeof(*t));
	*p++ = opcode;
	*p++ = (uint8_t)((masked ? WS_MASKED : 0) | (n < 126 ? n : 126));
	if (n >= 126) {
		*p++ = (uint8_t)(n >> 8);
		*p++ = (uint8_t)(n & 0xff);
	}
	if (masked) {
		memcpy(p, mask, sizeof(mask));
		p += sizeof(mask);
	}
	memcpy(p, payload, (size_t)n);
	t->len = (size_t)(p - t->bytes) + (size_t)n;
	text_index(t);
	if (masked)
		text_mask(t, (size_t)(p - t->bytes));
	return 0;
}

static int
text_request(struct target_text *t, const char *api_key)
{
	int n;

	memset(t, 0, sizeof(*t));
	n = snprintf((char *)t->bytes, sizeof(t->bytes),
	    "GET / HTTP/1.1\r\n"
	    "Host: localhost\r\n"
	    "Upgrade: websocket\r\n"
	    "Connection: Upgrade\r\n"
	    "Sec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Key: " WS_KEY "\r\n"
	    "%s%s%s\r\n",
	    api_key == NULL ? "" : "Authorization: Bearer ",
	    api_key == NULL ? "" : api_key, api_key == NULL ? "" : "\r\n");
	if (n < 0 || (size_t)n >= sizeof(t->bytes))
		return -1;
	t->len = (size_t)n;
	return 0;
}

/* ---- the kinds ---- */

static int
target_init_floor(struct target *t)
{
	if (text_frame(&t->say[TARGET_HELLO], WS_TEXT, true, HELLO) == -1 ||
	    text_frame(&t->message, WS_TEXT, true, HEARTBEAT) == -1)
		return -1;
	t->answer[TARGET_UPGRADE] = t->say[TARGET_UPGRADE];
	t->answer[TARGET_HELLO] = t->say[TARGET_HELLO];
	t->reply = t->message;
	return 0;
}

static int
target_init_echo(struct target *t)
{
	if (target_init_floor(t) == -1)
		return -1;
	if (text_frame(&t->answer[TARGET_HELLO], WS_TEXT, false, HELLO) == -1)
		return -1;
	return text_frame(&t->reply, WS_TEXT, false, HEARTBEAT);
}

static int
target_init_ltp(struct target *t, const char *node_id, const char *key_id)
{
	if (target_init_floor(t) == -1)
		return -1;
	if (text_frame(&t->answer[TARGET_HELLO], WS_TEXT, false,
		"{\"type\":\"hello_ack\",\"node_id\":\"%s\","
		"\"accepted\":true}",
		node_id) == -1)
		return -1;
	return text_frame(&t->reply, WS_TEXT, false,
	    "{\"type\":\"heartbeat_ack\",\"client_id\":\"%s\","
	    "\"timestamp_ms\":" TIMESTAMP "}",
	    key_id != NULL ? key_id : CLIENT_ID);
}

/* As the plain listener, but that the session has an id. */
static int
target_init_remote(struct target *t, const char *node_id)
{
	if (target_init_ltp(t, node_id, NULL) == -1)
		return -1;
	if (text_frame(&t->answer[TARGET_HELLO], WS_TEXT, false,
		"{\"type\":\"hello_ack\",\"node_id\":\"%s\","
		"\"accepted\":true,\"session_id\":\"%s\"}",
		node_id, SESSION_ID) == -1)
		return -1;
	return text_frame(&t->message, WS_TEXT, true, NUMBERED, SESSION_ID);
}

static int
target_init_nats(struct target *t)
{
	if (text_frame(&t->say[TARGET_HELLO], WS_BINARY, true, NATS_CONNECT) ==
		-1 ||
	    text_frame(&t->message, WS_BINARY, true, "PING\r\n") == -1)
		return -1;
	return text_frame(&t->reply, WS_BINARY, false, "PONG\r\n");
}

int
target_init(struct target *t, const char *kind, const char *node_id,
    const char *api_key, const char *key_id)
{
	memset(t, 0, sizeof(*t));
	if (text_request(&t->say[TARGET_UPGRADE], api_key) == -1)
		return -1;
	if (strcmp(kind, "floor") == 0) {
		t->kind = TARGET_FLOOR;
		return target_init_floor(t);
	}
	if (strcmp(kind, "echo") == 0) {
		t->kind = TARGET_ECHO;
		return target_init_echo(t);
	}
	if (strcmp(kind, "ltp") == 0) {
		t->kind = TARGET_LTP;
		return target_init_ltp(t, node_id, key_id);
	}
	if (strcmp(kind, "remote") == 0) {
		t->kind = TARGET_REMOTE;
		return target_init_remote(t, node_id);
	}
	if (strcmp(kind, "nats") == 0) {
		t->kind = TARGET_NATS;
		return target_init_nats(t);
	}
	return -1;
}

/* ---- printing ---- */

static void
text_digits(const struct target_text *t, uint8_t *out, size_t at, size_t width,
    uint64_t value)
{
	size_t i;

	for (i = at + width; i-- > at; value /= 10) {
		out[i] = (uint8_t)('0' + value % 10);
		if (t->mask_from != 0)
			out[i] ^= mask[(i - t->mask_from) & 3];
	}
}

static void
text_session(
    const struct target_text *t, uint8_t *out, const char id[TARGET_SESSION])
{
	size_t at = t->session_at, i;

	memcpy(out + at, id, TARGET_SESSION);
	if (t->mask_from == 0)
		return;
	for (i = at; i < at + TARGET_SESSION; i++)
		out[i] ^= mask[(i - t->mask_from) & 3];
}

static size_t
text_print(const struct target_text *t, const struct target_client *c,
    uint64_t seq, uint8_t *out)
{
	memcpy(out, t->bytes, t->len);
	if (t->client_at != 0)
		text_digits(t, out, t->client_at, CLIENT_DIGITS, c->number);
	if (t->seq_at[0] != 0)
		text_digits(t, out, t->seq_at[0], SEQ_DIGITS, SEQ_BASE + seq);
	if (t->seq_at[1] != 0)
		text_digits(t, out, t->seq_at[1], SEQ_DIGITS, SEQ_BASE + seq);
	if (t->session_at != 0)
		text_session(t, out, c->session);
	return t->len;
}

size_t
target_say(const struct target *t, enum target_step step,
    const struct target_client *c, uint8_t *out)
{
	return text_print(&t->say[step], c, 0, out);
}

size_t
target_message(const struct target *t, const struct target_client *c,
    uint64_t seq, uint8_t *out)
{
	return text_print(&t->message, c, seq, out);
}

size_t
target_expected(const struct target *t, const struct target_client *c,
    uint64_t seq, uint8_t *out)
{
	return text_print(&t->reply, c, seq, out);
}

/* ---- checking ---- */

static ssize_t
text_check(const struct target_text *t, const struct target_client *c,
    uint64_t seq, const uint8_t *in, size_t len)
{
	uint8_t expected[TARGET_BYTES_MAX];

	text_print(t, c, seq, expected);
	if (memcmp(in, expected, len < t->len ? len : t->len) != 0)
		return -1;
	return len < t->len ? 0 : (ssize_t)t->len;
}

/* Servers choose their fields; what makes it an upgrade must be there. */
static ssize_t
upgrade_check(const uint8_t *in, size_t len)
{
	static const char status[] = "HTTP/1.1 101 ";
	char head[TARGET_REPLY_MAX];
	const uint8_t *end;
	size_t n;

	end = memmem(in, len, "\r\n\r\n", 4);
	if (end == NULL)
		return len < TARGET_REPLY_MAX ? 0 : -1;
	n = (size_t)(end - in) + 4;
	if (n >= sizeof(head))
		return -1;
	memcpy(head, in, n);
	head[n] = '\0';
	if (strncmp(head, status, sizeof(status) - 1) != 0 ||
	    strcasestr(head, "\r\nSec-WebSocket-Accept: " WS_ACCEPT "\r\n") ==
		NULL)
		return -1;
	return (ssize_t)n;
}

/* The payload of a frame of a server; its whole length, 0 or -1. */
static ssize_t
frame_open(const uint8_t *in, size_t len, const char **payload, size_t *n)
{
	size_t head = 2;

	if (len < 2)
		return 0;
	if (in[0] != WS_BINARY || in[1] > 126)
		return -1;
	*n = in[1];
	if (*n == 126) {
		head = 4;
		if (len < 4)
			return 0;
		*n = (size_t)in[2] << 8 | in[3];
	}
	if (head + *n > TARGET_REPLY_MAX)
		return -1;
	*payload = (const char *)in + head;
	return len < head + *n ? 0 : (ssize_t)(head + *n);
}

/*
 * A frame of a NATS server has one or more lines: PONG, which is what is asked
 * for, PING and INFO when the server likes.
 */
static ssize_t
nats_check(const uint8_t *in, size_t len, unsigned *pongs)
{
	const char *payload, *line;
	size_t n;
	ssize_t used;

	*pongs = 0;
	used = frame_open(in, len, &payload, &n);
	if (used <= 0)
		return used;
	while (n > 0) {
		line = payload;
		payload = memmem(line, n, "\r\n", 2);
		if (payload == NULL)
			return -1;
		payload += 2;
		n -= (size_t)(payload - line);
		if (strncmp(line, "PONG\r\n", 6) == 0)
			(*pongs)++;
		else if (strncmp(line, "PING\r\n", 6) != 0 &&
			 strncmp(line, "INFO {", 6) != 0)
			return -1;
	}
	return used;
}

/* All frames up to the first PONG; nothing may come after it. */
static ssize_t
nats_check_hello(const uint8_t *in, size_t len)
{
	unsigned pongs = 0;
	size_t used = 0;
	ssize_t n;

	while (pongs == 0) {
		n = nats_check(in + used, len - used, &pongs);
		if (n <= 0)
			return n;
		used += (size_t)n;
	}
	return pongs == 1 ? (ssize_t)used : -1;
}

/* The server chooses the id, of which only the form is known. */
static void
session_take(const struct target_text *t, struct target_client *c,
    const uint8_t *in, size_t len)
{
	static const char form[] = SESSION_ID;
	char id[TARGET_SESSION];
	size_t i;

	if (t->session_at == 0 || len < t->session_at + TARGET_SESSION)
		return;
	memcpy(id, in + t->session_at, TARGET_SESSION);
	for (i = 0; i < TARGET_SESSION; i++) {
		if (form[i] == '-'
			? id[i] != '-'
			: memchr("0123456789abcdef", id[i], 16) == NULL)
			return;
	}
	memcpy(c->session, id, TARGET_SESSION);
}

ssize_t
target_check_step(const struct target *t, enum target_step step,
    struct target_client *c, const uint8_t *in, size_t len)
{
	if (step == TARGET_UPGRADE && t->kind != TARGET_FLOOR)
		return upgrade_check(in, len);
	if (t->kind == TARGET_NATS)
		return nats_check_hello(in, len);
	if (step == TARGET_HELLO)
		session_take(&t->answer[step], c, in, len);
	return text_check(&t->answer[step], c, 0, in, len);
}

ssize_t
target_check_reply(const struct target *t, const struct target_client *c,
    uint64_t seq, const uint8_t *in, size_t len, unsigned *replies)
{
	if (t->kind == TARGET_NATS)
		return nats_check(in, len, replies);
	*replies = 1;
	return text_check(&t->reply, c, seq, in, len);
}
