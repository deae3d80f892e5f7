/*
 * upgrade.c: requests and what becomes of them, as tables.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"
#include "upgrade_feed.h"

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
a_length_beside_an_encoding_is_not_called_a_second_length(void **state)
{
	static const struct refusal bad[] = {
		{ HEAD
		    "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n" END,
		    400, "Transfer-Encoding on GET" },
		{ HEAD
		    "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n" END,
		    400, "Transfer-Encoding on GET" },
		{ HEAD "Content-Length: 0\r\nContent-Length: 0", 400,
		    "duplicate Content-Length header" },
	};

	(void)state;
	assert_refusals(bad, COUNT_OF(bad));
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
		strlcat(text, "X-Forwarded-For: a\r\n", sizeof(text));
	strlcat(text, END, sizeof(text));
	upgrade_free(read_good(text));
	text[strlen(text) - 2] = '\0';
	strlcat(text, "X", sizeof(text));
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
		cmocka_unit_test(
		    a_length_beside_an_encoding_is_not_called_a_second_length),
		cmocka_unit_test(what_is_no_upgrade_is_told_what_would_be),
		cmocka_unit_test(the_key_is_16_bytes_in_canonical_base64),
		cmocka_unit_test(
		    a_request_of_8_kib_is_taken_and_one_byte_more_is_431),
		cmocka_unit_test(
		    a_request_of_100_fields_is_taken_and_one_more_is_431),
		cmocka_unit_test(
		    the_first_fault_is_told_however_the_request_is_cut),
		cmocka_unit_test(nothing_may_be_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
