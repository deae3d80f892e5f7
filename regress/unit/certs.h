/*
 * Certificates for tests, made as they are needed.
 */
#ifndef CERTS_H
#define CERTS_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "msg.h"

#define DAY (24 * 60 * 60)

struct cert {
	X509 *x;
	EVP_PKEY *key;
};

/* What a certificate is to be; zero means ordinary. */
struct cert_wish {
	const char *cn; /* NULL: none */
	const char *san; /* as openssl writes it */
	const char *eku;
	bool ca;
	const char *key; /* "P-256", "RSA:2048"; NULL: P-256 */
	const char *md; /* that its issuer signs; NULL: SHA256 */
	const char *san_too; /* a second extension of that kind */
	long from; /* seconds from now; 0: a day ago */
	long to; /* 0: in a day */
};

/* By the issuer; NULL: by itself. */
struct cert cert_make(const struct cert_wish *, const struct cert *issuer);
void cert_free(struct cert *);
EVP_PKEY *cert_key(const char *kind);
/* A list of revoked certificates, with this one or with none. */
X509_CRL *cert_crl(const struct cert *issuer, const X509 *revoked);

/* Texts in PEM, to be freed. */
char *cert_pem(X509 *);
char *cert_crl_pem(X509_CRL *);
char *cert_key_pem(EVP_PKEY *, const char *passphrase);

/*
 * A descriptor with these texts, NULL for none, and their lengths in the
 * message.
 */
int cert_bundle(
    struct msg_conf_tls *, const char *chain, const char *ca, const char *crl);
/* A descriptor of a file that holds the text. */
int cert_file(const char *text);

#endif /* CERTS_H */
