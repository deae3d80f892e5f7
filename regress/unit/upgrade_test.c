/*
 * upgrade.c: requests and what becomes of them, as tables.  A request is fed
 * in pieces that lie in memory of just their size, so that a sanitizer sees
 * any step beyond them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"
#include "upgrade.h"

#define KEY      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define WANT     "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define THIRTEEN "Sec-WebSocket-Version: 13\r\n"
#define GET      "GET / HTTP/1.1\r\n"
#define HOST     "Host: localhost:7070\r\n"
/* All that a request must have but its end. */
#define HEAD GET HOST WANT KEY THIRTEEN
#define END  "\r\n"

/* Feed a piece from memory of its own; says how many bytes were used. */
static enum upgrade_state
feed(struct upgrade *u, const char *p, size_t len, size_t *used)
{
	enum upgrade_state state;
	uint8_t *copy;

	assert_non_null(copy = malloc(len + 1));
	memcpy(copy + 1, p, len);
	state = upgrade_input(u, copy + 1, len, used);
	assert_true(*used <= len);
	free(copy);
	return state;
}

/* A request as a whole. */
static struct upgrade *
read_bytes(const char *p, size_t len, enum upgrade_state expected)
{
	struct upgrade *u;
	size_t used;

	assert_non_null(u = upgrade_new());
	assert_int_equal(feed(u, p, len, &used), expected);
	if (expected != UPGRADE_BAD)
		assert_int_equal(used, len);
	return u;
}

static struct upgrade *
read_good(const char *text)
{
	return read_bytes(text, strlen(text), UPGRADE_DONE);
}

/* Refused at its last byte and not before, and by no other reason. */
static void
assert_refused(
    const char *text, size_t len, unsigned status, const char *reason)
{
	struct upgrade *u;
	size_t used, i;

	u = read_bytes(text, len, UPGRADE_BAD);
	assert_int_equal(upgrade_status(u), status);
	assert_string_equal(upgrade_reason(u), reason);
	/* It stays bad. */
	assert_int_equal(
	    feed(u, HEAD END, strlen(HEAD END), &used), UPGRADE_BAD);
	assert_string_equal(upgrade_reason(u), reason);
	upgrade_free(u);

	assert_non_null(u = upgrade_new());
	for (i = 0; i < len - 1; i++)
		if (feed(u, text + i, 1, &used) != UPGRADE_MORE)
			fail_msg("\"%s\": refused at byte %zu of %zu: %s", text,
			    i, len, upgrade_reason(u));
	assert_int_equal(feed(u, text + i, 1, &used), UPGRADE_BAD);
	assert_int_equal(upgrade_status(u), status);
	assert_string_equal(upgrade_reason(u), reason);
	upgrade_free(u);
}

/* ---- good requests ---- */

static const char *const good[] = {
	HEAD END,
	"GET /any/path?with=query&more HTTP/1.1\r\n" HOST WANT KEY THIRTEEN END,
	"GET http://localhost:7070/ HTTP/1.1\r\n" HOST WANT KEY THIRTEEN END,
	"GET ws://[::1]:7070?q HTTP/1.1\r\n" HOST WANT KEY THIRTEEN END,
	"GET wss://example.org HTTP/1.1\r\n" HOST WANT KEY THIRTEEN END,
	GET "host:a\r\n" WANT KEY THIRTEEN END,
	GET "HOST: \t a \t \r\n" WANT KEY THIRTEEN END,
	GET HOST
	"upgrade: WebSocket\r\nconnection: keep-alive, UPGRADE\r\n" KEY THIRTEEN
	    END,
	GET HOST
	"Upgrade: h2c\r\nUpgrade: ,, WEBSOCKET\r\n"
	"Connection: close\r\nConnection: a ,upgrade , b\r\n" KEY THIRTEEN END,
	HEAD "Content-Length: 0\r\n" END,
	HEAD "Empty:\r\nAlso-Empty: \r\nA_b.c!#$%&'*+-^`|~9: x\r\n" END,
	HEAD "Obs-Text: caf\xe9 \xff\tand a tab\r\n" END,
	HEAD "Origin: http://localhost:3000\r\n"
	     "X-Forwarded-For: 192.0.2.1, 192.0.2.2\r\n"
	     "X-Forwarded-For:\r\n"
	     "X-Forwarded-For: 2001:db8::1 \r\n"
	     "X-API-Key: secret\r\n" END,
	HEAD "Sec-WebSocket-Extensions: permessage-deflate; "
	     "client_max_window_bits\r\n"
	     "Sec-WebSocket-Protocol: chat, ltp.v0.2\r\n"
	     "Sec-WebSocket-Protocol: ltp.v0.1\r\n"
	     "User-Agent: a (b; c) d/1.0 \"e\"\r\n" END,
};

static void
good_requests_are_taken_wherever_they_are_cut(void **state)
{
	struct upgrade *u;
	size_t i, cut, used, len;

	(void)state;
	for (i = 0; i < COUNT_OF(good); i++) {
		len = strlen(good[i]);
		for (cut = 0; cut < len; cut++) {
			assert_non_null(u = upgrade_new());
			assert_int_equal(
			    feed(u, good[i], cut, &used), UPGRADE_MORE);
			assert_int_equal(used, cut);
			if (feed(u, good[i] + cut, len - cut, &used) !=
			    UPGRADE_DONE)
				fail_msg("\"%s\" cut at %zu: %s", good[i], cut,
				    upgrade_reason(u));
			assert_int_equal(used, len - cut);
			upgrade_free(u);
		}
	}
}

static void
good_requests_are_taken_byte_by_byte(void **state)
{
	struct upgrade *u;
	size_t i, at, used, len;

	(void)state;
	for (i = 0; i < COUNT_OF(good); i++) {
		len = strlen(good[i]);
		assert_non_null(u = upgrade_new());
		for (at = 0; at < len; at++) {
			assert_int_equal(feed(u, good[i] + at, 1, &used),
			    at + 1 < len ? UPGRADE_MORE : UPGRADE_DONE);
			assert_int_equal(used, 1);
		}
		upgrade_free(u);
	}
}

static void
what_follows_the_request_is_left_alone(void **state)
{
	static const char text[] = HEAD END "\x81\x85GET / HTTP/1.1\r\n";
	size_t len = strlen(HEAD END), used;
	struct upgrade *u;

	(void)state;
	assert_non_null(u = upgrade_new());
	assert_int_equal(feed(u, text, sizeof(text) - 1, &used), UPGRADE_DONE);
	assert_int_equal(used, len);
	assert_int_equal(feed(u, text + len, 10, &used), UPGRADE_DONE);
	assert_int_equal(used, 0);
	upgrade_free(u);
}

static void
values_are_the_same_wherever_the_request_is_cut(void **state)
{
	static const char text[] =
	    HEAD "Origin:  http://a.example:1 \r\n"
		 "X-Forwarded-For: 192.0.2.1,192.0.2.2 \t\r\n"
		 "X-API-Key: se cret \r\nX-Forwarded-For:\r\n"
		 "x-forwarded-FOR: \t2001:db8::1\r\n" END;
	size_t len = sizeof(text) - 1, cut, used;
	struct credential c;
	struct upgrade *u;

	(void)state;
	for (cut = 0; cut < len; cut++) {
		assert_non_null(u = upgrade_new());
		feed(u, text, cut, &used);
		assert_int_equal(
		    feed(u, text + cut, len - cut, &used), UPGRADE_DONE);
		assert_string_equal(upgrade_origin(u), "http://a.example:1");
		assert_string_equal(upgrade_forwarded_for(u),
		    "192.0.2.1,192.0.2.2, , 2001:db8::1");
		upgrade_credential(u, &c);
		assert_int_equal(c.kind, CREDENTIAL_KEY);
		assert_int_equal(c.key_len, 7);
		assert_memory_equal(c.key, "se cret", 7);
		upgrade_free(u);
	}
}

static void
absent_values_are_null_and_empty_ones_empty(void **state)
{
	struct upgrade *u;

	(void)state;
	u = read_good(HEAD END);
	assert_null(upgrade_origin(u));
	assert_null(upgrade_forwarded_for(u));
	upgrade_free(u);
	u = read_good(HEAD "Origin:\r\nX-Forwarded-For:  \r\n" END);
	assert_string_equal(upgrade_origin(u), "");
	assert_string_equal(upgrade_forwarded_for(u), "");
	upgrade_free(u);
}

/* ---- bad requests ---- */

struct refusal {
	const char *text; /* its last byte is the one that it fails at */
	unsigned status;
	const char *reason;
};

static void
assert_refusals(const struct refusal *r, size_t n)
{
	for (; n > 0; n--, r++)
		assert_refused(r->text, strlen(r->text), r->status, r->reason);
}

static void
lines_must_be_strict(void **state)
{
	static const struct refusal bad[] = {
		{ "GET / HTTP/1.1\n", 400, "bare LF in header" },
		{ GET "Host: a\n", 400, "bare LF in header" },
		{ GET "Host\n", 400, "bare LF in header" },
		{ GET "\n", 400, "bare LF in header" },
		{ GET HOST "\n", 400, "bare LF in header" },
		{ GET "Host: a\rb", 400, "bare CR in header" },
		{ GET "Host: a\r\r", 400, "bare CR in header" },
		{ GET HOST "\rx", 400, "bare CR in header" },
		{ "GET / HTTP/1.1\rH", 400, "bare CR in header" },
		{ GET "Host: a\r\n ", 400, "folded header line" },
		{ GET "Host: a\r\n\t", 400, "folded header line" },
		{ GET " ", 400, "folded header line" },
		{ GET "Host: a\x01", 400, "control character in header" },
		{ GET "Host: a\x7f", 400, "control character in header" },
		{ GET "Host: a\x1b", 400, "control character in header" },
		{ GET "Host ", 400, "bad header name" },
		{ GET "Host\t", 400, "bad header name" },
		{ GET "Host\r", 400, "bad header name" },
		{ GET "X\x80", 400, "bad header name" },
		{ GET "X(", 400, "bad header name" },
		{ GET ":", 400, "bad header name" },
		{ GET "\x01", 400, "bad header name" },
	};

	(void)state;
	assert_refusals(bad, COUNT_OF(bad));
	assert_refused(GET "Host: a\0", strlen(GET) + 8, 400,
	    "control character in header");
	assert_refused(GET "Ho\0", strlen(GET) + 3, 400, "bad header name");
	assert_refused("GET /\0", 6, 400, "bad request line");
}

static void
request_lines_must_be_strict(void **state)
{
	static const struct refusal bad[] = {
		{ "\r", 400, "bad request line" },
		{ "\n", 400, "bare LF in header" },
		{ " ", 400, "bad request line" },
		{ "get", 400, "bad request line" },
		{ "GETT", 400, "bad request line" },
		{ "GET\t", 400, "bad request line" },
		{ "GET / \t", 400, "bad request line" },
		{ "GET /\x7f", 400, "bad request line" },
		{ "GET /\xc3", 400, "bad request line" },
		{ "GET /\r", 400, "bad request line" },
		{ "GET / HTTP/1.1 ", 400, "bad request line" },
		{ "GET  / ", 400, "bad request line" },
		{ "GET /  ", 400, "bad request line" },
		{ "GET / HTTP/x", 400, "bad request line" },
		{ "GET / http", 400, "bad request line" },
		{ "GET / FTP", 400, "bad request line" },
		{ "GET / HTTP/1.1 ", 400, "bad request line" },
		{ "PRI ", 400, "bad request line" },
	};
	struct upgrade *u;
	size_t i, at, used, len;
	enum upgrade_state st;

	(void)state;
	/* The parser may be faster, but never slower than this. */
	for (i = 0; i < COUNT_OF(bad); i++) {
		len = strlen(bad[i].text);
		assert_non_null(u = upgrade_new());
		for (at = 0, st = UPGRADE_MORE; at < len && st == UPGRADE_MORE;
		     at++)
			st = feed(u, bad[i].text + at, 1, &used);
		if (st != UPGRADE_BAD)
			fail_msg("\"%s\" was not refused", bad[i].text);
		assert_int_equal(upgrade_status(u), bad[i].status);
		assert_string_equal(upgrade_reason(u), bad[i].reason);
		upgrade_free(u);
	}
}

static void
other_protocols_are_refused_at_once(void **state)
{
	static const char *const others[] = { "\x16\x03\x01\x02", /* TLS */
		"SSH-2.0-x", "\x05\x01", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"\x80\x2e\x01", "EHLO x\r\n", "*1\r\n$4\r\nPING\r\n",
		"{\"type\"" };
	struct upgrade *u;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(others); i++) {
		u = read_bytes(others[i], strlen(others[i]), UPGRADE_BAD);
		assert_int_equal(upgrade_status(u), 400);
		assert_string_equal(upgrade_reason(u), "bad request line");
		upgrade_free(u);
	}
	u = read_bytes("\x16", 1, UPGRADE_BAD);
	upgrade_free(u);
}

/* With the rest of a request after it, so that only this is wrong. */
#define REST HOST WANT KEY THIRTEEN END

static void
methods_versions_and_targets_are_checked(void **state)
{
	static const struct refusal bad[] = {
		{ "POST / HTTP/1.1\r\n" REST, 405, "method is not GET" },
		{ "HEAD / HTTP/1.1\r\n" REST, 405, "method is not GET" },
		{ "PUT / HTTP/1.1\r\n" REST, 405, "method is not GET" },
		{ "OPTIONS * HTTP/1.1\r\n" REST, 405, "method is not GET" },
		{ "CONNECT a:1 HTTP/1.1\r\n" REST, 405, "method is not GET" },
		{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n" END, 405,
		    "method is not GET" },
		{ "GET / HTTP/1.0\r\n" REST, 400, "HTTP version is not 1.1" },
		{ "GET / HTTP/1.2\r\n" REST, 400, "HTTP version is not 1.1" },
		{ "GET / HTTP/2.0\r\n" REST, 400, "HTTP version is not 1.1" },
		{ "GET / HTTP/2.1\r\n" REST, 400, "HTTP version is not 1.1" },
		{ "GET / HTTP/0.9\r\n" REST, 400, "HTTP version is not 1.1" },
		{ "GET * HTTP/1.1\r\n" REST, 400, "bad request target" },
		{ "GET /a#b HTTP/1.1\r\n" REST, 400, "bad request target" },
		{ "GET ftp://a/ HTTP/1.1\r\n" REST, 400, "bad request target" },
		{ "GET http://u@a/ HTTP/1.1\r\n" REST, 400,
		    "bad request target" },
		{ "GET http://a:99999/ HTTP/1.1\r\n" REST, 400,
		    "bad request target" },
	};

	(void)state;
	assert_refusals(bad, COUNT_OF(bad));
}

#define BUT_HOST WANT KEY THIRTEEN END

static void
there_is_exactly_one_good_host(void **state)
{
	static const char *const bad[] = { "", "  ", " a b", " a,b\t\x80",
		" a/b", " u@a", " http://a", " a:b", " a:65536", " a:1:2",
		" a:-1", " :80", " ::1", " [::1", " [", " []", " [::1]a",
		" [::g]", " [v1.x]", " [fe80::1%25lo]", " a%4", " a%zz",
		" a]" };
	static const char *const fine[] = { "a", "a.b-c.example.", "127.0.0.1",
		"127.0.0.1:7070", "[::1]", "[2001:db8::1]:65535",
		"[::ffff:192.0.2.1]:1", "a_b~c!$&'()*+;=", "%41%4a:080", "a:" };
	char text[512];
	size_t i;

	(void)state;
	assert_refused(
	    GET BUT_HOST, strlen(GET BUT_HOST), 400, "no Host header");
	for (i = 0; i < COUNT_OF(bad); i++) {
		snprintf(
		    text, sizeof(text), GET "Host:%s\r\n" BUT_HOST, bad[i]);
		assert_refused(text, strlen(text), 400, "bad Host header");
	}
	for (i = 0; i < COUNT_OF(fine); i++) {
		snprintf(
		    text, sizeof(text), GET "Host: %s\r\n" BUT_HOST, fine[i]);
		upgrade_free(read_good(text));
	}
}

static void
fields_that_must_be_single_are_refused_twice(void **state)
{
	static const struct {
		const char *name;
		const char *value;
	} single[] = {
		{ "Host", "localhost" },
		{ "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==" },
		{ "Sec-WebSocket-Version", "13" },
		{ "Origin", "http://localhost" },
		{ "X-API-Key", "k" },
		{ "Authorization", "Bearer k" },
		{ "Content-Length", "0" },
	};
	struct upgrade *u;
	char text[1024], reason[64];
	size_t i, empty;

	(void)state;
	for (i = 0; i < COUNT_OF(single); i++)
		for (empty = 0; empty <= 1; empty++) {
			snprintf(text, sizeof(text),
			    GET "%s: %s\r\n%s: %s\r\n" END, single[i].name,
			    single[i].value, single[i].name,
			    empty ? "" : single[i].value);
			snprintf(reason, sizeof(reason), "duplicate %s header",
			    single[i].name);
			/* Content-Length is no list and never empty. */
			if (empty &&
			    strcmp(single[i].name, "Content-Length") == 0)
				continue;
			u = read_bytes(text, strlen(text), UPGRADE_BAD);
			assert_int_equal(upgrade_status(u), 400);
			assert_string_equal(upgrade_reason(u), reason);
			upgrade_free(u);
		}
}

static void
a_request_has_no_body(void **state)
{
	static const char *const bad[] = { "Content-Length: 1\r\n",
		"Content-Length: 00\r\n", "Content-Length: -0\r\n",
		"Content-Length: +0\r\n", "Content-Length: 0, 0\r\n",
		"Content-Length: x\r\n", "Content-Length: 0x0\r\n",
		"Content-Length:\r\n",
		"Content-Length: 99999999999999999999999\r\n",
		"Transfer-Encoding: chunked\r\n",
		"Transfer-Encoding: identity\r\n",
		"Transfer-Encoding: gzip, chunked\r\n",
		"Transfer-Encoding:\r\n",
		"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n" };
	struct upgrade *u;
	char text[1024];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(bad); i++) {
		snprintf(text, sizeof(text), HEAD "%s" END, bad[i]);
		u = read_bytes(text, strlen(text), UPGRADE_BAD);
		assert_int_equal(upgrade_status(u), 400);
		upgrade_free(u);
	}
}

static void
what_is_no_upgrade_is_told_what_would_be(void **state)
{
	static const struct refusal bad[] = {
		{ GET HOST END, 426, "no upgrade to websocket" },
		{ GET HOST "Connection: Upgrade\r\n" KEY THIRTEEN END, 426,
		    "no upgrade to websocket" },
		{ GET HOST
		    "Upgrade: h2c\r\nConnection: Upgrade\r\n" KEY THIRTEEN END,
		    426, "no upgrade to websocket" },
		{ GET HOST "Upgrade: websockets, web socket\r\n"
			   "Connection: Upgrade\r\n" KEY THIRTEEN END,
		    426, "no upgrade to websocket" },
		{ GET HOST WANT KEY END, 426,
		    "Sec-WebSocket-Version is not 13" },
		{ GET HOST WANT KEY "Sec-WebSocket-Version: 8\r\n" END, 426,
		    "Sec-WebSocket-Version is not 13" },
		{ GET HOST WANT KEY "Sec-WebSocket-Version: 13, 8\r\n" END, 426,
		    "Sec-WebSocket-Version is not 13" },
		{ GET HOST WANT KEY "Sec-WebSocket-Version: 013\r\n" END, 426,
		    "Sec-WebSocket-Version is not 13" },
		{ GET HOST "Upgrade: websocket\r\n" KEY THIRTEEN END, 400,
		    "no upgrade in Connection header" },
		{ GET HOST
		    "Upgrade: websocket\r\nConnection: close\r\n" KEY THIRTEEN
			END,
		    400, "no upgrade in Connection header" },
		{ GET HOST "Upgrade: websocket\r\nConnection: upgraded\r\n" KEY
			THIRTEEN END,
		    400, "no upgrade in Connection header" },
	};

	(void)state;
	assert_refusals(bad, COUNT_OF(bad));
}

static void
the_key_is_16_bytes_in_canonical_base64(void **state)
{
	static const char *const bad[] = { "", "dGhlIHNhbXBsZSBub25jZQ",
		"dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ===",
		"dGhlIHNhbXBsZSBub25jZR==", "dGhlIHNhbXBsZSBub25jZQ=A",
		"dGhlIHNhbXBsZSBub25jZQAA", "dGhlIHNhbXBsZSBub25j",
		"dGhlIHNhbXBsZSBub25jZQECAw==", "dGhl-HNhbXBsZSBub25jZQ==",
		"dGhl_HNhbXBsZSBub25jZQ==", "dGhl HNhbXBsZSBub25jZQ==", "====",
		"=Ghl", "dGhlIHNhbXBsZSBub25jZQ==, x",
		"++++++++++++++++++++++==" };
	static const char *const fine[] = { "dGhlIHNhbXBsZSBub25jZQ==",
		"AAAAAAAAAAAAAAAAAAAAAA==", "/////////////////////w==" };
	struct upgrade *u;
	char text[512];
	size_t i;

	(void)state;
	u = read_bytes(GET HOST WANT THIRTEEN END,
	    strlen(GET HOST WANT THIRTEEN END), UPGRADE_BAD);
	assert_int_equal(upgrade_status(u), 400);
	assert_string_equal(upgrade_reason(u), "no Sec-WebSocket-Key header");
	upgrade_free(u);
	for (i = 0; i < COUNT_OF(bad); i++) {
		snprintf(text, sizeof(text),
		    GET HOST WANT THIRTEEN "Sec-WebSocket-Key: %s\r\n" END,
		    bad[i]);
		assert_refused(
		    text, strlen(text), 400, "bad Sec-WebSocket-Key header");
	}
	for (i = 0; i < COUNT_OF(fine); i++) {
		snprintf(text, sizeof(text),
		    GET HOST WANT THIRTEEN "Sec-WebSocket-Key: %s\r\n" END,
		    fine[i]);
		upgrade_free(read_good(text));
	}
}

/* A request of just so many bytes. */
static char *
pad_to(size_t size)
{
	size_t head = strlen(HEAD "Pad: ");
	char *text;

	assert_non_null(text = malloc(size + 1));
	memset(text, 'p', size);
	memcpy(text, HEAD "Pad: ", head);
	memcpy(text + size - 4, "\r\n\r\n", 5);
	return text;
}

static void
a_request_of_8_kib_is_taken_and_one_byte_more_is_431(void **state)
{
	struct upgrade *u;
	char *text;

	(void)state;
	text = pad_to(UPGRADE_MAX_BYTES);
	upgrade_free(read_good(text));
	free(text);
	text = pad_to(UPGRADE_MAX_BYTES + 1);
	assert_refused(
	    text, UPGRADE_MAX_BYTES + 1, 431, "request header too large");
	free(text);
	/* It need not look like an end. */
	assert_non_null(text = malloc(UPGRADE_MAX_BYTES + 1));
	memset(text, 'a', UPGRADE_MAX_BYTES + 1);
	memcpy(text, "GET /", 5);
	u = read_bytes(text, UPGRADE_MAX_BYTES, UPGRADE_MORE);
	upgrade_free(u);
	assert_refused(
	    text, UPGRADE_MAX_BYTES + 1, 431, "request header too large");
	free(text);
}

static void
a_request_of_100_fields_is_taken_and_one_more_is_431(void **state)
{
	char text[4096] = HEAD;
	size_t i;

	(void)state;
	for (i = 5; i < UPGRADE_MAX_HEADERS; i++)
		strcat(text, "X-Forwarded-For: a\r\n");
	strcat(text, END);
	upgrade_free(read_good(text));
	text[strlen(text) - 2] = '\0';
	strcat(text, "X");
	assert_refused(text, strlen(text), 431, "too many header fields");
}

static void
the_first_fault_is_told_however_the_request_is_cut(void **state)
{
	/* The parser's fault comes before the scanner's, in one piece. */
	static const char text[] = HEAD "Host: b\r\nX: \x01\n\n";
	size_t len = sizeof(text) - 1, cut, used;
	struct upgrade *u;

	(void)state;
	for (cut = 0; cut < len; cut++) {
		assert_non_null(u = upgrade_new());
		if (feed(u, text, cut, &used) == UPGRADE_MORE)
			feed(u, text + cut, len - cut, &used);
		assert_string_equal(upgrade_reason(u), "duplicate Host header");
		upgrade_free(u);
	}
}

/* ---- credentials ---- */

static void
assert_credential(const char *fields, enum credential_kind kind, const char *id,
    const char *key)
{
	struct credential c;
	struct upgrade *u;
	char text[8192];

	snprintf(text, sizeof(text), HEAD "%s" END, fields);
	u = read_good(text);
	memset(&c, 0xa5, sizeof(c));
	upgrade_credential(u, &c);
	if (c.kind != kind || c.id_len != strlen(id) ||
	    c.key_len != strlen(key) || memcmp(c.id, id, c.id_len) != 0 ||
	    memcmp(c.key, key, c.key_len) != 0)
		fail_msg("%s: kind %d, id %.*s, key %.*s", fields, c.kind,
		    (int)c.id_len, c.id, (int)c.key_len, c.key);
	upgrade_free(u);
}

#define AUTH     "Authorization"
#define NONE     CREDENTIAL_NONE, "", ""
#define CONFLICT CREDENTIAL_CONFLICT, "", ""

static void
credentials_are_what_the_protocol_says(void **state)
{
	static const struct {
		const char *fields;
		enum credential_kind kind;
		const char *id;
		const char *key;
	} table[] = {
		{ "", NONE },
		{ "X-API-Key:\r\n", NONE },
		{ "X-API-Key: \t \r\n", NONE },
		{ "X-API-Key: k1\r\n", CREDENTIAL_KEY, "", "k1" },
		{ "x-api-key:  k1 \r\n", CREDENTIAL_KEY, "", "k1" },
		{ "X-API-Key: a key: \"~!\r\n", CREDENTIAL_KEY, "",
		    "a key: \"~!" },
		{ "X-API-Key: k\xc3\xa9\r\n", NONE },
		{ "X-API-Key: k\t1\r\n", NONE },
		/* Authorization alone. */
		{ AUTH ": Bearer k1\r\n", CREDENTIAL_KEY, "", "k1" },
		{ AUTH ": bEARER   k1\r\n", CREDENTIAL_KEY, "", "k1" },
		{ AUTH ": ApiKey k1\r\n", CREDENTIAL_KEY, "", "k1" },
		{ AUTH ": apikey k 1\r\n", CREDENTIAL_KEY, "", "k 1" },
		{ AUTH ":\r\n", NONE },
		{ AUTH ": Digest k1\r\n", NONE },
		{ AUTH ": k1\r\n", NONE },
		{ AUTH ": Bearerk1\r\n", NONE },
		{ AUTH ": Bearer\r\n", CONFLICT },
		{ AUTH ": Bearer:k1\r\n", CONFLICT },
		{ AUTH ": Bearer\tk1\r\n", CONFLICT },
		{ AUTH ": Bearer k\xc3\xa9\r\n", CONFLICT },
		/* Basic: "id:key", "id:k:1", "id", ":key", "id:", .. */
		{ AUTH ": Basic aWQ6a2V5\r\n", CREDENTIAL_KEY, "id", "key" },
		{ AUTH ": basic  aWQ6azox\r\n", CREDENTIAL_KEY, "id", "k:1" },
		{ AUTH ": Basic aWQ6aw==\r\n", CREDENTIAL_KEY, "id", "k" },
		{ AUTH ": Basic aWQ6a2U=\r\n", CREDENTIAL_KEY, "id", "ke" },
		{ AUTH ": Basic aWQ=\r\n", CONFLICT },
		{ AUTH ": Basic OmtleQ==\r\n", CONFLICT },
		{ AUTH ": Basic aWQ6\r\n", CONFLICT },
		{ AUTH ": Basic\r\n", CONFLICT },
		{ AUTH ": Basic id:key\r\n", CONFLICT },
		{ AUTH ": Basic aWQ6aw\r\n", CONFLICT },
		{ AUTH ": Basic aWQ6ax==\r\n", CONFLICT },
		{ AUTH ": Basic aWQ6a38=\r\n", CONFLICT }, /* DEL in the key */
		{ AUTH ": Basic aWQ6a2V5A===\r\n", CONFLICT },
		{ AUTH ": Basic aWQ6a2UK\r\n",
		    CONFLICT }, /* a newline at the end of the key */
		/* Empty or unprintable X-API-Key: as if absent. */
		{ "X-API-Key:\r\n" AUTH ": Bearer k1\r\n", CREDENTIAL_KEY, "",
		    "k1" },
		{ "X-API-Key: \xff\r\n" AUTH ": Basic aWQ6a2V5\r\n",
		    CREDENTIAL_KEY, "id", "key" },
		/* Both. */
		{ "X-API-Key: k1\r\n" AUTH ": Bearer k1\r\n", CREDENTIAL_KEY,
		    "", "k1" },
		{ AUTH ": ApiKey k1\r\nX-API-Key: k1\r\n", CREDENTIAL_KEY, "",
		    "k1" },
		{ "X-API-Key: k1\r\n" AUTH ": Bearer k2\r\n", CONFLICT },
		{ "X-API-Key: k1\r\n" AUTH ": Bearer k11\r\n", CONFLICT },
		{ "X-API-Key: k1\r\n" AUTH ": apikey k\r\n", CONFLICT },
		{ "X-API-Key: k1\r\n" AUTH ": Bearer\r\n", CONFLICT },
		{ "X-API-Key: k1\r\n" AUTH ": Bearer K1\r\n", CONFLICT },
		{ "X-API-Key: k1\r\n" AUTH ": Basic aWQ6a2V5\r\n",
		    CREDENTIAL_KEY, "", "k1" },
		{ "X-API-Key: k1\r\n" AUTH ": Basic broken!\r\n",
		    CREDENTIAL_KEY, "", "k1" },
		{ "X-API-Key: k1\r\n" AUTH ": Negotiate x\r\n", CREDENTIAL_KEY,
		    "", "k1" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(table); i++)
		assert_credential(
		    table[i].fields, table[i].kind, table[i].id, table[i].key);
}

/* Plain base64 of n times 'a', a colon and m times 'k'. */
static void
put_basic(char *out, size_t n, size_t m)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";
	size_t len = n + 1 + m, i, j;
	unsigned bits;

	out += sprintf(out, "Authorization: Basic ");
	for (i = 0; i < len; i += 3) {
		for (bits = 0, j = i; j < i + 3; j++)
			bits = bits << 8 | (j >= len    ? 0U
					       : j < n  ? 'a'
					       : j == n ? ':'
							: 'k');
		for (j = 0; j < 4; j++)
			*out++ = i + j > len
				     ? '='
				     : digits[bits >> (18 - 6 * j) & 63];
	}
	strcpy(out, "\r\n");
}

static void
credentials_have_a_longest_length(void **state)
{
	char key[AUTH_KEY_MAX + 2], id[LTP_ID_MAX + 2], fields[4096];
	size_t len;

	(void)state;
	for (len = AUTH_KEY_MAX; len <= AUTH_KEY_MAX + 1; len++) {
		memset(key, 'k', len);
		key[len] = '\0';
		snprintf(fields, sizeof(fields), "X-API-Key: %s\r\n", key);
		if (len > AUTH_KEY_MAX)
			key[0] = '\0';
		assert_credential(fields,
		    len > AUTH_KEY_MAX ? CREDENTIAL_CONFLICT : CREDENTIAL_KEY,
		    "", key);
		memset(key, 'k', len);
		snprintf(fields, sizeof(fields), "Authorization: Bearer %s\r\n",
		    key);
		if (len > AUTH_KEY_MAX)
			key[0] = '\0';
		assert_credential(fields,
		    len > AUTH_KEY_MAX ? CREDENTIAL_CONFLICT : CREDENTIAL_KEY,
		    "", key);
		put_basic(fields, 1, len);
		assert_credential(fields,
		    len > AUTH_KEY_MAX ? CREDENTIAL_CONFLICT : CREDENTIAL_KEY,
		    len > AUTH_KEY_MAX ? "" : "a", key);
	}
	for (len = LTP_ID_MAX; len <= LTP_ID_MAX + 1; len++) {
		memset(id, 'a', len);
		id[len] = '\0';
		if (len > LTP_ID_MAX)
			id[0] = '\0';
		put_basic(fields, len, 1);
		assert_credential(fields,
		    len > LTP_ID_MAX ? CREDENTIAL_CONFLICT : CREDENTIAL_KEY, id,
		    len > LTP_ID_MAX ? "" : "k");
	}
	memset(id, 'a', LTP_ID_MAX);
	memset(key, 'k', AUTH_KEY_MAX);
	id[LTP_ID_MAX] = key[AUTH_KEY_MAX] = '\0';
	put_basic(fields, LTP_ID_MAX, AUTH_KEY_MAX);
	assert_credential(fields, CREDENTIAL_KEY, id, key);
	put_basic(fields, LTP_ID_MAX, AUTH_KEY_MAX + 1);
	assert_credential(fields, CREDENTIAL_CONFLICT, "", "");
	put_basic(fields, LTP_ID_MAX, 3 * AUTH_KEY_MAX / 2);
	assert_credential(fields, CREDENTIAL_CONFLICT, "", "");
}

/* ---- responses ---- */

static void
assert_accept(const char *fields, const char *subprotocol)
{
	char text[4096], out[UPGRADE_RESPONSE_MAX], expected[1024];
	struct upgrade *u;
	size_t len;

	snprintf(text, sizeof(text), HEAD "%s" END, fields);
	u = read_good(text);
	len = upgrade_print_accept(u, out);
	snprintf(expected, sizeof(expected),
	    "HTTP/1.1 101 Switching Protocols\r\n"
	    "Upgrade: websocket\r\n"
	    "Connection: Upgrade\r\n"
	    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	    "%s%s%s\r\n",
	    subprotocol ? "Sec-WebSocket-Protocol: " : "",
	    subprotocol ? subprotocol : "", subprotocol ? "\r\n" : "");
	assert_int_equal(len, strlen(expected));
	assert_memory_equal(out, expected, len);
	upgrade_free(u);
}

static void
the_key_of_the_rfc_is_accepted_as_the_rfc_says(void **state)
{
	(void)state;
	assert_accept("", NULL);
}

static void
the_first_subprotocol_of_ltp_v0_is_chosen(void **state)
{
	static const struct {
		const char *offered;
		const char *chosen;
	} table[] = {
		{ "ltp.v0.1", "ltp.v0.1" },
		{ "ltp.v0.0", "ltp.v0.0" },
		{ "chat, ltp.v0.2,ltp.v0.1", "ltp.v0.2" },
		{ ", \t,\tltp.v0.123456789\t,", "ltp.v0.123456789" },
		{ "ltp.v0.1234567890", NULL },
		{ "ltp.v0.01, ltp.v0.1", "ltp.v0.1" },
		{ "ltp.v0.00", NULL },
		{ "ltp.v0.", NULL },
		{ "ltp.v0", NULL },
		{ "ltp.v1.1", NULL },
		{ "LTP.v0.1", NULL },
		{ "ltp.v0.1a", NULL },
		{ "ltp.v0.1 a", NULL },
		{ "xltp.v0.1", NULL },
		{ "", NULL },
	};
	char fields[256];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(table); i++) {
		snprintf(fields, sizeof(fields),
		    "Sec-WebSocket-Protocol: %s\r\n", table[i].offered);
		assert_accept(fields, table[i].chosen);
	}
	assert_accept("Sec-WebSocket-Protocol: chat\r\n"
		      "Sec-WebSocket-Protocol: ltp.v0.7\r\n"
		      "Sec-WebSocket-Protocol: ltp.v0.8\r\n",
	    "ltp.v0.7");
}

static void
refusals_carry_the_fields_that_go_with_them(void **state)
{
	static const struct {
		unsigned status;
		const char *line;
		const char *field;
	} table[] = {
		{ 400, "HTTP/1.1 400 Bad Request\r\n", "" },
		{ 401, "HTTP/1.1 401 Unauthorized\r\n",
		    "\r\nWWW-Authenticate: Bearer\r\n" },
		{ 403, "HTTP/1.1 403 Forbidden\r\n", "" },
		{ 405, "HTTP/1.1 405 Method Not Allowed\r\n",
		    "\r\nAllow: GET\r\n" },
		{ 408, "HTTP/1.1 408 Request Timeout\r\n", "" },
		{ 426, "HTTP/1.1 426 Upgrade Required\r\n",
		    "\r\nSec-WebSocket-Version: 13\r\n" },
		{ 426, "HTTP/1.1 426 Upgrade Required\r\n",
		    "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" },
		{ 429, "HTTP/1.1 429 Too Many Requests\r\n",
		    "\r\nRetry-After: 17\r\n" },
		{ 431, "HTTP/1.1 431 Request Header Fields Too Large\r\n", "" },
		{ 500, "HTTP/1.1 500 Internal Server Error\r\n", "" },
		{ 503, "HTTP/1.1 503 Service Unavailable\r\n",
		    "\r\nRetry-After: 17\r\n" },
	};
	char out[UPGRADE_RESPONSE_MAX];
	size_t i, len;

	(void)state;
	for (i = 0; i < COUNT_OF(table); i++) {
		len =
		    upgrade_print_refusal(out, table[i].status, "the body", 17);
		assert_true(len < sizeof(out));
		assert_int_equal(len, strlen(out));
		assert_memory_equal(out, table[i].line, strlen(table[i].line));
		assert_non_null(strstr(out, table[i].field));
		assert_non_null(strstr(out, "\r\nContent-Length: 8\r\n"));
		assert_non_null(strstr(out, "\r\nConnection: close\r\n"));
		assert_string_equal(out + len - 12, "\r\n\r\nthe body");
		if (table[i].status != 429 && table[i].status != 503)
			assert_null(strstr(out, "Retry-After"));
		if (table[i].status != 426)
			assert_null(strstr(out, "Upgrade:"));
	}
}

static void
a_refusal_fits_whatever_its_body(void **state)
{
	char body[4096], out[UPGRADE_RESPONSE_MAX], *end;
	size_t len, told;

	(void)state;
	memset(body, 'b', sizeof(body) - 1);
	body[sizeof(body) - 1] = '\0';
	len = upgrade_print_refusal(out, 426, body, UINT32_MAX);
	assert_true(len < sizeof(out));
	end = strstr(out, "\r\n\r\n");
	assert_non_null(end);
	told = strtoul(strstr(out, "Content-Length: ") + 16, NULL, 10);
	assert_int_equal(strlen(end + 4), told);
	assert_int_equal((size_t)(end + 4 - out) + told, len);
	len = upgrade_print_refusal(out, 599, "", 0);
	assert_memory_equal(out, "HTTP/1.1 599 Error\r\n", 20);
	assert_non_null(strstr(out, "\r\nContent-Length: 0\r\n"));
	assert_int_equal(len, strlen(out));
}

/* ---- origins ---- */

static void
origins_match_by_scheme_host_and_port(void **state)
{
	static const struct {
		const char *entry;
		const char *origin;
		bool matches;
	} table[] = {
		{ "*", "http://evil.example", true },
		{ "*", "null", true },
		{ "*", "", true },
		{ "http://localhost", "http://localhost", true },
		{ "http://localhost", "HTTP://LocalHost", true },
		{ "HTTP://LOCALHOST", "http://localhost", true },
		{ "http://localhost", "http://localhost:80", true },
		{ "http://localhost:80", "http://localhost", true },
		{ "https://a.example", "https://a.example:443", true },
		{ "https://a.example:443", "https://a.example", true },
		{ "http://a.example", "http://a.example:443", false },
		{ "https://a.example", "https://a.example:80", false },
		{ "http://localhost", "https://localhost", false },
		{ "http://localhost", "http://localhost:3000", false },
		{ "http://localhost:3000", "http://localhost:3000", true },
		{ "http://localhost:3000", "http://localhost", false },
		{ "http://localhost:3000", "http://localhost:3001", false },
		{ "http://localhost:*", "http://localhost:3000", true },
		{ "http://localhost:*", "http://localhost", true },
		{ "http://localhost:*", "http://localhost:65535", true },
		{ "http://localhost:*", "https://localhost:3000", false },
		{ "http://localhost:*", "http://localhost.evil.example",
		    false },
		{ "http://localhost:*", "http://localhost:3000.evil.example",
		    false },
		{ "http://localhost:*", "http://localhost:x", false },
		{ "http://localhost:*", "http://localhost:*", false },
		{ "http://localhost:*", "http://localhost:65536", false },
		{ "http://a.example", "http://b.a.example", false },
		{ "http://a.example", "http://a.example.evil", false },
		{ "http://a.example", "http://a.example/", false },
		{ "http://a.example", "http://a.example?x", false },
		{ "http://a.example", "http://a.example#x", false },
		{ "http://a.example", "http://a.example@evil.example", false },
		{ "http://a.example", "http://evil@a.example", false },
		{ "http://a.example", "http://a.example http://b.example",
		    false },
		{ "http://a.example", "http://a.example, http://b.example",
		    false },
		{ "http://a.example", "a.example", false },
		{ "http://a.example", "//a.example", false },
		{ "http://a.example", "http:a.example", false },
		{ "http://a.example", "null", false },
		{ "http://a.example", "", false },
		{ "http://a.example", "*", false },
		{ "null", "null", false },
		{ "", "", false },
		{ ":*", ":1", false },
		{ "http://:*", "http://:1", false },
		{ "http://", "http://", false },
		{ "://a", "://a", false },
		{ "a:", "a:", false },
		{ "http://*", "http://a.example", false },
		{ "http://[::1]:*", "http://[::1]:3000", true },
		{ "http://[::1]", "http://[::1]", true },
		{ "http://[::1]", "http://[::2]", false },
		{ "http://[::1]:80", "http://[::1]", true },
		{ "http://[::1", "http://[::1", false },
		{ "http://127.0.0.1:*", "http://127.0.0.1:8080", true },
		{ "http://127.0.0.1:*", "http://127.0.0.11:8080", false },
		{ "app://a", "app://a", true },
		{ "app://a", "app://a:80", false },
		{ "app://a:80", "app://a:80", true },
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(table); i++)
		if (upgrade_origin_matches(table[i].entry, table[i].origin) !=
		    table[i].matches)
			fail_msg("%s, %s", table[i].entry, table[i].origin);
}

static void
nothing_may_be_freed(void **state)
{
	(void)state;
	upgrade_free(NULL);
	upgrade_free(upgrade_new());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_requests_are_taken_wherever_they_are_cut),
		cmocka_unit_test(good_requests_are_taken_byte_by_byte),
		cmocka_unit_test(what_follows_the_request_is_left_alone),
		cmocka_unit_test(
		    values_are_the_same_wherever_the_request_is_cut),
		cmocka_unit_test(absent_values_are_null_and_empty_ones_empty),
		cmocka_unit_test(lines_must_be_strict),
		cmocka_unit_test(request_lines_must_be_strict),
		cmocka_unit_test(other_protocols_are_refused_at_once),
		cmocka_unit_test(methods_versions_and_targets_are_checked),
		cmocka_unit_test(there_is_exactly_one_good_host),
		cmocka_unit_test(fields_that_must_be_single_are_refused_twice),
		cmocka_unit_test(a_request_has_no_body),
		cmocka_unit_test(what_is_no_upgrade_is_told_what_would_be),
		cmocka_unit_test(the_key_is_16_bytes_in_canonical_base64),
		cmocka_unit_test(
		    a_request_of_8_kib_is_taken_and_one_byte_more_is_431),
		cmocka_unit_test(
		    a_request_of_100_fields_is_taken_and_one_more_is_431),
		cmocka_unit_test(
		    the_first_fault_is_told_however_the_request_is_cut),
		cmocka_unit_test(credentials_are_what_the_protocol_says),
		cmocka_unit_test(credentials_have_a_longest_length),
		cmocka_unit_test(
		    the_key_of_the_rfc_is_accepted_as_the_rfc_says),
		cmocka_unit_test(the_first_subprotocol_of_ltp_v0_is_chosen),
		cmocka_unit_test(refusals_carry_the_fields_that_go_with_them),
		cmocka_unit_test(a_refusal_fits_whatever_its_body),
		cmocka_unit_test(origins_match_by_scheme_host_and_port),
		cmocka_unit_test(nothing_may_be_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
