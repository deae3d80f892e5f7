/* TLS of LibreSSL. */
#ifndef OPENBSD_OPENSSL_SSL_H
#define OPENBSD_OPENSSL_SSL_H

#include <openssl/x509.h>

#include <stddef.h>
#include <stdint.h>

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_method_st SSL_METHOD;
typedef struct ssl_st SSL;
typedef struct x509_store_ctx_st X509_STORE_CTX;

#define TLS1_2_VERSION                      0x0303
#define SSL_VERIFY_PEER                     0x01
#define SSL_MODE_ENABLE_PARTIAL_WRITE       0x1L
#define SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER 0x2L

#define SSL_ERROR_WANT_READ                 2
#define SSL_ERROR_WANT_WRITE                3
#define SSL_ERROR_SYSCALL                   5
#define SSL_ERROR_ZERO_RETURN               6

X509 *X509_STORE_CTX_get0_cert(X509_STORE_CTX *);
const SSL_METHOD *TLS_client_method(void);
SSL_CTX *SSL_CTX_new(const SSL_METHOD *);
void SSL_CTX_free(SSL_CTX *);
X509 *SSL_CTX_get0_certificate(const SSL_CTX *);
int SSL_CTX_load_verify_locations(SSL_CTX *, const char *, const char *);
int SSL_CTX_set_alpn_protos(SSL_CTX *, const unsigned char *, unsigned int);
int SSL_CTX_set_default_verify_paths(SSL_CTX *);
int SSL_CTX_set_min_proto_version(SSL_CTX *, uint16_t);
long SSL_CTX_set_mode(SSL_CTX *, long);
void SSL_CTX_set_cert_verify_callback(
    SSL_CTX *, int (*)(X509_STORE_CTX *, void *), void *);
void SSL_CTX_set_verify(SSL_CTX *, int, int (*)(int, X509_STORE_CTX *));
int SSL_CTX_use_PrivateKey(SSL_CTX *, EVP_PKEY *);
int SSL_CTX_use_certificate_chain_file(SSL_CTX *, const char *);
SSL *SSL_new(SSL_CTX *);
void SSL_free(SSL *);
X509_VERIFY_PARAM *SSL_get0_param(SSL *);
int SSL_do_handshake(SSL *);
X509 *SSL_get_peer_certificate(const SSL *);
int SSL_get_error(const SSL *, int);
long SSL_get_verify_result(const SSL *);
int SSL_read_ex(SSL *, void *, size_t, size_t *);
void SSL_set_connect_state(SSL *);
int SSL_get_fd(const SSL *);
int SSL_set_fd(SSL *, int);
int SSL_set_tlsext_host_name(SSL *, const char *);
int SSL_write_ex(SSL *, const void *, size_t, size_t *);

#endif /* OPENBSD_OPENSSL_SSL_H */
