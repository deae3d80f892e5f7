/*
 * TLS over a socketpair: OpenSSL is the client, tls.c the server, and a process
 * of its own signs.  Linked twice: with handshakes that are left in the middle
 * while a signature is waited for, and with the ones that block.
 */
#include "unit.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "certs.h"
#include "monotime.h"
#include "pair.h"
#include "sandbox.h"
#include "tls_context.h"
#include "tls_talk.h"

#define LONG (1024 * 1024)

/* ---- versions, keys, ciphers ---- */

struct greeting {
	const char *key;
	unsigned min_version;
	struct guest guest;
	bool good;
};

static const struct greeting greetings[] = {
	{ "P-256", TLS1_2_VERSION, { .version = TLS1_1_VERSION }, false },
	{ "P-256", TLS1_2_VERSION, { .version = TLS1_2_VERSION }, true },
	{ "P-256", TLS1_2_VERSION, { .version = TLS1_3_VERSION }, true },
	{ "P-256", TLS1_3_VERSION, { .version = TLS1_2_VERSION }, false },
	{ "P-256", TLS1_3_VERSION, { .version = TLS1_3_VERSION }, true },
	{ "P-384", TLS1_2_VERSION, { .version = TLS1_2_VERSION }, true },
	{ "P-384", TLS1_2_VERSION, { .version = TLS1_3_VERSION }, true },
	{ "P-521", TLS1_2_VERSION, { .version = TLS1_2_VERSION }, true },
	{ "P-521", TLS1_2_VERSION, { .version = TLS1_3_VERSION }, true },
	{ "RSA:2048", TLS1_2_VERSION, { .version = TLS1_1_VERSION }, false },
	{ "RSA:2048", TLS1_2_VERSION, { .version = TLS1_2_VERSION }, true },
	{ "RSA:2048", TLS1_2_VERSION, { .version = TLS1_3_VERSION }, true },
	{ "RSA:3072", TLS1_2_VERSION, { .version = TLS1_3_VERSION }, true },
	{ "RSA:2048", TLS1_2_VERSION,
	    { .version = TLS1_2_VERSION, .sigalgs = "RSA+SHA256" }, true },
	{ "RSA:2048", TLS1_2_VERSION,
	    { .version = TLS1_2_VERSION, .sigalgs = "RSA+SHA512" }, true },
	{ "RSA:2048", TLS1_2_VERSION,
	    { .version = TLS1_2_VERSION, .sigalgs = "RSA-PSS+SHA384" }, true },
	{ "RSA:2048", TLS1_2_VERSION,
	    { .version = TLS1_2_VERSION, .sigalgs = "RSA+SHA1" }, false },
	{ "P-256", TLS1_2_VERSION,
	    { .version = TLS1_2_VERSION, .sigalgs = "ECDSA+SHA1" }, false },
	{ "RSA:2048", TLS1_2_VERSION,
	    { .version = TLS1_2_VERSION, .ciphers = "AES128-GCM-SHA256" },
	    false },
	{ "RSA:2048", TLS1_2_VERSION,
	    { .version = TLS1_2_VERSION, .ciphers = "ECDHE-RSA-AES128-SHA256" },
	    false },
	{ "P-256", TLS1_2_VERSION, { .alpn = "\x08http/1.1" }, true },
	{ "P-256", TLS1_2_VERSION, { .alpn = "\x02h2\x08http/1.1" }, true },
	{ "P-256", TLS1_2_VERSION, { .alpn = "\x02h2" }, false },
};

static void
versions_keys_and_ciphers_are_ours(void **state)
{
	struct node node = { .key = NULL };
	const struct greeting *g;
	struct stage st;
	struct talk t;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(greetings); i++) {
		g = &greetings[i];
		node.key = g->key;
		node.min_version = g->min_version;
		stage_open(&st, &node, SIGNS);
		talk_begin(&t, &st, &g->guest);
		talk_handshake(&t);
		if ((t.result == TLS_DONE) != g->good)
			fail_msg("greeting %zu: %d", i, t.result);
		assert_int_equal(t.connected, g->good ? 1 : -1);
		if (g->good) {
			talk_check_bytes(&t);
			assert_null(tls_identity(t.tls));
		} else {
			assert_non_null(tls_reason(t.tls));
			assert_false(tls_blames_certificate(t.tls));
		}
		talk_end(&t);
		stage_close(&st);
	}
}

static void
a_renegotiation_is_refused(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION };
	struct guest g = { .version = TLS1_2_VERSION };
	struct stage st;
	struct talk t;
	char buf[64];

	(void)state;
	stage_open(&st, &node, SIGNS);
	talk_begin(&t, &st, &g);
	talk_handshake(&t);
	assert_int_equal(t.result, TLS_DONE);
	assert_int_equal(SSL_renegotiate(t.ssl), 1);
	SSL_do_handshake(t.ssl);
	tls_wake(t.tls);
	assert_int_equal(tls_read(t.tls, buf, sizeof(buf)), -1);
	tls_sleep(t.tls);
	SSL_do_handshake(t.ssl);
	assert_int_equal(SSL_do_handshake(t.ssl), -1);
	talk_end(&t);
	stage_close(&st);
}

/* ---- client certificates ---- */

struct applicant {
	struct cert_wish wish;
	bool none;
	bool self_signed;
	bool wrong_ca;
	bool revoked;
	bool crl; /* there is one, of others */
	const char *id; /* NULL: it is refused */
	const char *why;
};

static const struct applicant applicants[] = {
	{ .wish = { .cn = "agent-a" }, .id = "agent-a" },
	{ .wish = { .cn = "agent-a", .eku = "clientAuth" }, .id = "agent-a" },
	{ .wish = { .cn = "agent-a", .key = "RSA:2048" }, .id = "agent-a" },
	{ .wish = { .cn = "agent-a", .key = "ED25519" }, .id = "agent-a" },
	{ .wish = { .cn = "agent-a" }, .crl = true, .id = "agent-a" },
	{ .none = true, .why = "peer did not return a certificate" },
	{ .wish = { .cn = "a" },
	    .self_signed = true,
	    .why = "self-signed certificate" },
	{ .wish = { .cn = "a" },
	    .wrong_ca = true,
	    .why = "unable to get local issuer certificate" },
	{ .wish = { .cn = "a", .from = -2 * DAY, .to = -DAY },
	    .why = "certificate has expired" },
	{ .wish = { .cn = "a", .from = DAY, .to = 2 * DAY },
	    .why = "certificate is not yet valid" },
	{ .wish = { .cn = "a" },
	    .revoked = true,
	    .why = "certificate revoked" },
	{ .wish = { .cn = "a", .eku = "serverAuth" },
	    .why = "unsuitable certificate purpose" },
	{ .wish = { .cn = "a", .key = "RSA:1024" },
	    .why = "EE certificate key too weak" },
	/* Names. */
	{ .wish = { .cn = "cn",
	      .san = "IP:192.0.2.1,email:M@Example.ORG,DNS:A.Example.org,"
		     "URI:spiffe://example.org/a" },
	    .id = "spiffe://example.org/a" },
	{ .wish = { .cn = "cn",
	      .san = "IP:192.0.2.1,email:M@Example.ORG,DNS:A.Example.org" },
	    .id = "a.example.org" },
	{ .wish = { .cn = "cn", .san = "IP:192.0.2.1,email:M@Example.ORG" },
	    .id = "M@example.org" },
	{ .wish = { .cn = "cn", .san = "IP:192.0.2.1" }, .id = "192.0.2.1" },
	{ .wish = { .cn = "cn", .san = "IP:2001:db8:0:0:0:0:0:1" },
	    .id = "2001:db8::1" },
	{ .wish = { .cn = "cn", .san = "RID:1.2.3.4" }, .id = "cn" },
	{ .wish = { .cn = "caf\xc3\xa9" }, .id = "caf\xc3\xa9" },
	{ .wish = { .cn = NULL }, .why = "the certificate names nobody" },
	{ .wish = { .cn = "a\nb" }, .why = "the certificate names nobody" },
	{ .wish = { .cn = "cn",
	      .san = "DNS:a\x01"
		     "b" },
	    .why = "the certificate names nobody" },
	{ .wish = { .cn = "a\xc2\x85z" },
	    .why = "the certificate names nobody" },
};

static char *
applicant_crl(const struct applicant *a, const struct stage *st, X509 *x)
{
	X509_CRL *crl;
	char *text;

	if (!a->crl && !a->revoked)
		return NULL;
	crl = cert_crl(&st->ca, a->revoked ? x : NULL);
	text = cert_crl_pem(crl);
	X509_CRL_free(crl);
	return text;
}

static void
applicant_try(const struct applicant *a, unsigned version)
{
	struct node node = { .min_version = TLS1_2_VERSION, .mtls = true };
	struct cert_wish wrong = { .cn = "other CA", .ca = true };
	struct cert ca = cert_make(&wrong, NULL), c;
	struct guest g = { .version = version };
	struct stage st;
	struct talk t;
	char *crl;

	stage_open(&st, &node, SIGNS);
	c = cert_make(&a->wish, a->self_signed ? NULL
				: a->wrong_ca  ? &ca
					       : &st.ca);
	node.crl = crl = applicant_crl(a, &st, c.x);
	stage_conf(&st, &node);
	g.cert = a->none ? NULL : &c;
	talk_begin(&t, &st, &g);
	talk_handshake(&t);
	if (a->id != NULL) {
		if (t.result != TLS_DONE)
			fail_msg("%s: %s", a->id, tls_reason(t.tls));
		assert_string_equal(tls_identity(t.tls), a->id);
		talk_check_bytes(&t);
	} else {
		assert_int_equal(t.result, TLS_FAILED);
		assert_string_equal(tls_reason(t.tls), a->why);
		assert_true(tls_blames_certificate(t.tls));
		assert_null(tls_identity(t.tls));
	}
	talk_end(&t);
	stage_close(&st);
	free(crl);
	cert_free(&c);
	cert_free(&ca);
}

static void
client_certificates_are_checked_and_name_who_it_is(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(applicants); i++) {
		applicant_try(&applicants[i], TLS1_3_VERSION);
		applicant_try(&applicants[i], TLS1_2_VERSION);
	}
}

/* ---- who signs is not as it should be ---- */

static void
a_refused_signature_fails_the_handshake(void **state)
{
	struct node node = { .key = "RSA:2048", .min_version = TLS1_2_VERSION };
	struct guest g = { 0 };
	struct stage st;

	(void)state;
	stage_open(&st, &node, REFUSES);
	assert_int_equal(talk_once(&st, &g), TLS_FAILED);
	stage_close(&st);
	node.key = "P-256";
	stage_open(&st, &node, REFUSES);
	assert_int_equal(talk_once(&st, &g), TLS_FAILED);
	g.version = TLS1_2_VERSION;
	assert_int_equal(talk_once(&st, &g), TLS_FAILED);
	stage_close(&st);
}

static void
a_key_that_is_not_the_certificates_fails_the_handshake(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION };
	struct cert_wish wish = { .cn = "other" };
	struct cert other = cert_make(&wish, NULL);
	struct guest g = { 0 };
	struct stage st;
	struct talk t;

	(void)state;
	stage_open(&st, &node, SIGNS);
	notary_stop(&st);
	notary_start(&st, &other, SIGNS);
	talk_begin(&t, &st, &g);
	talk_handshake(&t);
	assert_int_not_equal(t.connected, 1);
	assert_int_equal(t.result, TLS_FAILED);
	talk_end(&t);
	stage_close(&st);
	cert_free(&other);
}

static void
when_the_signer_dies_its_open_questions_fail(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION };
	struct guest g = { 0 };
	struct stage st;

	(void)state;
	stage_open(&st, &node, DIES);
	assert_int_equal(talk_once(&st, &g), TLS_FAILED);
	assert_null(st.desk->signer.ch);
	waitpid(st.pid, NULL, 0);
	st.pid = 0;
	/* Its successor serves all who come. */
	notary_start(&st, &st.server, SIGNS);
	assert_int_equal(talk_once(&st, &g), TLS_DONE);
	stage_close(&st);
}

#ifdef SANDBOXED
/* ---- the sandbox ---- */

#define SANDBOXED_TALKS 60

static int
talk_in_a_sandbox(struct stage *st, const struct node *node)
{
	static const unsigned versions[] = { TLS1_2_VERSION, TLS1_3_VERSION,
		TLS1_1_VERSION };
	static struct talk talks[SANDBOXED_TALKS];
	struct msg_conf_tls conf;
	struct guest g = { 0 };
	const char *why;
	size_t i;
	int fd = stage_bundle(st, node, &conf);

	for (i = 0; i < SANDBOXED_TALKS; i++)
		talk_open(&talks[i], st);
	if (sandbox_harden(0) == -1 || sandbox_enter(ROLE_WORKER, &why) == -1)
		return 2;
	for (i = 0; i < SANDBOXED_TALKS; i++) {
		g.version = versions[i % COUNT_OF(versions)];
		talk_start(&talks[i], &g);
		talk_handshake(&talks[i]);
		if ((talks[i].result == TLS_DONE) !=
		    (g.version != TLS1_1_VERSION))
			return 3;
		if (talks[i].result == TLS_DONE)
			talk_check_bytes(&talks[i]);
		talk_end(&talks[i]);
		/* Reloads come then, too. */
		if (i % 10 == 0)
			stage_take(st, node, fd, &conf);
	}
	return 0;
}

/* No call that a plain worker does not make. */
static void
a_worker_in_its_sandbox_makes_handshakes(void **state)
{
	static const char *const keys[] = { "P-256", "RSA:2048" };
	struct node node = { .min_version = TLS1_2_VERSION };
	struct stage st;
	int status;
	size_t i;
	pid_t pid;

	(void)state;
	for (i = 0; i < COUNT_OF(keys); i++) {
		node.key = keys[i];
		stage_open(&st, &node, SIGNS);
		fflush(NULL);
		if ((pid = fork()) == 0) {
			/* libevent's own descriptor is shared by a fork. */
			if (event_reinit(st.base) == -1)
				_exit(1);
			_exit(talk_in_a_sandbox(&st, &node));
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		stage_close(&st);
	}
}
#endif

/* ---- bytes ---- */

/* Both sides' buffers are smaller than what is written. */
static void
much_data_arrives_whole_whatever_the_socket_takes(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION };
	uint8_t *out = malloc(LONG), *in = malloc(LONG);
	struct guest g = { 0 };
	size_t sent = 0, got = 0, i;
	bool blocked = false;
	struct stage st;
	struct talk t;
	ssize_t n;

	(void)state;
	for (i = 0; i < LONG; i++)
		out[i] = (uint8_t)(i * 31 + i / 251);
	stage_open(&st, &node, SIGNS);
	talk_begin(&t, &st, &g);
	talk_handshake(&t);
	assert_int_equal(t.result, TLS_DONE);
	while (got < LONG) {
		n = tls_write(t.tls, out + sent, LONG - sent);
		if (n > 0)
			sent += (size_t)n;
		if (sent < LONG) {
			assert_int_equal(
			    tls_write(t.tls, out + sent, LONG - sent), -1);
			assert_int_equal(errno, EAGAIN);
			blocked = true;
		}
		/* As a worker keeps it: elsewhere in memory. */
		while ((n = SSL_read(t.ssl, in + got, (int)(LONG - got))) > 0)
			got += (size_t)n;
	}
	assert_true(blocked);
	assert_memory_equal(in, out, LONG);
	/* And the other way. */
	sent = got = 0;
	memset(in, 0, LONG);
	while (got < LONG) {
		while (
		    sent < LONG &&
		    (n = SSL_write(t.ssl, out + sent,
			 LONG - sent > 5000 ? 5000 : (int)(LONG - sent))) > 0)
			sent += (size_t)n;
		tls_wake(t.tls);
		while ((n = tls_read(t.tls, in + got, LONG - got)) > 0)
			got += (size_t)n;
		assert_int_equal(n, -1);
		assert_int_equal(errno, EAGAIN);
		tls_sleep(t.tls);
		assert_false(tls_pending(t.tls));
	}
	assert_memory_equal(in, out, LONG);
	talk_end(&t);
	stage_close(&st);
	free(in);
	free(out);
}

/* A client that is not read from any more loses nothing. */
static void
what_was_read_from_the_socket_is_kept_between_wake_ups(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION };
	struct guest g = { 0 };
	struct stage st;
	struct talk t;
	char buf[64], byte;
	int i;

	(void)state;
	stage_open(&st, &node, SIGNS);
	talk_begin(&t, &st, &g);
	talk_handshake(&t);
	for (i = 0; i < 5; i++) {
		byte = (char)('a' + i);
		assert_int_equal(SSL_write(t.ssl, &byte, 1), 1);
	}
	for (i = 0; i < 5; i++) {
		tls_wake(t.tls);
		assert_int_equal(tls_read(t.tls, buf, sizeof(buf)), 1);
		assert_int_equal(buf[0], 'a' + i);
		tls_sleep(t.tls);
		/* Another client's wake-up goes over the same memory. */
		memset(st.desk->input, 'x', 1024);
		assert_int_equal(tls_pending(t.tls), i < 4);
	}
	talk_end(&t);
	stage_close(&st);
}

static void
a_wake_up_reads_the_socket_once(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION };
	size_t got = 0, first = 0;
	struct guest g = { 0 };
	static char buf[16384];
	struct stage st;
	struct talk t;
	ssize_t n;
	int i;

	(void)state;
	stage_open(&st, &node, SIGNS);
	talk_begin(&t, &st, &g);
	talk_handshake(&t);
	for (i = 0; i < 6; i++)
		assert_int_equal(
		    SSL_write(t.ssl, buf, sizeof(buf)), sizeof(buf));
	for (i = 0; got < 6 * sizeof(buf); i++) {
		tls_wake(t.tls);
		while ((n = tls_read(t.tls, buf, sizeof(buf))) > 0)
			got += (size_t)n;
		assert_int_equal(errno, EAGAIN);
		tls_sleep(t.tls);
		if (i == 0)
			first = got;
	}
	assert_in_range(first, 1, 32768);
	assert_in_range(i, 4, 10);
	talk_end(&t);
	stage_close(&st);
}

/* So many changes of keys, and a byte of data, in one flight. */
static bool
talk_bears_key_updates(struct stage *st, int n)
{
	struct guest g = { 0 };
	BIO *flight = BIO_new(BIO_s_mem());
	struct talk t;
	char buf[64], *p;
	ssize_t got = -1;
	long len;
	int i;

	talk_begin(&t, st, &g);
	talk_handshake(&t);
	SSL_set0_wbio(t.ssl, flight);
	for (i = 0; i < n; i++) {
		assert_int_equal(
		    SSL_key_update(t.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		SSL_do_handshake(t.ssl);
	}
	assert_int_equal(SSL_write(t.ssl, "x", 1), 1);
	len = BIO_get_mem_data(flight, &p);
	assert_int_equal(send(t.fd[1], p, (size_t)len, 0), len);
	errno = EAGAIN;
	for (i = 0; i < 100 && got == -1 && errno == EAGAIN; i++) {
		tls_wake(t.tls);
		got = tls_read(t.tls, buf, sizeof(buf));
		tls_sleep(t.tls);
	}
	assert_true(got == 1 || errno == ECONNRESET);
	if (got != 1)
		assert_int_equal(i, 1);
	talk_end(&t);
	return got == 1;
}

/* A wake-up full of them would keep a worker busy for 20 ms or more. */
static void
who_changes_keys_without_end_is_left(void **state)
{
	struct node node = { .min_version = TLS1_3_VERSION };
	struct stage st;

	(void)state;
	stage_open(&st, &node, SIGNS);
	assert_true(talk_bears_key_updates(&st, 30));
	assert_false(talk_bears_key_updates(&st, 100));
	assert_false(talk_bears_key_updates(&st, 3000));
	stage_close(&st);
}

/* A peer that sends faster than that would have the worker for itself. */
static void
what_comes_behind_the_end_is_read_once_in_a_wake_up(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION };
	struct guest g = { 0 };
	struct stage st;
	struct talk t;
	char buf[64];
	int i;

	(void)state;
	stage_open(&st, &node, SIGNS);
	talk_begin(&t, &st, &g);
	talk_handshake(&t);
	tls_close(t.tls);
	memset(buf, 'x', sizeof(buf));
	for (i = 0; i < 4; i++)
		assert_int_equal(send(t.fd[1], buf, sizeof(buf), 0), 64);
	for (i = 0; i < 4; i++) {
		tls_wake(t.tls);
		assert_int_equal(tls_read(t.tls, buf, sizeof(buf)), 64);
		assert_int_equal(tls_read(t.tls, buf, sizeof(buf)), -1);
		assert_int_equal(errno, EAGAIN);
		tls_sleep(t.tls);
	}
	talk_end(&t);
	stage_close(&st);
}

static void
the_end_is_said_and_heard(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION };
	struct guest g = { 0 };
	struct stage st;
	struct talk t;
	char buf[64];

	(void)state;
	stage_open(&st, &node, SIGNS);
	talk_begin(&t, &st, &g);
	talk_handshake(&t);
	tls_close(t.tls);
	assert_int_equal(SSL_read(t.ssl, buf, sizeof(buf)), 0);
	assert_int_equal(SSL_get_error(t.ssl, 0), SSL_ERROR_ZERO_RETURN);
	assert_int_equal(tls_write(t.tls, "x", 1), -1);
	talk_end(&t);
	talk_begin(&t, &st, &g);
	talk_handshake(&t);
	SSL_shutdown(t.ssl);
	tls_wake(t.tls);
	assert_int_equal(tls_read(t.tls, buf, sizeof(buf)), 0);
	talk_end(&t);
	/* Without a word, as most do. */
	talk_begin(&t, &st, &g);
	talk_handshake(&t);
	shutdown(t.fd[1], SHUT_RDWR);
	tls_wake(t.tls);
	assert_int_equal(tls_read(t.tls, buf, sizeof(buf)), 0);
	talk_end(&t);
	stage_close(&st);
}

/* ---- certificates ---- */

struct offer {
	struct cert_wish wish;
	struct cert_wish above; /* in the file, too, if it has a name */
	bool good;
};

static const struct offer offers[] = {
	{ .wish = { .cn = "a" }, .good = true },
	{ .wish = { .cn = "a", .key = "P-521" }, .good = true },
	{ .wish = { .cn = "a", .md = "SHA1" } },
	{ .wish = { .cn = "a" }, .above = { .cn = "b" }, .good = true },
	{ .wish = { .cn = "a" }, .above = { .cn = "b", .md = "SHA1" } },
	{ .wish = { .cn = "a" }, .above = { .cn = "b", .key = "RSA:1024" } },
};

/* Is it good, says ltp-sign; and then a worker must find so, too. */
static bool
offer_is_good(struct stage *st, struct talk *t, const char *chain)
{
	struct msg_conf_tls conf = { .pair = PAIR,
		.min_version = TLS1_2_VERSION };
	char *key = cert_key_pem(st->server.key, NULL), why[SIGN_WHY_MAX] = "";
	int fd = cert_bundle(&conf, chain, NULL, NULL), key_fd = cert_file(key);
	struct pair *p = pair_load(&conf, fd, key_fd, why);
	struct node node = { .mtls = false };
	struct guest g = { .sigalgs = NULL };
	bool good = p != NULL;

	if (good) {
		stage_take(st, &node, fd, &conf);
		talk_begin(t, st, &g);
		talk_handshake(t);
		assert_int_equal(t->result, TLS_DONE);
		talk_end(t);
	} else {
		assert_non_null(strstr(why, "too weak"));
	}
	pair_free(p);
	close(fd);
	close(key_fd);
	free(key);
	return good;
}

/* Or they would all die of a reload. */
static void
a_worker_can_use_every_certificate_that_was_found_good(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION };
	struct cert above, c;
	const char *md;
	struct stage st;
	struct talk t;
	char *chain, *second, both[8192];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(offers); i++) {
		node.key = offers[i].wish.key;
		stage_open(&st, &node, SIGNS);
		above = cert_make(&offers[i].above, &st.ca);
		c = cert_make(&offers[i].wish, &above);
		/* Of the key that the one who signs has already. */
		X509_set_pubkey(c.x, st.server.key);
		md = offers[i].wish.md;
		assert_true(
		    X509_sign(c.x, above.key,
			EVP_get_digestbyname(md == NULL ? "SHA256" : md)) > 0);
		chain = cert_pem(c.x);
		second = cert_pem(above.x);
		snprintf(both, sizeof(both), "%s%s", chain,
		    offers[i].above.cn == NULL ? "" : second);
		assert_int_equal(offer_is_good(&st, &t, both), offers[i].good);
		free(chain);
		free(second);
		cert_free(&above);
		cert_free(&c);
		stage_close(&st);
	}
}

/* They cost much before anything is known of who shows them. */
static void
a_client_that_shows_many_certificates_is_refused(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION, .mtls = true };
	struct cert_wish wish = { .cn = "agent" };
	struct guest g = { 0 };
	struct stage st;
	struct cert c;

	(void)state;
	stage_open(&st, &node, SIGNS);
	c = cert_make(&wish, &st.ca);
	g.cert = &c;
	g.extra = 8;
	assert_int_equal(talk_once(&st, &g), TLS_DONE);
	g.extra = 100;
	assert_int_equal(talk_once(&st, &g), TLS_FAILED);
	cert_free(&c);
	stage_close(&st);
}

/* ---- reloads ---- */

static void
who_is_there_keeps_the_context_that_it_came_by(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION };
	struct guest old = { .version = TLS1_2_VERSION };
	struct cert_wish wish = { .cn = "new" };
	struct cert server;
	struct stage st;
	struct talk t;

	(void)state;
	stage_open(&st, &node, SIGNS);
	talk_begin(&t, &st, &old);
	talk_handshake(&t);
	server = st.server;
	st.server = cert_make(&wish, NULL);
	notary_stop(&st);
	notary_start(&st, &st.server, SIGNS);
	node.min_version = TLS1_3_VERSION;
	stage_conf(&st, &node);
	talk_check_bytes(&t);
	assert_int_equal(talk_once(&st, &old), TLS_FAILED);
	talk_end(&t);
	stage_close(&st);
	cert_free(&server);
}

static void
without_a_configuration_there_is_no_tls(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION };
	struct stage st;

	(void)state;
	stage_open(&st, &node, SIGNS);
	tls_desk_begin(st.desk);
	tls_desk_commit(st.desk);
	assert_null(tls_new(st.desk, 0));
	stage_close(&st);
}

/* Whose ticket it is tells nothing when its key is gone. */
static void
tickets_die_with_a_reload_and_are_none_with_certificates(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION };
	struct guest g = { .version = TLS1_2_VERSION };
	SSL_SESSION *session;
	struct stage st;
	struct talk t;
	int i;

	(void)state;
	stage_open(&st, &node, SIGNS);
	talk_begin(&t, &st, &g);
	talk_handshake(&t);
	session = SSL_get1_session(t.ssl);
	assert_int_equal(SSL_SESSION_has_ticket(session), 1);
	talk_end(&t);
	for (i = 0; i < 2; i++) {
		talk_begin(&t, &st, &g);
		assert_int_equal(SSL_set_session(t.ssl, session), 1);
		talk_handshake(&t);
		assert_int_equal(SSL_session_reused(t.ssl), i == 0);
		talk_end(&t);
		stage_conf(&st, &node);
	}
	SSL_SESSION_free(session);
	stage_close(&st);
}

/* ---- memory ---- */

static struct {
	unsigned left; /* allocations until one fails; 0: none does */
	bool failed;
} poor;

static bool
poor_fails(void)
{
	if (poor.left == 0 || --poor.left > 0)
		return false;
	poor.failed = true;
	return true;
}

/* The library's buffers for records, and what is in them when they go. */
#define BUFFER_MIN   (16 * 1024)
#define BUFFERS_MAX  8
#define BUFFER_VOICE "a secret that was said"

static struct {
	struct {
		uint8_t *at; /* NULL: none */
		size_t n;
	} block[BUFFERS_MAX];
	bool told;
} buffers;

static void
buffers_note(void *at, size_t n)
{
	size_t i;

	for (i = 0; n >= BUFFER_MIN && at != NULL && i < BUFFERS_MAX; i++) {
		if (buffers.block[i].at != NULL)
			continue;
		buffers.block[i].at = at;
		buffers.block[i].n = n;
		return;
	}
}

static void
buffers_forget(const void *at)
{
	size_t i;

	for (i = 0; at != NULL && i < BUFFERS_MAX; i++) {
		if (buffers.block[i].at != at)
			continue;
		if (memmem(at, buffers.block[i].n, BUFFER_VOICE,
			strlen(BUFFER_VOICE)) != NULL)
			buffers.told = true;
		buffers.block[i].at = NULL;
	}
}

static size_t
buffers_count(void)
{
	size_t i, n = 0;

	for (i = 0; i < BUFFERS_MAX; i++)
		n += buffers.block[i].at != NULL;
	return n;
}

static void *
poor_malloc(size_t n, const char *file, int line)
{
	void *p = poor_fails() ? NULL : malloc(n);

	(void)file;
	(void)line;
	buffers_note(p, n);
	return p;
}

static void *
poor_realloc(void *p, size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return poor_fails() ? NULL : realloc(p, n);
}

static void
poor_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	buffers_forget(p);
	free(p);
}

/* How much of it is read before the wake-up ends. */
static void
buffers_try(struct talk *t, size_t size, bool again)
{
	size_t before = buffers_count(), left = strlen(BUFFER_VOICE);
	char buf[64];

	assert_int_equal(SSL_write(t->ssl, BUFFER_VOICE, (int)left), left);
	tls_wake(t->tls);
	for (; left > 0; left -= size) {
		if (size > left)
			size = left;
		assert_int_equal(tls_read(t->tls, buf, size), size);
	}
	assert_true(buffers_count() > before);
	if (again)
		assert_int_equal(tls_read(t->tls, buf, size), -1);
	tls_sleep(t->tls);
	assert_int_equal(buffers_count(), before);
	assert_false(buffers.told);
}

static void
a_wake_up_leaves_neither_a_buffer_nor_what_was_in_it(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION };
	struct guest g = { 0 };
	struct stage st;
	struct talk t;

	(void)state;
	stage_open(&st, &node, SIGNS);
	talk_begin(&t, &st, &g);
	talk_handshake(&t);
	talk_check_bytes(&t);
	memset(&buffers, 0, sizeof(buffers));
	buffers_try(&t, 64, true);
	buffers_try(&t, 64, false);
	buffers_try(&t, 5, true);
	buffers_try(&t, 5, false);
	talk_end(&t);
	assert_false(buffers.told);
	stage_close(&st);
}

/* A conversation that need not end well. */
static void
talk_poorly(struct stage *st, const struct guest *g, unsigned n)
{
	struct talk t = { .st = st };
	int i;

	assert_int_equal(
	    socketpair(
		AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, t.fd),
	    0);
	t.ssl = guest_ssl(g, t.fd[1]);
	poor.left = n;
	poor.failed = false;
	if ((t.tls = tls_new(st->desk, t.fd[0])) != NULL) {
		tls_set_resume(t.tls, talk_resume, &t);
		for (i = 0;
		     i < TURNS && !talk_is_settled(&t) && t.connected != -1;
		     i++) {
			talk_client(&t);
			event_base_loop(
			    st->base, t.waits ? EVLOOP_ONCE : EVLOOP_NONBLOCK);
			talk_server(&t);
		}
	}
	poor.left = 0;
	talk_end(&t);
}

static void
no_memory_at_any_moment_ends_one_handshake_and_no_other(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION, .mtls = true };
	struct cert_wish wish = { .cn = "agent" };
	struct guest g = { 0 };
	struct stage st;
	struct cert c;
	unsigned n = 0;

	(void)state;
	stage_open(&st, &node, SIGNS);
	c = cert_make(&wish, &st.ca);
	g.cert = &c;
	do
		talk_poorly(&st, &g, n += 1 + n / 64);
	while (poor.failed);
	assert_true(n > 100);
	assert_int_equal(talk_once(&st, &g), TLS_DONE);
	assert_true(TAILQ_EMPTY(&st.desk->signer.questions));
	stage_close(&st);
	cert_free(&c);
}

/* ---- handshakes in the middle ---- */

/* Many at once, more than the library has jobs for. */
static void
many_handshakes_wait_for_signatures_side_by_side(void **state)
{
	struct node node = { .key = "RSA:2048", .min_version = TLS1_2_VERSION };
	struct guest g = { 0 };
	struct talk t[150];
	struct stage st;
	size_t i, left = COUNT_OF(t);
	int turn;

	(void)state;
	stage_open(&st, &node, SIGNS);
	for (i = 0; i < COUNT_OF(t); i++) {
		talk_begin(&t[i], &st, &g);
		talk_client(&t[i]);
	}
	for (turn = 0; turn < TURNS && left > 0; turn++) {
		for (i = left = 0; i < COUNT_OF(t); i++) {
			talk_server(&t[i]);
			talk_client(&t[i]);
			left += !talk_is_settled(&t[i]);
		}
		if (left > 0)
			event_base_loop(st.base, EVLOOP_NONBLOCK);
	}
	for (i = 0; i < COUNT_OF(t); i++) {
		assert_int_equal(t[i].result, TLS_DONE);
		talk_end(&t[i]);
	}
	stage_close(&st);
}

static void
a_client_that_leaves_in_the_middle_takes_its_question_along(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION };
	struct guest g = { 0 };
	struct stage st;
	struct talk t;
	int i;

	(void)state;
	stage_open(&st, &node, SAYS_NOTHING);
	for (i = 0; i < 200; i++) {
		talk_begin(&t, &st, &g);
		talk_client(&t);
		talk_server(&t);
#ifndef BLOCKING
		assert_int_equal(t.result, TLS_SIGN);
		assert_false(TAILQ_EMPTY(&st.desk->signer.questions));
#else
		assert_int_equal(t.result, TLS_FAILED);
		i = 200;
#endif
		talk_end(&t);
		assert_true(TAILQ_EMPTY(&st.desk->signer.questions));
	}
	stage_close(&st);
}

#ifndef BLOCKING
static void
without_a_signer_a_question_waits_for_its_successor(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION };
	struct guest g = { 0 };
	struct stage st;
	struct talk t;

	(void)state;
	stage_open(&st, &node, SIGNS);
	notary_stop(&st);
	while (st.desk->signer.ch != NULL)
		event_base_loop(st.base, EVLOOP_ONCE);
	talk_begin(&t, &st, &g);
	talk_client(&t);
	talk_server(&t);
	assert_int_equal(t.result, TLS_SIGN);
	notary_start(&st, &st.server, SIGNS);
	talk_handshake(&t);
	assert_int_equal(t.result, TLS_DONE);
	talk_end(&t);
	stage_close(&st);
}
#endif

static void
without_a_signer_a_question_waits_no_longer_than_a_second(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION };
	struct monotime begin;
	struct guest g = { 0 };
	struct stage st;

	(void)state;
	stage_open(&st, &node, SIGNS);
	notary_stop(&st);
	while (st.desk->signer.ch != NULL)
		event_base_loop(st.base, EVLOOP_ONCE);
	begin = monotime_now();
	assert_int_equal(talk_once(&st, &g), TLS_FAILED);
	assert_in_range(monotime_diff_ms(monotime_now(), begin), 0, 1500);
	stage_close(&st);
}

#ifdef BLOCKING
static void
a_signer_that_says_nothing_is_waited_for_100_ms(void **state)
{
	struct node node = { .min_version = TLS1_2_VERSION };
	struct monotime begin;
	struct guest g = { 0 };
	struct stage st;

	(void)state;
	stage_open(&st, &node, SAYS_NOTHING);
	begin = monotime_now();
	assert_int_equal(talk_once(&st, &g), TLS_FAILED);
	assert_in_range(monotime_diff_ms(monotime_now(), begin), 90, 1000);
	stage_close(&st);
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
#ifdef SANDBOXED
		/* First, while the library has not warmed up. */
		cmocka_unit_test(a_worker_in_its_sandbox_makes_handshakes),
#endif
		cmocka_unit_test(versions_keys_and_ciphers_are_ours),
		cmocka_unit_test(a_renegotiation_is_refused),
		cmocka_unit_test(
		    client_certificates_are_checked_and_name_who_it_is),
		cmocka_unit_test(a_refused_signature_fails_the_handshake),
		cmocka_unit_test(
		    a_key_that_is_not_the_certificates_fails_the_handshake),
		cmocka_unit_test(when_the_signer_dies_its_open_questions_fail),
		cmocka_unit_test(
		    much_data_arrives_whole_whatever_the_socket_takes),
		cmocka_unit_test(
		    what_was_read_from_the_socket_is_kept_between_wake_ups),
		cmocka_unit_test(a_wake_up_reads_the_socket_once),
		cmocka_unit_test(who_changes_keys_without_end_is_left),
		cmocka_unit_test(
		    what_comes_behind_the_end_is_read_once_in_a_wake_up),
		cmocka_unit_test(the_end_is_said_and_heard),
		cmocka_unit_test(
		    a_worker_can_use_every_certificate_that_was_found_good),
		cmocka_unit_test(
		    a_client_that_shows_many_certificates_is_refused),
		cmocka_unit_test(
		    who_is_there_keeps_the_context_that_it_came_by),
		cmocka_unit_test(without_a_configuration_there_is_no_tls),
		cmocka_unit_test(
		    tickets_die_with_a_reload_and_are_none_with_certificates),
		cmocka_unit_test(
		    a_wake_up_leaves_neither_a_buffer_nor_what_was_in_it),
		cmocka_unit_test(
		    no_memory_at_any_moment_ends_one_handshake_and_no_other),
		cmocka_unit_test(
		    many_handshakes_wait_for_signatures_side_by_side),
		cmocka_unit_test(
		    a_client_that_leaves_in_the_middle_takes_its_question_along),
#ifdef BLOCKING
		cmocka_unit_test(
		    a_signer_that_says_nothing_is_waited_for_100_ms),
#else
		cmocka_unit_test(
		    without_a_signer_a_question_waits_for_its_successor),
#endif
		cmocka_unit_test(
		    without_a_signer_a_question_waits_no_longer_than_a_second),
	};

	CRYPTO_set_mem_functions(poor_malloc, poor_realloc, poor_free);
	if (stage_set_up() == -1)
		return 1;
	return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
