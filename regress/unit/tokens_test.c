/*
 * tokens.c and tlsfiles.c: what is a token, where tokens come from, which
 * files are trusted with certificates, and that nobody changes them later.
 */
#include "unit.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "memfd.h"
#include "tlsfiles.h"
#include "tokens.h"

#define SECRET "correct-horse-battery"

static char dir[] = "/tmp/tokens-test.XXXXXX";
static char error[TOKENS_ERROR_MAX];
static char variable[64];

/* What was sent, instead of on a channel. */
static struct {
	unsigned count;
	uint8_t digest[DIGEST_SIZE];
	char id[LTP_ID_MAX + 1];
} sent;

int
chan_send(struct chan *ch, enum msg_type type, const void *data, size_t len,
    const void *more, size_t more_len)
{
	const struct msg_conf_key *m = data;

	(void)ch;
	assert_int_equal(type, MSG_CONF_TOKEN);
	assert_int_equal(len, sizeof(*m));
	assert_int_equal(more_len, m->id_len);
	sent.count++;
	memcpy(sent.digest, m->digest, sizeof(sent.digest));
	memcpy(sent.id, more, more_len);
	sent.id[more_len] = '\0';
	return 0;
}

char *
conf_env_copy_secret(const char *name)
{
	assert_string_equal(name, "TOKEN");
	return variable[0] == '\0' ? NULL : strdup(variable);
}

void
conf_env_wipe_secret(const char *name)
{
	assert_string_equal(name, "TOKEN");
	variable[0] = '\0';
}

static char *
path_of(const char *name)
{
	static char path[64][128];
	static unsigned next;
	char *p = path[next++ % 64];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static char *
put(const char *name, const char *text, mode_t mode)
{
	char *path = path_of(name);
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

static struct conf
conf_with_tokens(void)
{
	struct conf conf;

	memset(&conf, 0, sizeof(conf));
	conf.distributed.enabled = true;
	conf.distributed.auth_mode = DISTRIBUTED_AUTH_TOKEN;
	return conf;
}

static struct tokens *
parsed(const char *text)
{
	struct tokens *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	if (tokens_parse(t, text, strlen(text), KEY_SOURCE_FILE, error) == 0)
		return t;
	tokens_free(t);
	return NULL;
}

static void
assert_token(const struct token *t, const char *text, const char *id)
{
	uint8_t digest[DIGEST_SIZE];

	digest_sha256(digest, text, strlen(text));
	assert_memory_equal(t->digest, digest, sizeof(digest));
	assert_int_equal(t->id_len, strlen(id));
	assert_memory_equal(t->id, id, t->id_len);
}

/* ---- texts ---- */

static void
the_digest_is_of_the_whole_without_the_end_of_the_line(void **state)
{
	static const char *const texts[] = { SECRET, SECRET "\n", SECRET "\r\n",
		"\n" SECRET "\n\n" };
	struct tokens *t;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(texts); i++) {
		t = parsed(texts[i]);
		assert_non_null(t);
		assert_int_equal(t->count, 1);
		assert_token(&t->token[0], SECRET, "");
		tokens_free(t);
	}
}

static void
the_id_ends_at_the_first_colon(void **state)
{
	struct tokens *t = parsed("alice:" SECRET ":x\n");

	(void)state;
	assert_non_null(t);
	assert_int_equal(t->count, 1);
	assert_token(&t->token[0], "alice:" SECRET ":x", "alice");
	tokens_free(t);
}

static void
there_may_be_several_and_a_twin_counts_once(void **state)
{
	struct tokens *t = parsed("a:1,b:2\nc,a:1\n");

	(void)state;
	assert_non_null(t);
	assert_int_equal(t->count, 3);
	assert_token(&t->token[0], "a:1", "a");
	assert_token(&t->token[1], "b:2", "b");
	assert_token(&t->token[2], "c", "");
	tokens_free(t);
}

static void
what_is_no_token_is_refused_and_not_quoted(void **state)
{
	static const char *const bad[] = { "", "\n", SECRET " x", SECRET "\t",
		":" SECRET, "alice:", SECRET "\x7f", SECRET "\xc3\xa9",
		"good," SECRET " " };
	char longest[AUTH_KEY_MAX + 2], id[LTP_ID_MAX + 4];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(bad); i++) {
		assert_null(parsed(bad[i]));
		assert_null(strstr(error, SECRET));
		assert_non_null(strstr(error, "token"));
	}
	memset(longest, 'x', sizeof(longest));
	longest[AUTH_KEY_MAX + 1] = '\0';
	assert_null(parsed(longest));
	memset(id, 'x', sizeof(id));
	strlcpy(id + LTP_ID_MAX + 1, ":y", 3);
	assert_null(parsed(id));
}

/* ---- sources ---- */

static void
without_the_listener_or_the_mode_there_are_none(void **state)
{
	struct conf conf = conf_with_tokens();
	struct tokens *t;

	(void)state;
	conf.distributed.token_path = path_of("nowhere");
	conf.distributed.enabled = false;
	t = tokens_read(&conf, NULL, error);
	assert_non_null(t);
	assert_int_equal(t->count, 0);
	tokens_free(t);
	conf.distributed.enabled = true;
	conf.distributed.auth_mode = DISTRIBUTED_AUTH_MTLS;
	t = tokens_read(&conf, NULL, error);
	assert_non_null(t);
	assert_int_equal(t->count, 0);
	tokens_free(t);
	conf.distributed.auth_mode = DISTRIBUTED_AUTH_TOKEN;
	assert_null(tokens_read(&conf, NULL, error));
	assert_non_null(strstr(error, "distributed.token_path: /tmp/"));
}

static void
a_file_that_others_may_read_is_refused(void **state)
{
	struct conf conf = conf_with_tokens();
	struct tokens *t;

	(void)state;
	conf.distributed.token_path = put("token", SECRET "\n", 0644);
	assert_null(tokens_read(&conf, NULL, error));
	assert_non_null(strstr(error, "mode 0644 is too open"));
	assert_int_equal(chmod(conf.distributed.token_path, 0600), 0);
	t = tokens_read(&conf, NULL, error);
	assert_non_null(t);
	tokens_free(t);
}

static void
the_previous_file_may_be_missing_but_not_bad(void **state)
{
	struct conf conf = conf_with_tokens();
	struct tokens *t;

	(void)state;
	conf.distributed.token_path = put("token", "new\n", 0600);
	conf.distributed.token_prev_path = path_of("prev");
	t = tokens_read(&conf, NULL, error);
	assert_non_null(t);
	assert_int_equal(t->count, 1);
	tokens_free(t);
	put("prev", "old\n", 0600);
	t = tokens_read(&conf, NULL, error);
	assert_non_null(t);
	assert_int_equal(t->count, 2);
	assert_token(&t->token[1], "old", "");
	assert_int_equal(t->token[0].source, KEY_SOURCE_FILE);
	assert_int_equal(t->token[1].source, KEY_SOURCE_PREVIOUS);
	tokens_free(t);
	put("prev", "old\n", 0644);
	assert_null(tokens_read(&conf, NULL, error));
	assert_non_null(strstr(error, "distributed.token_prev_path: "));
	unlink(path_of("prev"));
}

static void
what_can_be_read_once_comes_from_the_old_ones_later(void **state)
{
	struct conf conf = conf_with_tokens();
	struct tokens *old, *t;

	(void)state;
	conf.distributed.token_env = strdup("TOKEN");
	assert_null(tokens_read(&conf, NULL, error));
	assert_non_null(strstr(error, "TOKEN is not set"));
	strlcpy(variable, SECRET, sizeof(variable));
	old = tokens_read(&conf, NULL, error);
	assert_non_null(old);
	t = tokens_read(&conf, old, error);
	assert_non_null(t);
	assert_true(tokens_equal(t, old));
	tokens_free(t);
	tokens_free(old);
	free(conf.distributed.token_env);

	/* And so does a text of the configuration that was wiped. */
	conf.distributed.token_env = NULL;
	conf.distributed.token = strdup(SECRET);
	old = tokens_read(&conf, NULL, error);
	assert_non_null(old);
	free(conf.distributed.token);
	conf.distributed.token = NULL;
	t = tokens_read(&conf, old, error);
	assert_non_null(t);
	assert_int_equal(t->count, 1);
	assert_true(tokens_equal(t, old));
	tokens_free(t);
	tokens_free(old);
}

static void
those_that_are_shut_are_not_sent(void **state)
{
	struct tokens *t = parsed("alice:" SECRET), *copy;
	uint32_t records = 5;

	(void)state;
	assert_non_null(t);
	memset(&sent, 0, sizeof(sent));
	assert_int_equal(tokens_send(t, NULL, &records), 0);
	assert_int_equal(sent.count, 1);
	assert_int_equal(records, 6);
	assert_memory_equal(sent.digest, t->token[0].digest, DIGEST_SIZE);
	assert_string_equal(sent.id, "alice");
	copy = tokens_copy(t);
	assert_non_null(copy);
	assert_true(tokens_equal(t, copy));
	copy->shut = true;
	assert_false(tokens_equal(t, copy));
	assert_int_equal(tokens_send(copy, NULL, &records), 0);
	assert_int_equal(sent.count, 1);
	assert_int_equal(records, 6);
	tokens_free(copy);
	tokens_free(t);
}

static void
a_token_that_stays_keeps_its_time(void **state)
{
	struct tokens *old = parsed("a,b"), *t = parsed("b,c");

	(void)state;
	assert_non_null(old);
	assert_non_null(t);
	old->token[1].loaded = 12345;
	tokens_keep_times(t, old);
	assert_int_equal(t->token[0].loaded, 12345);
	assert_true(t->token[1].loaded > 12345);
	tokens_free(t);
	tokens_free(old);
}

/* ---- certificates ---- */

static struct conf
conf_with_files(void)
{
	struct conf conf = conf_with_tokens();

	conf.distributed.tls.enabled = true;
	conf.distributed.tls.min_tls_version = TLS_VERSION_1_3;
	conf.distributed.tls.cert_path = put("crt", "CHAIN", 0644);
	conf.distributed.tls.key_path = put("key", "KEY", 0600);
	conf.distributed.tls.client_ca_path = put("ca", "CLIENTS", 0644);
	return conf;
}

static void
the_texts_lie_one_behind_the_other_and_the_key_is_not_there(void **state)
{
	struct conf conf = conf_with_files();
	struct msg_conf_tls m;
	struct tlsfiles *f;
	char text[32] = "";

	(void)state;
	f = tlsfiles_read(&conf, error);
	assert_non_null(f);
	tlsfiles_describe(f, &conf, &m);
	assert_int_equal(m.chain_len, 5);
	assert_int_equal(m.ca_len, 7);
	assert_int_equal(m.crl_len, 0);
	assert_int_equal(m.min_version, TLS_VERSION_1_3);
	assert_true(memfd_check(f->fd, 12));
	assert_int_equal(pread(f->fd, text, sizeof(text), 0), 12);
	assert_memory_equal(text, "CHAINCLIENTS", 12);
	/* Nobody has read it. */
	assert_int_equal(lseek(f->key_fd, 0, SEEK_CUR), 0);
	tlsfiles_unref(f);
}

static void
nobody_can_change_the_texts(void **state)
{
	struct conf conf = conf_with_files();
	struct tlsfiles *f = tlsfiles_read(&conf, error);

	(void)state;
	assert_non_null(f);
	assert_int_equal(pwrite(f->fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(f->fd, 0), -1);
	assert_true(mmap(NULL, 12, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd,
			0) == MAP_FAILED);
	tlsfiles_unref(f);
}

static void
who_may_write_a_file_decides_whether_it_is_taken(void **state)
{
	static const struct {
		const char *name;
		mode_t mode;
		const char *why;
	} bad[] = {
		{ "crt", 0664, "cert_path: /tmp/" },
		{ "crt", 0646, "lets others write it" },
		{ "ca", 0666, "client_ca_path: /tmp/" },
		{ "key", 0644, "key_path: /tmp/" },
		{ "key", 0620, "too open" },
	};
	struct conf conf = conf_with_files();
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(bad); i++) {
		assert_int_equal(chmod(path_of(bad[i].name), bad[i].mode), 0);
		assert_null(tlsfiles_read(&conf, error));
		assert_non_null(strstr(error, bad[i].why));
		assert_int_equal(chmod(path_of(bad[i].name), 0600), 0);
	}
	put("ca", "", 0644);
	assert_null(tlsfiles_read(&conf, error));
	assert_non_null(strstr(error, "client_ca_path"));
	assert_non_null(strstr(error, "empty"));
}

static void
a_key_that_was_written_again_makes_another_pair(void **state)
{
	struct conf conf = conf_with_files();
	struct tlsfiles *a = tlsfiles_read(&conf, error), *b;

	(void)state;
	assert_non_null(a);
	b = tlsfiles_read(&conf, error);
	assert_non_null(b);
	assert_true(tlsfiles_equal(a, b));
	tlsfiles_unref(b);
	put("key", "YEK", 0600);
	b = tlsfiles_read(&conf, error);
	assert_non_null(b);
	assert_false(tlsfiles_equal(a, b));
	tlsfiles_unref(b);
	tlsfiles_unref(a);
}

static int
make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
remove_dir(void **state)
{
	static const char *const names[] = { "token", "prev", "crt", "key",
		"ca" };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(names); i++)
		unlink(path_of(names[i]));
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    the_digest_is_of_the_whole_without_the_end_of_the_line),
		cmocka_unit_test(the_id_ends_at_the_first_colon),
		cmocka_unit_test(there_may_be_several_and_a_twin_counts_once),
		cmocka_unit_test(what_is_no_token_is_refused_and_not_quoted),
		cmocka_unit_test(
		    without_the_listener_or_the_mode_there_are_none),
		cmocka_unit_test(a_file_that_others_may_read_is_refused),
		cmocka_unit_test(the_previous_file_may_be_missing_but_not_bad),
		cmocka_unit_test(
		    what_can_be_read_once_comes_from_the_old_ones_later),
		cmocka_unit_test(those_that_are_shut_are_not_sent),
		cmocka_unit_test(a_token_that_stays_keeps_its_time),
		cmocka_unit_test(
		    the_texts_lie_one_behind_the_other_and_the_key_is_not_there),
		cmocka_unit_test(nobody_can_change_the_texts),
		cmocka_unit_test(
		    who_may_write_a_file_decides_whether_it_is_taken),
		cmocka_unit_test(
		    a_key_that_was_written_again_makes_another_pair),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
