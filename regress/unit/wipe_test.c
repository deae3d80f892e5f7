/*
 * What functions that handle secrets leave on the stack: each is run on a
 * stack of its own, which is then searched.
 */
#include "unit.h"

#include <arpa/inet.h>

#include <openssl/evp.h>

#include <sha2.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "../../ltp-auth/keys.h"
#include "chain.h"
#include "conf_parse.h"
#include "digest.h"
#include "keyfile.h"
#include "text.h"
#include "upgrade.h"

#define STACK_SIZE (512 * 1024)
#define PIECE      12 /* bytes of a secret that are too many */

void __real_SHA256Final(uint8_t out[DIGEST_SIZE], SHA2_CTX *);
void __wrap_SHA256Final(uint8_t out[DIGEST_SIZE], SHA2_CTX *);

/* A random key, as short as those that an error quotes, and its digest. */
static char key[17];
static uint8_t digest[DIGEST_SIZE];
static uint32_t schedule[64]; /* of SHA-256, see make_schedule() */
static const char *format;
static char text[512];
static uint8_t *stack;
static void (*run)(void);

static void
on_stack(int sig)
{
	(void)sig;
	run();
}

static bool
is_left(const void *secret, size_t len)
{
	const uint8_t *p = secret;
	size_t i;

	for (i = 0; i + PIECE <= len; i++) {
		if (memmem(stack, STACK_SIZE, p + i, PIECE) != NULL)
			return true;
	}
	return false;
}

static uint32_t
rotate(uint32_t x, int bits)
{
	return x >> bits | x << (32 - bits);
}

/*
 * What SHA-256 makes of the key before it digests it (FIPS 180-4, section
 * 6.2.2).  Sixteen words in a row tell all others, the key among them.
 */
static void
make_schedule(void)
{
	uint8_t block[64] = { 0 };
	uint32_t *w = schedule, a, b;
	size_t i;

	memcpy(block, key, sizeof(key) - 1);
	block[sizeof(key) - 1] = 0x80;
	block[63] = 8 * (sizeof(key) - 1);
	for (i = 0; i < 16; i++) {
		memcpy(&w[i], block + 4 * i, 4);
		w[i] = ntohl(w[i]);
	}
	for (; i < 64; i++) {
		a = w[i - 15];
		b = w[i - 2];
		a = rotate(a, 7) ^ rotate(a, 18) ^ a >> 3;
		b = rotate(b, 17) ^ rotate(b, 19) ^ b >> 10;
		w[i] = a + b + w[i - 16] + w[i - 7];
	}
}

/* Two words in a row are no coincidence, unless they are padding. */
static bool
schedule_is_left(void)
{
	size_t i;

	for (i = 0; i + 1 < COUNT_OF(schedule); i++) {
		if (i + 1 >= (sizeof(key) - 1) / 4 && i < 16)
			continue;
		if (memmem(stack, STACK_SIZE, &schedule[i], 8) != NULL)
			return true;
	}
	return false;
}

static bool
key_is_left(void)
{
	return is_left(key, sizeof(key) - 1) || schedule_is_left();
}

/* As bytes, or as the words that it was. */
static bool
digest_is_left(void)
{
	uint32_t words[DIGEST_SIZE / 4];
	size_t i;

	memcpy(words, digest, sizeof(words));
	for (i = 0; i < COUNT_OF(words); i++)
		words[i] = ntohl(words[i]);
	return is_left(digest, sizeof(digest)) || is_left(words, sizeof(words));
}

/* A library that leaves it to its caller to wipe the context. */
void
__wrap_SHA256Final(uint8_t out[DIGEST_SIZE], SHA2_CTX *ctx)
{
	SHA2_CTX copy = *ctx;

	__real_SHA256Final(out, &copy);
}

/* Run a function on the stack, with %s in the text being the key. */
static void
run_on_stack(void (*fn)(void), const char *fmt)
{
	struct sigaction sa = { .sa_handler = on_stack,
		.sa_flags = SA_ONSTACK };
	stack_t ss = { .ss_size = STACK_SIZE }, old;
	const char *p;
	size_t i, len = 0;

	for (i = 0; i < sizeof(key) - 1; i++)
		key[i] = (char)('a' + arc4random_uniform(26));
	memset(text, 0, sizeof(text));
	for (p = format = fmt; *p != '\0'; p++) {
		if (*p != '%')
			text[len++] = *p;
		else
			len = strlcat(text, key, sizeof(text));
	}
	free(stack);
	assert_non_null(stack = calloc(1, STACK_SIZE));
	ss.ss_sp = stack;
	run = fn;
	assert_int_equal(sigaltstack(&ss, &old), 0);
	assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
	assert_int_equal(raise(SIGUSR1), 0);
	ss.ss_flags = SS_DISABLE;
	assert_int_equal(sigaltstack(&ss, NULL), 0);
	/* Not before: what is left in registers is saved with a signal. */
	make_schedule();
	digest_sha256(digest, key, sizeof(key) - 1);
}

/* ---- this test's own tool ---- */

static void __attribute__((__noinline__)) copy_key(volatile char *copy)
{
	size_t i;

	for (i = 0; i < sizeof(key); i++)
		copy[i] = key[i];
}

static void
careless(void)
{
	char copy[sizeof(key)];

	copy_key(copy);
}

static void
a_copy_on_the_stack_would_be_found(void **state)
{
	(void)state;
	run_on_stack(careless, "");
	assert_true(key_is_left());
}

static void __attribute__((__noinline__)) careless_digest(void)
{
	uint8_t out[DIGEST_SIZE];
	SHA2_CTX ctx;

	SHA256Init(&ctx);
	SHA256Update(&ctx, (const uint8_t *)key, sizeof(key) - 1);
	SHA256Final(out, &ctx);
	explicit_bzero(&ctx, sizeof(ctx));
	explicit_bzero(out, sizeof(out));
}

static void
what_a_digest_leaves_there_would_be_found(void **state)
{
	(void)state;
	run_on_stack(careless_digest, "");
	assert_true(schedule_is_left());
}

/* ---- digests ---- */

static void
make_digest(void)
{
	digest_sha256(digest, key, sizeof(key) - 1);
}

static void
a_digest_leaves_nothing_of_its_text_on_the_stack(void **state)
{
	(void)state;
	run_on_stack(make_digest, "");
	assert_false(key_is_left());
	assert_false(digest_is_left());
}

/* ---- JSON ---- */

static void
decode(void)
{
	struct conf_json_error why;

	json_decref(conf_json(text, strlen(text), &why));
}

static void
load(void)
{
	char error[KEYFILE_ERROR_MAX];

	keyset_free(keyfile_parse("keys", text, strlen(text), error));
}

static const char *const files[] = {
	"{\"a\" \"%\"}",
	"{\"%\" 1}",
	"[\"a\" \"%\"]",
	"{\"a\": %}",
	"\"%",
	"{\"%\":\"a\",\"%\":\"b\"}",
	"{\"a\":\"b\"}\"%\"",
	"{\"a\":\"%\"}",
	"{\"a\":\"\\u0041%\"}",
	"{\"a\":{\"b\":{\"c\":[[[[{\"a\" \"%\"}]]]]}}}",
};

static void
json_leaves_no_token_on_the_stack(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(files); i++) {
		run_on_stack(decode, files[i]);
		if (key_is_left())
			fail_msg("%s", format);
	}
}

static void
a_key_file_leaves_neither_key_nor_digest_on_the_stack(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(files); i++) {
		run_on_stack(load, files[i]);
		if (key_is_left() || digest_is_left())
			fail_msg("%s", format);
	}
}

static void
parse(void)
{
	char error[KEYFILE_ERROR_MAX];

	keyset_free(keyset_parse(text, KEY_SOURCE_CONFIG, error));
}

static void
a_list_of_keys_leaves_neither_key_nor_digest_on_the_stack(void **state)
{
	static const char *const lists[] = { "a:%", "a:%,b:%", "%", ":%",
		"a:%,a:x", "a:\001%" };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(lists); i++) {
		run_on_stack(parse, lists[i]);
		if (key_is_left() || digest_is_left())
			fail_msg("%s", format);
	}
}

/* ---- auth ---- */

static struct keys *keys;
static uint8_t record[sizeof(struct msg_conf_key) + 1];

static void
add(void)
{
	keys_add(keys, record, sizeof(record));
}

static void
a_key_that_is_added_leaves_no_digest_on_the_stack(void **state)
{
	struct msg_conf_key m = { .id_len = 1 };
	uint8_t *p = record + offsetof(struct msg_conf_key, digest);
	size_t i;

	(void)state;
	memcpy(record, &m, sizeof(m));
	/* One by one, see run_on_stack(). */
	for (i = 0; i < sizeof(m.digest); i++)
		p[i] = (uint8_t)arc4random();
	assert_non_null(keys = keys_new(1));
	run_on_stack(add, "");
	assert_int_equal(keys->count, 1);
	assert_false(is_left(p, sizeof(m.digest)));
	keys_free(keys);
}

/* ---- worker ---- */

static enum credential_kind kind;

static void
ask(void)
{
	const uint8_t *p = (const uint8_t *)text;
	struct credential *cred = calloc(1, sizeof(*cred));
	struct upgrade *u = upgrade_new();
	size_t used;

	upgrade_input(u, p, strlen(text), &used);
	upgrade_credential(u, cred);
	kind = cred->kind;
	freezero(cred, sizeof(*cred));
	upgrade_free(u);
}

#define REQUEST(fields)                                           \
	"GET /?k=% HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n" \
	"Connection: upgrade\r\nSec-WebSocket-Version: 13\r\n"    \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" fields "\r\n"

static void
a_request_leaves_no_key_on_the_stack(void **state)
{
	static const char *const requests[] = {
		REQUEST("X-API-Key: %\r\n"),
		REQUEST("Authorization: Bearer %\r\n"),
		REQUEST("X-API-Key: %\r\nAuthorization: apikey %\r\n"),
		REQUEST("X-API-Key: %\r\nX-API-Key: %\r\n"),
		REQUEST("X-%: %\r\nX-API-Key: %\n"),
		REQUEST("Authorization: Basic %\r\n"),
		REQUEST("%"),
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(requests); i++) {
		run_on_stack(ask, requests[i]);
		assert_true(i > 2 || kind == CREDENTIAL_KEY);
		if (key_is_left())
			fail_msg("%s", format);
	}
}

static void
ask_basic(void)
{
	char pair[sizeof(key) + 2] = "a:", coded[64];

	strlcat(pair, key, sizeof(pair));
	text_base64_print(coded, (uint8_t *)pair, strlen(pair));
	strlcpy(text, REQUEST("Authorization: Basic "), sizeof(text));
	text[strlen(text) - 2] = '\0';
	strlcat(text, coded, sizeof(text));
	strlcat(text, "\r\n\r\n", sizeof(text));
	explicit_bzero(pair, sizeof(pair));
	explicit_bzero(coded, sizeof(coded));
	ask();
}

static void
basic_credentials_leave_no_key_on_the_stack(void **state)
{
	(void)state;
	run_on_stack(ask_basic, "");
	assert_int_equal(kind, CREDENTIAL_KEY);
	assert_false(key_is_left());
}

/* ---- audit ---- */

static uint8_t seed[CHAIN_SEED_SIZE];
static struct chain chain;

static void
sign(void)
{
	struct msg_audit_record r = { .timestamp_ms = 1,
		.before_len = 1,
		.after_len = 7,
		.direction = AUDIT_IN,
		.session_id_len = 1 };
	char *line = malloc(CHAIN_LINE_MAX);

	chain_set_key(&chain, seed);
	chain.sign_every = 1;
	chain_append(&chain, line, &r, "1", "{", "\"v\":1}");
	free(line);
}

static void
a_signing_key_is_not_left_on_the_stack(void **state)
{
	uint8_t expanded[EVP_MAX_MD_SIZE];
	unsigned len;

	(void)state;
	arc4random_buf(seed, sizeof(seed));
	assert_int_equal(
	    EVP_Digest(seed, sizeof(seed), expanded, &len, EVP_sha512(), NULL),
	    1);
	assert_int_equal(chain_init(&chain), 0);
	run_on_stack(sign, "");
	assert_int_equal(chain.next, 1);
	chain_free(&chain);
	assert_false(is_left(seed, sizeof(seed)));
	assert_false(is_left(expanded, len));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_on_the_stack_would_be_found),
		cmocka_unit_test(what_a_digest_leaves_there_would_be_found),
		cmocka_unit_test(
		    a_digest_leaves_nothing_of_its_text_on_the_stack),
		cmocka_unit_test(json_leaves_no_token_on_the_stack),
		cmocka_unit_test(
		    a_key_file_leaves_neither_key_nor_digest_on_the_stack),
		cmocka_unit_test(
		    a_list_of_keys_leaves_neither_key_nor_digest_on_the_stack),
		cmocka_unit_test(
		    a_key_that_is_added_leaves_no_digest_on_the_stack),
		cmocka_unit_test(a_request_leaves_no_key_on_the_stack),
		cmocka_unit_test(basic_credentials_leave_no_key_on_the_stack),
		cmocka_unit_test(a_signing_key_is_not_left_on_the_stack),
	};
	int failed;

	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(stack);
	return failed;
}
