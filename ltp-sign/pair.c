/*
 * A certificate and its private key: whether they are good, and what the key
 * is put to.
 */
#include "pair.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "block.h"
#include "bundle.h"
#include "log.h"
#include "vault.h"

#define KEY_FILE_MAX (64 * 1024) /* bytes */

struct pair {
	uint32_t id;
	int type; /* EVP_PKEY_RSA, EVP_PKEY_EC */
	unsigned bits;
	EVP_PKEY *key;
};

/* ---- the key file ---- */

static int
pair_password(char *buf, int size, int writing, void *arg)
{
	bool *asked = arg;

	(void)buf;
	(void)size;
	(void)writing;
	*asked = true;
	return -1;
}

/* All of it, or -1 with errno; EFBIG. */
static ssize_t
pair_read_file(int fd, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;

	if (lseek(fd, 0, SEEK_SET) == -1)
		return -1;
	while ((n = read(fd, buf + len, size - len)) != 0) {
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		len += (size_t)n;
		if (len == size) {
			errno = EFBIG;
			return -1;
		}
	}
	return (ssize_t)len;
}

static EVP_PKEY *
pair_parse_key(char *text, size_t len, char why[SIGN_WHY_MAX])
{
	BIO *bio = BIO_new_mem_buf(text, (int)len);
	EVP_PKEY *key = NULL;
	bool asked = false;

	if (bio != NULL)
		key = PEM_read_bio_PrivateKey(bio, NULL, pair_password, &asked);
	BIO_free(bio);
	ERR_clear_error();
	if (key == NULL)
		strlcpy(why,
		    asked ? "the key file is encrypted: nobody is there to "
			    "type a passphrase"
			  : "the key file holds no private key in PEM",
		    SIGN_WHY_MAX);
	return key;
}

static EVP_PKEY *
pair_read_key(int fd, char why[SIGN_WHY_MAX])
{
	char *text = vault_take(KEY_FILE_MAX);
	EVP_PKEY *key = NULL;
	ssize_t len;

	if (text == NULL) {
		strlcpy(why, "out of memory", SIGN_WHY_MAX);
		return NULL;
	}
	if ((len = pair_read_file(fd, text, KEY_FILE_MAX)) == -1)
		snprintf(why, SIGN_WHY_MAX, "the key file cannot be read: %s",
		    strerror(errno));
	else
		key = pair_parse_key(text, (size_t)len, why);
	vault_give(text, KEY_FILE_MAX);
	return key;
}

/* ---- checks ---- */

/* The halves may be said to fit; a signature proves it. */
static bool
pair_fits(EVP_PKEY *key, EVP_PKEY *public)
{
	static const uint8_t text[] = "ltp-sign";
	uint8_t signature[SIGN_OUTPUT_MAX];
	size_t len = sizeof(signature);
	EVP_MD_CTX *sign = EVP_MD_CTX_new(), *verify = EVP_MD_CTX_new();
	bool fits;

	fits =
	    sign != NULL && verify != NULL &&
	    EVP_DigestSignInit(sign, NULL, EVP_sha256(), NULL, key) == 1 &&
	    EVP_DigestSign(sign, signature, &len, text, sizeof(text)) == 1 &&
	    EVP_DigestVerifyInit(verify, NULL, EVP_sha256(), NULL, public) ==
		1 &&
	    EVP_DigestVerify(verify, signature, len, text, sizeof(text)) == 1;
	EVP_MD_CTX_free(sign);
	EVP_MD_CTX_free(verify);
	ERR_clear_error();
	return fits;
}

/* What time has done does not keep the node from starting. */
static void
pair_look_at_dates(const struct bundle *b)
{
	size_t i;

	if (X509_cmp_current_time(X509_get0_notAfter(b->chain[0])) < 0)
		log_warnx("sign: the certificate has expired");
	if (X509_cmp_current_time(X509_get0_notBefore(b->chain[0])) > 0)
		log_warnx("sign: the certificate is not valid yet");
	for (i = 0; i < b->ncrl; i++) {
		const ASN1_TIME *next = X509_CRL_get0_nextUpdate(b->crl[i]);

		if (next != NULL && X509_cmp_current_time(next) < 0)
			log_warnx("sign: a CRL has expired: no certificate of "
				  "its CA is accepted");
	}
}

static bool
pair_check(struct pair *p, const struct bundle *b, char why[SIGN_WHY_MAX])
{
	EVP_PKEY *public = X509_get0_pubkey(b->chain[0]);

	if (bundle_check_chain(b, why) == -1)
		return false;
	p->type = EVP_PKEY_base_id(public);
	p->bits = (unsigned)EVP_PKEY_bits(public);
	if (EVP_PKEY_base_id(p->key) != p->type || !pair_fits(p->key, public)) {
		strlcpy(why,
		    "the private key does not belong to the certificate",
		    SIGN_WHY_MAX);
		return false;
	}
	pair_look_at_dates(b);
	return true;
}

struct pair *
pair_load(const struct msg_conf_tls *conf, int bundle_fd, int key_fd,
    char why[SIGN_WHY_MAX])
{
	struct bundle *b;
	struct pair *p;
	const char *text;

	if ((b = bundle_read(bundle_fd, conf, &text)) == NULL) {
		strlcpy(why, text, SIGN_WHY_MAX);
		return NULL;
	}
	if ((p = calloc(1, sizeof(*p))) == NULL) {
		strlcpy(why, "out of memory", SIGN_WHY_MAX);
	} else {
		p->id = conf->pair;
		p->key = pair_read_key(key_fd, why);
		if (p->key == NULL || !pair_check(p, b, why)) {
			pair_free(p);
			p = NULL;
		}
	}
	bundle_free(b);
	return p;
}

void
pair_free(struct pair *p)
{
	if (p == NULL)
		return;
	EVP_PKEY_free(p->key);
	free(p);
}

uint32_t
pair_id(const struct pair *p)
{
	return p->id;
}

/* ---- signatures ---- */

/* The digests of the signatures that workers offer. */
static bool
pair_is_digest(size_t len)
{
	return len == 32 || len == 48 || len == 64;
}

size_t
pair_sign(const struct pair *p, uint32_t scheme, const uint8_t *in, size_t len,
    uint8_t out[SIGN_OUTPUT_MAX])
{
	size_t outlen = SIGN_OUTPUT_MAX;
	EVP_PKEY_CTX *ctx;
	bool good = false;

	if (scheme == SIGN_ECDSA)
		good = p->type == EVP_PKEY_EC && pair_is_digest(len);
	else if (scheme == SIGN_RSA)
		good = p->type == EVP_PKEY_RSA &&
		       block_is_signature(in, len, p->bits);
	if (!good || (ctx = EVP_PKEY_CTX_new(p->key, NULL)) == NULL)
		return 0;
	/* The block is padded already; a digest is none of a named hash. */
	good = EVP_PKEY_sign_init(ctx) == 1 &&
	       (scheme != SIGN_RSA ||
		   EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1) &&
	       EVP_PKEY_sign(ctx, out, &outlen, in, len) == 1;
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return good ? outlen : 0;
}
