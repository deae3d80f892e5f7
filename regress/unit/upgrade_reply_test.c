/*
 * upgrade.c: what is read from good requests, and the responses.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"
#include "upgrade_feed.h"

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
		for (j = 0; j < 4; j++) {
			*out = digits[bits >> (18 - 6 * j) & 63];
			if (i + j > len)
				*out = '=';
			out++;
		}
	}
	memcpy(out, "\r\n", 3);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(credentials_are_what_the_protocol_says),
		cmocka_unit_test(credentials_have_a_longest_length),
		cmocka_unit_test(
		    the_key_of_the_rfc_is_accepted_as_the_rfc_says),
		cmocka_unit_test(the_first_subprotocol_of_ltp_v0_is_chosen),
		cmocka_unit_test(refusals_carry_the_fields_that_go_with_them),
		cmocka_unit_test(a_refusal_fits_whatever_its_body),
		cmocka_unit_test(origins_match_by_scheme_host_and_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
