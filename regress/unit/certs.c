/*
 * Certificates for tests.
 */
#include "unit.h"

#include "certs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "memfd.h"

EVP_PKEY *
cert_key(const char *kind)
{
	EVP_PKEY *key;

	if (kind == NULL)
		kind = "P-256";
	if (strncmp(kind, "RSA:", 4) == 0)
		key = EVP_RSA_gen((unsigned)strtoul(kind + 4, NULL, 10));
	else if (strcmp(kind, "ED25519") == 0)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	else
		key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind);
	assert_non_null(key);
	return key;
}

static void
cert_extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;

	if (value == NULL)
		return;
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(ext);
	assert_int_equal(X509_add_ext(x, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

struct cert
cert_make(const struct cert_wish *wish, const struct cert *issuer)
{
	static long serial;
	struct cert c = { X509_new(), cert_key(wish->key) };
	X509_NAME *name = X509_get_subject_name(c.x);
	X509 *above = issuer == NULL ? c.x : issuer->x;

	X509_set_version(c.x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(c.x), ++serial);
	if (wish->cn != NULL)
		X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
		    (const unsigned char *)wish->cn, -1, -1, 0);
	X509_set_issuer_name(c.x, X509_get_subject_name(above));
	X509_gmtime_adj(
	    X509_getm_notBefore(c.x), wish->from == 0 ? -DAY : wish->from);
	X509_gmtime_adj(
	    X509_getm_notAfter(c.x), wish->to == 0 ? DAY : wish->to);
	X509_set_pubkey(c.x, c.key);
	cert_extend(c.x, above, NID_basic_constraints,
	    wish->ca ? "critical,CA:TRUE" : NULL);
	cert_extend(c.x, above, NID_subject_alt_name, wish->san);
	cert_extend(c.x, above, NID_subject_alt_name, wish->san_too);
	cert_extend(c.x, above, NID_ext_key_usage, wish->eku);
	assert_true(X509_sign(c.x, issuer == NULL ? c.key : issuer->key,
			EVP_get_digestbyname(
			    wish->md == NULL ? "SHA256" : wish->md)) > 0);
	return c;
}

void
cert_free(struct cert *c)
{
	X509_free(c->x);
	EVP_PKEY_free(c->key);
	c->x = NULL;
	c->key = NULL;
}

X509_CRL *
cert_crl(const struct cert *issuer, const X509 *revoked)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *t = ASN1_TIME_new();
	X509_REVOKED *r;

	assert_non_null(crl);
	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->x));
	X509_CRL_set1_lastUpdate(crl, X509_gmtime_adj(t, -DAY));
	X509_CRL_set1_nextUpdate(crl, X509_gmtime_adj(t, DAY));
	if (revoked != NULL) {
		r = X509_REVOKED_new();
		X509_REVOKED_set_serialNumber(
		    r, X509_get_serialNumber((X509 *)(uintptr_t)revoked));
		X509_REVOKED_set_revocationDate(r, X509_gmtime_adj(t, -DAY));
		X509_CRL_add0_revoked(crl, r);
	}
	ASN1_TIME_free(t);
	assert_true(X509_CRL_sign(crl, issuer->key, EVP_sha256()) > 0);
	return crl;
}

static char *
cert_text(BIO *bio)
{
	char *p, *text;
	long len = BIO_get_mem_data(bio, &p);

	assert_true(len > 0);
	assert_non_null(text = calloc(1, (size_t)len + 1));
	memcpy(text, p, (size_t)len);
	BIO_free(bio);
	return text;
}

char *
cert_pem(X509 *x)
{
	BIO *bio = BIO_new(BIO_s_mem());

	assert_int_equal(PEM_write_bio_X509(bio, x), 1);
	return cert_text(bio);
}

char *
cert_crl_pem(X509_CRL *crl)
{
	BIO *bio = BIO_new(BIO_s_mem());

	assert_int_equal(PEM_write_bio_X509_CRL(bio, crl), 1);
	return cert_text(bio);
}

char *
cert_key_pem(EVP_PKEY *key, const char *passphrase)
{
	BIO *bio = BIO_new(BIO_s_mem());

	assert_int_equal(PEM_write_bio_PrivateKey(bio, key,
			     passphrase == NULL ? NULL : EVP_aes_128_cbc(),
			     NULL, 0, NULL, (void *)(uintptr_t)passphrase),
	    1);
	return cert_text(bio);
}

static uint32_t
cert_put(int fd, off_t at, const char *text)
{
	size_t len = text == NULL ? 0 : strlen(text);

	if (len > 0)
		assert_int_equal(pwrite(fd, text, len, at), len);
	return (uint32_t)len;
}

int
cert_bundle(struct msg_conf_tls *conf, const char *chain, const char *ca,
    const char *crl)
{
	size_t size = strlen(chain) + (ca == NULL ? 0 : strlen(ca)) +
		      (crl == NULL ? 0 : strlen(crl));
	int fd = memfd_new("bundle", size);

	assert_int_not_equal(fd, -1);
	conf->chain_len = cert_put(fd, 0, chain);
	conf->ca_len = cert_put(fd, conf->chain_len, ca);
	conf->crl_len =
	    cert_put(fd, (off_t)conf->chain_len + conf->ca_len, crl);
	return fd;
}

int
cert_file(const char *text)
{
	int fd = memfd_create("key", MFD_CLOEXEC);

	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	return fd;
}
