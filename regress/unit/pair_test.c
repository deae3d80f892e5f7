/*
 * What ltp-sign takes for a pair, and what it signs.
 */
#include "unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "certs.h"
#include "pair.h"
#include "vault.h"

/* ---- loading ---- */

static struct pair *
load(const char *chain, const char *ca, const char *crl, const char *key,
    char why[SIGN_WHY_MAX])
{
	struct msg_conf_tls conf = { .pair = 7 };
	int fd = cert_bundle(&conf, chain, ca, crl), key_fd = cert_file(key);
	struct pair *p;

	why[0] = '\0';
	p = pair_load(&conf, fd, key_fd, why);
	close(fd);
	close(key_fd);
	return p;
}

static struct pair *
load_cert(const struct cert *c)
{
	char *chain = cert_pem(c->x), *key = cert_key_pem(c->key, NULL);
	char why[SIGN_WHY_MAX];
	struct pair *p = load(chain, NULL, NULL, key, why);

	if (p == NULL)
		print_message("# %s\n", why);
	free(chain);
	free(key);
	return p;
}

static void
good_pairs_of_every_type_are_loaded(void **state)
{
	static const char *const kinds[] = { "P-256", "P-384", "P-521",
		"RSA:2048", "RSA:3072" };
	struct cert_wish wish = { .cn = "a" };
	struct cert c;
	struct pair *p;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(kinds); i++) {
		wish.key = kinds[i];
		c = cert_make(&wish, NULL);
		p = load_cert(&c);
		assert_non_null(p);
		assert_int_equal(pair_id(p), 7);
		pair_free(p);
		cert_free(&c);
	}
}

struct bad_pair {
	const char *key; /* of the certificate */
	const char *chain; /* instead of it */
	const char *ca;
	const char *crl;
	const char *file; /* instead of the key */
	bool other; /* the key of another */
	bool encrypted;
	bool joined; /* the key behind the certificate */
	const char *why;
};

static const struct bad_pair bad_pairs[] = {
	{ .key = "RSA:1024",
	    .why = "the certificate's RSA key has 1024 bits: it must have "
		   "2048 to 8192" },
	{ .key = "secp256k1",
	    .why = "the certificate's key is neither RSA nor EC on P-256, "
		   "P-384 or P-521" },
	{ .key = "P-256",
	    .other = true,
	    .why = "the private key does not belong to the certificate" },
	{ .key = "RSA:2048",
	    .other = true,
	    .why = "the private key does not belong to the certificate" },
	{ .encrypted = true,
	    .why = "the key file is encrypted: nobody is there to type a "
		   "passphrase" },
	{ .file = "hello", .why = "the key file holds no private key in PEM" },
	{ .joined = true,
	    .why = "a private key is in the file of certificates: it belongs "
		   "into a file of its own" },
	{ .chain = "x",
	    .why = "the certificate file holds no certificate in PEM" },
	{ .chain = "-----BEGIN CERTIFICATE-----\nAAAA\n"
		   "-----END CERTIFICATE-----\n",
	    .why = "the certificate file is damaged" },
	{ .ca = "x",
	    .why = "the file of the clients' CAs holds no certificate in "
		   "PEM" },
	{ .ca = "-----BEGIN CERTIFICATE-----\nAAAA\n"
		"-----END CERTIFICATE-----\n",
	    .why = "the file of the clients' CAs is damaged" },
	{ .crl = "x", .why = "the CRL file holds no CRL in PEM" },
	{ .crl = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
	    .why = "the CRL file is damaged" },
};

static void
bad_pairs_are_refused_with_a_reason(void **state)
{
	struct cert_wish wish = { .cn = "a" };
	char why[SIGN_WHY_MAX], *chain, *key, both[8192];
	const struct bad_pair *b;
	struct cert c, other;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(bad_pairs); i++) {
		b = &bad_pairs[i];
		wish.key = b->key;
		c = cert_make(&wish, NULL);
		other = cert_make(&wish, NULL);
		chain = cert_pem(c.x);
		key = cert_key_pem(b->other ? other.key : c.key,
		    b->encrypted ? "secret" : NULL);
		snprintf(both, sizeof(both), "%s%s", chain, key);
		assert_null(load(b->chain != NULL ? b->chain
				 : b->joined      ? both
						  : chain,
		    b->ca, b->crl, b->file != NULL ? b->file : key, why));
		assert_string_equal(why, b->why);
		free(chain);
		free(key);
		cert_free(&c);
		cert_free(&other);
	}
}

static void
a_key_file_that_is_too_long_is_refused(void **state)
{
	struct cert_wish wish = { .cn = "a" };
	struct cert c = cert_make(&wish, NULL);
	char why[SIGN_WHY_MAX], *chain = cert_pem(c.x);
	char *key = calloc(1, 70000);

	(void)state;
	memset(key, 'a', 69999);
	assert_null(load(chain, NULL, NULL, key, why));
	assert_string_equal(why, "the key file cannot be read: File too large");
	free(chain);
	free(key);
	cert_free(&c);
}

/* ---- signing ---- */

static size_t
ask(const struct pair *p, enum sign_scheme scheme, const void *in, size_t len)
{
	uint8_t out[SIGN_OUTPUT_MAX];

	return pair_sign(p, scheme, in, len, out);
}

static void
ecdsa_signs_digests_of_tls_and_no_others(void **state)
{
	static const size_t good[] = { 32, 48, 64 };
	struct cert_wish wish = { .cn = "a" };
	struct cert c = cert_make(&wish, NULL);
	struct pair *p = load_cert(&c);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(c.key, NULL);
	uint8_t digest[SIGN_INPUT_MAX] = "digest", out[SIGN_OUTPUT_MAX];
	size_t len, n, i;

	(void)state;
	assert_int_equal(EVP_PKEY_verify_init(ctx), 1);
	for (len = 0; len <= 80; len++) {
		n = pair_sign(p, SIGN_ECDSA, digest, len, out);
		for (i = 0; i < COUNT_OF(good) && good[i] != len; i++)
			;
		if (i == COUNT_OF(good)) {
			assert_int_equal(n, 0);
			continue;
		}
		assert_true(n > 0);
		assert_int_equal(EVP_PKEY_verify(ctx, out, n, digest, len), 1);
	}
	assert_int_equal(ask(p, SIGN_RSA, digest, 32), 0);
	assert_int_equal(ask(p, SIGN_RSA, digest, 256), 0);
	assert_int_equal(ask(p, SIGN_NONE, digest, 32), 0);
	assert_int_equal(ask(p, 3, digest, 32), 0);
	EVP_PKEY_CTX_free(ctx);
	pair_free(p);
	cert_free(&c);
}

struct rsa {
	struct cert c;
	struct pair *p;
	size_t size;
};

static void
rsa_open(struct rsa *r, const char *kind)
{
	struct cert_wish wish = { .cn = "a", .key = kind };

	r->c = cert_make(&wish, NULL);
	assert_non_null(r->p = load_cert(&r->c));
	r->size = (size_t)EVP_PKEY_size(r->c.key);
}

static void
rsa_close(struct rsa *r)
{
	pair_free(r->p);
	cert_free(&r->c);
}

/*
 * The block that a signature is made of: the public operation takes the
 * signature apart again.
 */
static void
rsa_block(const struct rsa *r, int padding, const EVP_MD *md, int salt,
    uint8_t *block)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(r->c.key, NULL);
	uint8_t digest[64] = "d", sig[SIGN_OUTPUT_MAX];
	size_t len = sizeof(sig);

	assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, padding), 1);
	assert_int_equal(EVP_PKEY_CTX_set_signature_md(ctx, md), 1);
	if (padding == RSA_PKCS1_PSS_PADDING)
		assert_int_equal(
		    EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, salt), 1);
	assert_int_equal(
	    EVP_PKEY_sign(ctx, sig, &len, digest, (size_t)EVP_MD_get_size(md)),
	    1);
	EVP_PKEY_CTX_free(ctx);
	ctx = EVP_PKEY_CTX_new(r->c.key, NULL);
	assert_int_equal(EVP_PKEY_encrypt_init(ctx), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING), 1);
	assert_int_equal(EVP_PKEY_encrypt(ctx, block, &len, sig, len), 1);
	assert_int_equal(len, r->size);
	EVP_PKEY_CTX_free(ctx);
}

static void
rsa_signs_both_paddings_with_every_hash(void **state)
{
	static const char *const kinds[] = { "RSA:2048", "RSA:2049", "RSA:2050",
		"RSA:3072" };
	const EVP_MD *mds[] = { EVP_sha256(), EVP_sha384(), EVP_sha512() };
	uint8_t block[SIGN_INPUT_MAX];
	struct rsa r;
	size_t i, j;

	(void)state;
	for (i = 0; i < COUNT_OF(kinds); i++) {
		rsa_open(&r, kinds[i]);
		for (j = 0; j < COUNT_OF(mds); j++) {
			rsa_block(&r, RSA_PKCS1_PADDING, mds[j], 0, block);
			assert_int_equal(
			    ask(r.p, SIGN_RSA, block, r.size), r.size);
			rsa_block(&r, RSA_PKCS1_PSS_PADDING, mds[j],
			    RSA_PSS_SALTLEN_DIGEST, block);
			assert_int_equal(
			    ask(r.p, SIGN_RSA, block, r.size), r.size);
		}
		rsa_close(&r);
	}
}

static void
rsa_refuses_hashes_and_salts_that_tls_has_not(void **state)
{
	uint8_t block[SIGN_INPUT_MAX];
	struct rsa r;

	(void)state;
	rsa_open(&r, "RSA:2048");
	rsa_block(&r, RSA_PKCS1_PADDING, EVP_sha1(), 0, block);
	assert_int_equal(ask(r.p, SIGN_RSA, block, r.size), 0);
	rsa_block(&r, RSA_PKCS1_PADDING, EVP_sha224(), 0, block);
	assert_int_equal(ask(r.p, SIGN_RSA, block, r.size), 0);
	rsa_block(&r, RSA_PKCS1_PSS_PADDING, EVP_sha1(), RSA_PSS_SALTLEN_DIGEST,
	    block);
	assert_int_equal(ask(r.p, SIGN_RSA, block, r.size), 0);
	rsa_block(&r, RSA_PKCS1_PSS_PADDING, EVP_sha256(), 20, block);
	assert_int_equal(ask(r.p, SIGN_RSA, block, r.size), 0);
	rsa_close(&r);
}

/* A byte more, a byte less, a bit elsewhere. */
static void
rsa_refuses_every_block_that_is_not_quite_one(void **state)
{
	uint8_t block[SIGN_INPUT_MAX + 1] = { 0 };
	struct rsa r;
	size_t i;

	(void)state;
	rsa_open(&r, "RSA:2048");
	rsa_block(&r, RSA_PKCS1_PADDING, EVP_sha256(), 0, block);
	assert_int_equal(ask(r.p, SIGN_RSA, block, r.size - 1), 0);
	assert_int_equal(ask(r.p, SIGN_RSA, block, r.size + 1), 0);
	assert_int_equal(ask(r.p, SIGN_RSA, block, 0), 0);
	assert_int_equal(ask(r.p, SIGN_ECDSA, block, 32), 0);
	for (i = 0; i < r.size - 32; i++) {
		block[i] ^= 1;
		assert_int_equal(ask(r.p, SIGN_RSA, block, r.size), 0);
		block[i] ^= 1;
	}
	rsa_block(&r, RSA_PKCS1_PSS_PADDING, EVP_sha256(),
	    RSA_PSS_SALTLEN_DIGEST, block);
	for (i = 0; i < r.size; i++) {
		/* Of the salt every bit may be anything. */
		if (i >= r.size - 1 - 32 - 32 && i < r.size - 1 - 32)
			continue;
		block[i] ^= 0x40;
		assert_int_equal(ask(r.p, SIGN_RSA, block, r.size), 0);
		block[i] ^= 0x40;
	}
	block[0] ^= 0x80;
	assert_int_equal(ask(r.p, SIGN_RSA, block, r.size), 0);
	rsa_close(&r);
}

/* What was encrypted to the key, and numbers that end as PSS does. */
static void
rsa_does_not_decrypt(void **state)
{
	uint8_t secret[SIGN_INPUT_MAX], plain[48] = "premaster";
	EVP_PKEY_CTX *ctx;
	struct rsa r;
	size_t len;
	int i;

	(void)state;
	rsa_open(&r, "RSA:2048");
	ctx = EVP_PKEY_CTX_new(r.c.key, NULL);
	assert_int_equal(EVP_PKEY_encrypt_init(ctx), 1);
	assert_int_equal(
	    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING), 1);
	for (i = 0; i < 1000; i++) {
		len = sizeof(secret);
		assert_int_equal(
		    EVP_PKEY_encrypt(ctx, secret, &len, plain, sizeof(plain)),
		    1);
		assert_int_equal(ask(r.p, SIGN_RSA, secret, len), 0);
		secret[0] = 0;
		secret[len - 1] = 0xbc;
		assert_int_equal(ask(r.p, SIGN_RSA, secret, len), 0);
	}
	/* Type 2 is what decryption would find. */
	memset(secret, 0xff, r.size);
	secret[0] = 0;
	secret[1] = 2;
	secret[r.size - 49] = 0;
	assert_int_equal(ask(r.p, SIGN_RSA, secret, r.size), 0);
	EVP_PKEY_CTX_free(ctx);
	rsa_close(&r);
}

static int
open_vault(void **state)
{
	(void)state;
	return vault_open();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_pairs_of_every_type_are_loaded),
		cmocka_unit_test(bad_pairs_are_refused_with_a_reason),
		cmocka_unit_test(a_key_file_that_is_too_long_is_refused),
		cmocka_unit_test(ecdsa_signs_digests_of_tls_and_no_others),
		cmocka_unit_test(rsa_signs_both_paddings_with_every_hash),
		cmocka_unit_test(rsa_refuses_hashes_and_salts_that_tls_has_not),
		cmocka_unit_test(rsa_refuses_every_block_that_is_not_quite_one),
		cmocka_unit_test(rsa_does_not_decrypt),
	};

	return cmocka_run_group_tests_name("pair", tests, open_vault, NULL);
}
