/*
 * Certificates in PEM, and whether they are good to serve with.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "bundle.h"

#include <sys/mman.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "memfd.h"

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX (8 * SIGN_INPUT_MAX)
#define STRENGTH_MIN 112 /* bits, as the workers' library wants it */

/* What to say of a text. */
static const struct part {
	const char *empty;
	const char *many;
	const char *bad;
} parts[] = {
	[BUNDLE_CHAIN] = { "the certificate file holds no certificate in PEM",
	    "the certificate file holds too many certificates",
	    "the certificate file is damaged" },
	[BUNDLE_CA] = { "the file of the clients' CAs holds no certificate in "
			"PEM",
	    "the file of the clients' CAs holds too many certificates",
	    "the file of the clients' CAs is damaged" },
	[BUNDLE_CRL] = { "the CRL file holds no CRL in PEM",
	    "the CRL file holds too many CRLs", "the CRL file is damaged" },
};

int
bundle_no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

/* Did reading stop because there is nothing left to read? */
static bool
bundle_at_end(void)
{
	unsigned long e = ERR_peek_last_error();

	ERR_clear_error();
	return ERR_GET_LIB(e) == ERR_LIB_PEM &&
	       ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

static const char *
bundle_verdict(const struct part *part, size_t n, bool full)
{
	bool end = bundle_at_end();

	if (full)
		return part->many;
	if (!end)
		return part->bad;
	return n == 0 ? part->empty : NULL;
}

/* NULL, or what is wrong. */
static const char *
bundle_certificates(
    const struct part *part, BIO *bio, X509 **out, size_t max, size_t *n)
{
	X509 *x = NULL;

	while ((x = PEM_read_bio_X509(bio, NULL, bundle_no_password, NULL)) !=
		   NULL &&
	       *n < max)
		out[(*n)++] = x;
	X509_free(x);
	return bundle_verdict(part, *n, x != NULL);
}

static const char *
bundle_lists(
    const struct part *part, BIO *bio, X509_CRL **out, size_t max, size_t *n)
{
	X509_CRL *x = NULL;

	while ((x = PEM_read_bio_X509_CRL(
		    bio, NULL, bundle_no_password, NULL)) != NULL &&
	       *n < max)
		out[(*n)++] = x;
	X509_CRL_free(x);
	return bundle_verdict(part, *n, x != NULL);
}

/*
 * Some keep both in one file, but this text goes to processes that hear
 * strangers.
 */
static bool
bundle_has_key(const char *text, size_t len)
{
	static const char mark[] = "PRIVATE KEY-----";

	return memmem(text, len, mark, sizeof(mark) - 1) != NULL;
}

const char *
bundle_add(
    struct bundle *b, enum bundle_part which, const char *text, size_t len)
{
	const struct part *part = &parts[which];
	const char *why = NULL;
	BIO *bio;

	if (bundle_has_key(text, len))
		return "a private key is in the file of certificates: it "
		       "belongs into a file of its own";
	ERR_clear_error();
	if ((bio = BIO_new_mem_buf(text, (int)len)) == NULL)
		return "out of memory";
	switch (which) {
	case BUNDLE_CHAIN:
		why = bundle_certificates(
		    part, bio, b->chain, BUNDLE_CHAIN_MAX, &b->nchain);
		break;
	case BUNDLE_CA:
		why = bundle_certificates(
		    part, bio, b->ca, BUNDLE_CA_MAX, &b->nca);
		break;
	case BUNDLE_CRL:
		why = bundle_lists(part, bio, b->crl, BUNDLE_CRL_MAX, &b->ncrl);
		break;
	}
	BIO_free(bio);
	return why;
}

static const char *
bundle_parse(
    struct bundle *b, const char *text, const struct msg_conf_tls *conf)
{
	const char *ca = text + conf->chain_len, *crl = ca + conf->ca_len, *why;

	why = bundle_add(b, BUNDLE_CHAIN, text, conf->chain_len);
	if (why == NULL && conf->ca_len > 0)
		why = bundle_add(b, BUNDLE_CA, ca, conf->ca_len);
	if (why == NULL && conf->crl_len > 0)
		why = bundle_add(b, BUNDLE_CRL, crl, conf->crl_len);
	return why;
}

/*
 * Mapped, since all who have this descriptor share one place in it to read
 * from.
 */
struct bundle *
bundle_read(int fd, const struct msg_conf_tls *conf, const char **why)
{
	uint64_t size =
	    (uint64_t)conf->chain_len + conf->ca_len + conf->crl_len;
	struct bundle *b;
	char *text;

	*why = "the certificate file is empty";
	if (conf->chain_len == 0)
		return NULL;
	*why = "the certificate files are too long";
	if (size > BUNDLE_SIZE_MAX)
		return NULL;
	*why = "the certificates cannot be read";
	if (!memfd_check(fd, (size_t)size))
		return NULL;
	text = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
	if (text == MAP_FAILED)
		return NULL;
	*why = "out of memory";
	if ((b = calloc(1, sizeof(*b))) != NULL &&
	    (*why = bundle_parse(b, text, conf)) != NULL) {
		bundle_free(b);
		b = NULL;
	}
	munmap(text, (size_t)size);
	return b;
}

void
bundle_free(struct bundle *b)
{
	size_t i;

	if (b == NULL)
		return;
	for (i = 0; i < b->nchain; i++)
		X509_free(b->chain[i]);
	for (i = 0; i < b->nca; i++)
		X509_free(b->ca[i]);
	for (i = 0; i < b->ncrl; i++)
		X509_CRL_free(b->crl[i]);
	free(b);
}

/* ---- is it good? ---- */

static bool
bundle_is_good_curve(EVP_PKEY *public)
{
	const EC_KEY *ec = EVP_PKEY_get0_EC_KEY(public);

	if (ec == NULL)
		return false;
	switch (EC_GROUP_get_curve_name(EC_KEY_get0_group(ec))) {
	case NID_X9_62_prime256v1:
	case NID_secp384r1:
	case NID_secp521r1:
		return true;
	default:
		return false;
	}
}

/*
 * By the public half, which is in the certificate: looking at the other one
 * would leave copies of it about.
 */
static int
bundle_check_type(EVP_PKEY *public, char why[SIGN_WHY_MAX])
{
	int bits = EVP_PKEY_bits(public);

	if (EVP_PKEY_base_id(public) == EVP_PKEY_RSA) {
		if (bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX)
			return 0;
		snprintf(why, SIGN_WHY_MAX,
		    "the certificate's RSA key has %d bits: it must have %d "
		    "to %d",
		    bits, RSA_BITS_MIN, RSA_BITS_MAX);
		return -1;
	}
	if (EVP_PKEY_base_id(public) == EVP_PKEY_EC &&
	    bundle_is_good_curve(public))
		return 0;
	strlcpy(why,
	    "the certificate's key is neither RSA nor EC on P-256, P-384 or "
	    "P-521",
	    SIGN_WHY_MAX);
	return -1;
}

/*
 * A worker that cannot use what was found good here is no use any more, so this
 * is as strict as the library is there.  What signed itself is trusted for
 * other reasons.
 */
static bool
bundle_is_strong(X509 *x)
{
	const EVP_PKEY *public = X509_get0_pubkey(x);
	int bits = -1;

	if (public == NULL || EVP_PKEY_security_bits(public) < STRENGTH_MIN)
		return false;
	if ((X509_get_extension_flags(x) & EXFLAG_SS) != 0)
		return true;
	return X509_get_signature_info(x, NULL, NULL, &bits, NULL) == 1 &&
	       bits >= STRENGTH_MIN;
}

int
bundle_check_chain(const struct bundle *b, char why[SIGN_WHY_MAX])
{
	EVP_PKEY *public = X509_get0_pubkey(b->chain[0]);
	size_t i;

	if (public == NULL) {
		ERR_clear_error();
		strlcpy(why, "the certificate's key is of no known type",
		    SIGN_WHY_MAX);
		return -1;
	}
	if (bundle_check_type(public, why) == -1)
		return -1;
	for (i = 0; i < b->nchain; i++) {
		if (bundle_is_strong(b->chain[i]))
			continue;
		snprintf(why, SIGN_WHY_MAX,
		    "certificate %zu of the file has a key or a signature "
		    "that is too weak",
		    i + 1);
		ERR_clear_error();
		return -1;
	}
	return 0;
}
