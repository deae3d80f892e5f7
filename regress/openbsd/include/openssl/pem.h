/* PEM files of LibreSSL. */
#ifndef OPENBSD_OPENSSL_PEM_H
#define OPENBSD_OPENSSL_PEM_H

#include <openssl/x509.h>

#define PEM_R_NO_START_LINE 108

typedef int pem_password_cb(char *, int, int, void *);

EVP_PKEY *
PEM_read_bio_PrivateKey(BIO *, EVP_PKEY **, pem_password_cb *, void *);
X509 *PEM_read_bio_X509(BIO *, X509 **, pem_password_cb *, void *);
X509_CRL *PEM_read_bio_X509_CRL(BIO *, X509_CRL **, pem_password_cb *, void *);

#endif /* OPENBSD_OPENSSL_PEM_H */
