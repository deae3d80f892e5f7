/*
 * chain.c and ledger.c: the lines of the audit log to the byte, what is
 * taken for one, and a file that holds whole lines whatever happens to it.
 * The expected texts, hashes and signatures were made by another program.
 */
#include "unit.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chain.h"
#include "ledger.h"
#include "log.h"

#define TIME       INT64_C(1700000000000)
#define HELLO      "{\"client_id\":\"c\","
#define HELLO_REST "\"identity\":null,\"type\":\"hello\",\"v\":\"0.1\"}"
#define ERROR_REST                                                 \
	"\"identity\":null,\"message\":\"no\",\"type\":\"error\"," \
	"\"v\":\"0.1\"}"

#define HASH_0 \
	"8d17ff195af2c3282bc6c6eae28375d21043c742017b1272dce298433e39b4d6"
#define HASH_1 \
	"2826810409b8f50a8563650dab870fb9665b62dd7a209269db304bda26fb0866"
#define PUBLIC \
	"cecc1507dc1ddd7295951c290888f095adb9044d1b73d696e6df065d683bd4fc"
#define KEY_ID "fa4d86c3b551aa6c"

static const uint8_t seed[CHAIN_SEED_SIZE] = { 1 };

static const char line_0[] =
    "{\"i\":0,\"timestamp_ms\":1700000000000,\"direction\":\"in\","
    "\"session_id\":\"7\",\"frame\":{\"client_id\":\"c\","
    "\"env\":\"0|1700000000000|in|7\",\"identity\":null,\"type\":\"hello\","
    "\"v\":\"0.1\"},\"prev_hash\":\"00000000000000000000000000000000"
    "00000000000000000000000000000000\",\"hash\":\"" HASH_0 "\"}\n";

static const char line_1_signed[] =
    "{\"i\":1,\"timestamp_ms\":1700000000000,\"direction\":\"out\","
    "\"session_id\":\"7\",\"frame\":{\"env\":\"1|1700000000000|out|7\","
    "\"identity\":null,\"message\":\"no\",\"type\":\"error\",\"v\":\"0.1\"},"
    "\"prev_hash\":\"" HASH_0 "\",\"hash\":\"" HASH_1 "\",\"signature\":\""
    "c83dde821d519d87c072a68c4fd2dca86e016f5e00fadea2374ad918d0f37fb7"
    "982cc721d51f6a58099c141931dee7e657d7792064d2800ffc07b044dd81870c"
    "\",\"alg\":\"ed25519\",\"key_id\":\"" KEY_ID "\"}\n";

struct fixture {
	struct chain chain;
	struct ledger ledger;
	char path[64];
	int fd;
};

static void
no_log(enum log_level level, const char *text, void *arg)
{
	(void)level;
	(void)text;
	(void)arg;
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (f == NULL || chain_init(&f->chain) == -1 ||
	    ledger_init(&f->ledger) == -1)
		return -1; /* NOLINT(clang-analyzer-unix.Malloc): it ends */
	log_set_sink(no_log, NULL);
	strcpy(f->path, "/tmp/chain_test.XXXXXX");
	if ((f->fd = mkstemp(f->path)) == -1)
		return -1;
	close(f->fd);
	f->fd = open(f->path, O_RDWR | O_APPEND);
	*state = f;
	return f->fd == -1 ? -1 : 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	chain_free(&f->chain);
	chain_free(&f->ledger.chain);
	if (f->ledger.fd != -1)
		close(f->ledger.fd);
	if (f->fd != -1 && f->fd != f->ledger.fd)
		close(f->fd);
	free(f->ledger.buf);
	unlink(f->path);
	free(f);
	return 0;
}

static struct msg_audit_record
record(enum audit_direction direction, const char *before, const char *after)
{
	struct msg_audit_record r = { .timestamp_ms = TIME,
		.direction = direction,
		.session_id_len = 1,
		.before_len = strlen(before),
		.after_len = strlen(after) };

	return r;
}

static size_t
append(struct chain *ch, char out[CHAIN_LINE_MAX],
    enum audit_direction direction, const char *before, const char *after)
{
	struct msg_audit_record r = record(direction, before, after);

	assert_true(chain_accepts(&r, "7", before, after));
	return chain_append(ch, out, &r, "7", before, after);
}

/* ---- lines ---- */

static void
lines_are_those_of_the_protocol(void **state)
{
	struct fixture *f = *state;
	char out[CHAIN_LINE_MAX];
	size_t n;

	n = append(&f->chain, out, AUDIT_IN, HELLO, HELLO_REST);
	assert_int_equal(n, strlen(line_0));
	assert_memory_equal(out, line_0, n);
	assert_int_equal(f->chain.next, 1);
	assert_string_equal(f->chain.hash, HASH_0);

	assert_int_equal(chain_set_key(&f->chain, seed), 0);
	f->chain.sign_every = 1;
	n = append(&f->chain, out, AUDIT_OUT, "{", ERROR_REST);
	assert_int_equal(n, strlen(line_1_signed));
	assert_memory_equal(out, line_1_signed, n);
	assert_string_equal(f->chain.hash, HASH_1);
	assert_string_equal(f->chain.public_key, PUBLIC);
	assert_string_equal(f->chain.key_id, KEY_ID);
}

static void
no_line_is_signed_once_the_key_is_forgotten(void **state)
{
	struct fixture *f = *state;
	char out[CHAIN_LINE_MAX];
	struct chain_line l;
	size_t n;

	chain_forget_key(&f->chain);
	assert_int_equal(chain_set_key(&f->chain, seed), 0);
	f->chain.sign_every = 1;
	n = append(&f->chain, out, AUDIT_IN, HELLO, HELLO_REST);
	assert_true(chain_parse(out, n - 1, &l));
	assert_non_null(l.signature);
	chain_forget_key(&f->chain);
	assert_string_equal(f->chain.key_id, "");
	n = append(&f->chain, out, AUDIT_IN, HELLO, HELLO_REST);
	assert_true(chain_parse(out, n - 1, &l));
	assert_null(l.signature);
	assert_int_equal(l.i, 1);
}

static void
each_nth_line_is_signed(void **state)
{
	static const bool expected[] = { true, false, false, true, false, false,
		true };
	struct fixture *f = *state;
	char out[CHAIN_LINE_MAX];
	struct chain_line l;
	size_t i, n;

	assert_int_equal(chain_set_key(&f->chain, seed), 0);
	f->chain.sign_every = 3;
	for (i = 0; i < COUNT_OF(expected); i++) {
		n = append(&f->chain, out, AUDIT_IN, HELLO, HELLO_REST);
		assert_true(chain_parse(out, n - 1, &l));
		assert_int_equal(l.signature != NULL, expected[i]);
	}
}

static void
assert_taken_apart(struct chain *ch, const char *text, bool is_signed)
{
	size_t len = strlen(text);
	char out[CHAIN_LINE_MAX];
	struct chain_line l;

	assert_true(chain_parse(text, len - 1, &l));
	assert_int_equal(chain_print(out, &l), len);
	assert_memory_equal(out, text, len);
	assert_int_equal(chain_check_hash(ch, &l), 1);
	assert_int_equal(l.signature != NULL, is_signed);
}

static void
a_line_is_taken_apart_and_made_again(void **state)
{
	struct fixture *f = *state;

	assert_taken_apart(&f->chain, line_0, false);
	assert_taken_apart(&f->chain, line_1_signed, true);
}

static void
a_signature_is_verified_by_the_public_key(void **state)
{
	struct fixture *f = *state;
	char text[sizeof(line_1_signed)];
	uint8_t public[CHAIN_SEED_SIZE];
	struct chain_line l;

	assert_true(chain_unhex(public, sizeof(public), PUBLIC, 64));
	assert_int_equal(chain_set_public(&f->chain, public), 0);
	assert_string_equal(f->chain.key_id, KEY_ID);
	memcpy(text, line_1_signed, sizeof(text));
	assert_true(chain_parse(text, sizeof(text) - 2, &l));
	assert_int_equal(chain_check_signature(&f->chain, &l), 1);
	*strstr(text, "c83dde") = 'd';
	assert_int_equal(chain_check_signature(&f->chain, &l), 0);
}

/* Whatever one bit does to a line, one of the checks sees it. */
static bool
is_good(struct chain *ch, const char *text, size_t len)
{
	char env[CHAIN_ENV_MAX], out[CHAIN_LINE_MAX];
	struct chain_line l;
	size_t n;

	if (!chain_parse(text, len - 1, &l) || chain_print(out, &l) != len ||
	    memcmp(out, text, len) != 0 || chain_check_hash(ch, &l) != 1)
		return false;
	n = chain_print_env(env, &l);
	return memmem(l.frame, l.frame_len, env, n) != NULL &&
	       memcmp(l.key_id, ch->key_id, CHAIN_KEY_ID_LEN) == 0 &&
	       memcmp(l.prev_hash, HASH_0, CHAIN_HASH_LEN) == 0 &&
	       chain_check_signature(ch, &l) == 1;
}

static void
no_bit_of_a_line_can_change(void **state)
{
	struct fixture *f = *state;
	char text[sizeof(line_1_signed)];
	size_t i, len = sizeof(text) - 1;
	unsigned bit;

	assert_int_equal(chain_set_key(&f->chain, seed), 0);
	assert_true(is_good(&f->chain, line_1_signed, len));
	for (i = 0; i < len; i++) {
		for (bit = 0; bit < 8; bit++) {
			memcpy(text, line_1_signed, sizeof(text));
			text[i] = (char)(text[i] ^ 1 << bit);
			if (is_good(&f->chain, text, len))
				fail_msg("byte %zu, bit %u", i, bit);
		}
	}
}

static void
what_is_no_line_does_not_parse(void **state)
{
	static const char *const bad[] = { "", "{}", "{\"i\":0", "{\"i\":00,",
		"{\"i\":-1,", "{\"i\":18446744073709551616," };
	struct chain_line l;
	char text[sizeof(line_1_signed)];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(bad); i++)
		assert_false(chain_parse(bad[i], strlen(bad[i]), &l));
	/* Every beginning of a line. */
	memcpy(text, line_1_signed, sizeof(text));
	for (i = 0; i < sizeof(text) - 2; i++)
		assert_false(chain_parse(text, i, &l));
	assert_true(chain_parse(text, sizeof(text) - 2, &l));
	assert_false(chain_parse(text, sizeof(text) - 1, &l));
}

static void
records_that_would_break_a_line_are_refused(void **state)
{
	static const struct {
		const char *before;
		const char *after;
	} bad[] = {
		{ "", HELLO_REST },
		{ "[", HELLO_REST },
		{ "{\"a\":1", HELLO_REST },
		{ "{\"a\":\"\n\",", HELLO_REST },
		{ "{", "" },
		{ "{", "}" },
		{ "{", "\"v\":1" },
		{ "{", "null}" },
		{ "{", "\"v\":\"\x1f\"}" },
	};
	struct msg_audit_record r;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(bad); i++) {
		r = record(AUDIT_IN, bad[i].before, bad[i].after);
		if (chain_accepts(&r, "7", bad[i].before, bad[i].after))
			fail_msg("%s %s", bad[i].before, bad[i].after);
	}
	r = record(AUDIT_IN, "{", HELLO_REST);
	assert_true(chain_accepts(&r, "7", "{", HELLO_REST));
	assert_false(chain_accepts(&r, "|", "{", HELLO_REST));
	assert_false(chain_accepts(&r, "\"", "{", HELLO_REST));
	r.session_id_len = 0;
	assert_false(chain_accepts(&r, "7", "{", HELLO_REST));
	r = record(AUDIT_NONE, "{", HELLO_REST);
	assert_false(chain_accepts(&r, "7", "{", HELLO_REST));
	r = record(AUDIT_IN, "{", HELLO_REST);
	r.timestamp_ms = -1;
	assert_false(chain_accepts(&r, "7", "{", HELLO_REST));
}

static void
the_longest_record_makes_a_line(void **state)
{
	struct fixture *f = *state;
	char *before = malloc(AUDIT_FRAME_MAX), id[AUDIT_SESSION_MAX];
	char out[CHAIN_LINE_MAX];
	struct msg_audit_record r = record(AUDIT_OUT, "", HELLO_REST);
	struct chain_line l;
	size_t n;

	assert_non_null(before);
	r.before_len = AUDIT_FRAME_MAX - r.after_len;
	memset(before, 'x', r.before_len);
	memset(id, 'x', sizeof(id));
	before[0] = '{';
	before[r.before_len - 1] = ',';
	r.session_id_len = sizeof(id);
	assert_true(chain_accepts(&r, id, before, HELLO_REST));
	assert_int_equal(chain_set_key(&f->chain, seed), 0);
	f->chain.sign_every = 1;
	f->chain.next = UINT64_MAX - 10;
	n = chain_append(&f->chain, out, &r, id, before, HELLO_REST);
	assert_in_range(n, AUDIT_FRAME_MAX, CHAIN_LINE_MAX);
	assert_true(chain_parse(out, n - 1, &l) || l.i >= UINT64_MAX - 16);
	r.before_len++;
	assert_false(chain_accepts(&r, id, before, HELLO_REST));
	free(before);
}

/* ---- the file ---- */

static void
fill(const struct fixture *f, const char *text)
{
	assert_int_equal(ftruncate(f->fd, 0), 0);
	assert_int_equal(write(f->fd, text, strlen(text)), strlen(text));
}

static void
assert_content(const struct fixture *f, const char *expected)
{
	char buf[4096];
	ssize_t n = pread(f->fd, buf, sizeof(buf) - 1, 0);

	assert_true(n >= 0);
	buf[n] = '\0';
	assert_string_equal(buf, expected);
}

static void
add(struct fixture *f)
{
	struct msg_audit_record r = record(AUDIT_IN, HELLO, HELLO_REST);

	assert_int_equal(ledger_add(&f->ledger, &r, "7", HELLO, HELLO_REST), 0);
}

static void
an_empty_file_begins_a_chain(void **state)
{
	struct fixture *f = *state;
	char why[LEDGER_ERROR_MAX];

	assert_int_equal(ledger_open(&f->ledger, f->fd, why), 0);
	add(f);
	assert_int_equal(ledger_write(&f->ledger), 0);
	assert_content(f, line_0);
	assert_int_equal(f->ledger.lines, 1);
	assert_true(f->ledger.dirty);
	assert_int_equal(ledger_sync(&f->ledger), 0);
	assert_false(f->ledger.dirty);
}

static void
a_file_is_gone_on_with_after_its_last_line(void **state)
{
	struct fixture *f = *state;
	char why[LEDGER_ERROR_MAX], both[2048];

	snprintf(both, sizeof(both), "%s%s", line_0, line_1_signed);
	fill(f, both);
	assert_int_equal(ledger_open(&f->ledger, f->fd, why), 0);
	assert_int_equal(f->ledger.chain.next, 2);
	assert_string_equal(f->ledger.chain.hash, HASH_1);
	assert_content(f, both);
}

static void
half_a_line_is_cut_off(void **state)
{
	static const char *const torn[] = { "{", "{\"i\":1,\"timesta", "}" };
	struct fixture *f = *state;
	char why[LEDGER_ERROR_MAX], text[2048];
	size_t i;

	for (i = 0; i < COUNT_OF(torn); i++) {
		snprintf(text, sizeof(text), "%s%s", line_0, torn[i]);
		fill(f, text);
		f->ledger.fd = -1;
		assert_int_equal(ledger_open(&f->ledger, f->fd, why), 0);
		assert_content(f, line_0);
		assert_int_equal(f->ledger.chain.next, 1);
	}
}

static void
another_file_is_refused_and_left_alone(void **state)
{
	struct fixture *f = *state;
	char why[LEDGER_ERROR_MAX], text[2048];

	fill(f, "hello\n");
	assert_int_equal(ledger_open(&f->ledger, f->fd, why), -1);
	assert_string_equal(why, "its last line is not one of this log");
	assert_content(f, "hello\n");
	strlcpy(text, line_0, sizeof(text));
	*strstr(text, "\"c\"") = 'd';
	fill(f, text);
	assert_int_equal(ledger_open(&f->ledger, f->fd, why), -1);
	strlcpy(text, line_0, sizeof(text));
	*strchr(text, '7') = '8';
	fill(f, text);
	assert_int_equal(ledger_open(&f->ledger, f->fd, why), -1);
	assert_content(f, text);
}

static void
limit(rlim_t size)
{
	struct rlimit rl;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &rl), 0);
	rl.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &rl), 0);
}

/* At every length that a file may stop growing at. */
static void
a_file_that_cannot_grow_holds_whole_lines(void **state)
{
	struct fixture *f = *state;
	struct ledger *l = &f->ledger;
	char why[LEDGER_ERROR_MAX];
	rlim_t size, whole = strlen(line_0);
	struct stat st;

	assert_int_equal(ledger_open(l, f->fd, why), 0);
	for (size = 1; size < 2 * whole; size += 7) {
		assert_int_equal(ftruncate(f->fd, 0), 0);
		l->lines = l->len = 0;
		l->chain.next = 0;
		memcpy(l->chain.hash, chain_genesis, sizeof(l->chain.hash));
		add(f);
		add(f);
		limit(size);
		assert_int_equal(ledger_write(l), -1);
		assert_false(l->writable);
		assert_int_equal(fstat(f->fd, &st), 0);
		assert_int_equal(st.st_size, size < whole ? 0 : whole);
		assert_int_equal(l->lines, size < whole ? 0 : 1);
		/* It waits, and nothing of it is lost or written twice. */
		assert_int_equal(ledger_write(l), -1);
		limit(RLIM_INFINITY);
		assert_int_equal(ledger_write(l), 0);
		assert_true(l->writable);
		assert_int_equal(l->lines, 2);
		assert_int_equal(l->len, 0);
	}
	assert_int_equal(l->chain.next, 2);
}

static void
a_chain_is_carried_on_in_another_file(void **state)
{
	struct fixture *f = *state;
	char why[LEDGER_ERROR_MAX], path[] = "/tmp/chain_test.XXXXXX";
	char text[2048];
	struct chain_line line;
	ssize_t n;
	int fd;

	assert_int_equal(ledger_open(&f->ledger, f->fd, why), 0);
	f->fd = -1;
	add(f);
	fd = mkstemp(path);
	unlink(path);
	assert_int_equal(ledger_continue(&f->ledger, fd, why), 0);
	assert_int_equal(ledger_write(&f->ledger), 0);
	n = pread(fd, text, sizeof(text), 0);
	assert_true(n > 0);
	assert_true(chain_parse(text, (size_t)n - 1, &line));
	assert_int_equal(line.i, 1);
	assert_memory_equal(line.prev_hash, HASH_0, CHAIN_HASH_LEN);
	text[n] = '\0';
	assert_non_null(strstr(text, "\"type\":\"audit_continued\""));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(lines_are_those_of_the_protocol),
		TEST(no_line_is_signed_once_the_key_is_forgotten),
		TEST(each_nth_line_is_signed),
		TEST(a_line_is_taken_apart_and_made_again),
		TEST(a_signature_is_verified_by_the_public_key),
		TEST(no_bit_of_a_line_can_change),
		TEST(what_is_no_line_does_not_parse),
		TEST(records_that_would_break_a_line_are_refused),
		TEST(the_longest_record_makes_a_line),
		TEST(an_empty_file_begins_a_chain),
		TEST(a_file_is_gone_on_with_after_its_last_line),
		TEST(half_a_line_is_cut_off),
		TEST(another_file_is_refused_and_left_alone),
		TEST(a_file_that_cannot_grow_holds_whole_lines),
		TEST(a_chain_is_carried_on_in_another_file),
	};

	return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
