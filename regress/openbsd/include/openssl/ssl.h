/* TLS of LibreSSL. */
#ifndef OPENBSD_OPENSSL_SSL_H
#define OPENBSD_OPENSSL_SSL_H

#include <openssl/crypto.h>
#include <openssl/x509.h>

#include <stddef.h>
#include <stdint.h>

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_method_st SSL_METHOD;
typedef struct ssl_st SSL;
typedef struct x509_store_ctx_st X509_STORE_CTX;

#define TLS1_2_VERSION                                0x0303
#define TLS1_3_VERSION                                0x0304
#define SSL_VERIFY_PEER                               0x01
#define SSL_VERIFY_FAIL_IF_NO_PEER_CERT               0x02
#define SSL_MODE_ENABLE_PARTIAL_WRITE                 0x1L
#define SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER           0x2L
#define SSL_MODE_NO_AUTO_CHAIN                        0x8L
#define SSL_MODE_RELEASE_BUFFERS                      0x10L

#define SSL_OP_NO_COMPRESSION                         0
#define SSL_OP_NO_TICKET                              0x4000L
#define SSL_OP_CIPHER_SERVER_PREFERENCE               0x400000L
#define SSL_OP_NO_RENEGOTIATION                       0x40000000L
#define SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION 0

#define SSL_SESS_CACHE_OFF                            0x0000
#define SSL_TLSEXT_ERR_OK                             0
#define SSL_TLSEXT_ERR_ALERT_FATAL                    2
#define OPENSSL_NPN_NEGOTIATED                        1
#define OPENSSL_INIT_LOAD_SSL_STRINGS                 0x00200000L
#define SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE       199

#define SSL3_RT_ALERT                                 21
#define SSL3_RT_HANDSHAKE                             22

#define SSL_ERROR_WANT_READ                           2
#define SSL_ERROR_WANT_WRITE                          3
#define SSL_ERROR_SYSCALL                             5
#define SSL_ERROR_ZERO_RETURN                         6

typedef int (*ssl_alpn_choose)(SSL *, const unsigned char **, unsigned char *,
    const unsigned char *, unsigned int, void *);
typedef void (*ssl_msg_hear)(
    int, int, int, const void *, size_t, SSL *, void *);

int OPENSSL_init_ssl(uint64_t, const void *);
X509 *X509_STORE_CTX_get0_cert(X509_STORE_CTX *);
const SSL_METHOD *TLS_client_method(void);
const SSL_METHOD *TLS_server_method(void);
SSL_CTX *SSL_CTX_new(const SSL_METHOD *);
void SSL_CTX_free(SSL_CTX *);
X509 *SSL_CTX_get0_certificate(const SSL_CTX *);
int SSL_CTX_load_verify_locations(SSL_CTX *, const char *, const char *);
int SSL_CTX_set_alpn_protos(SSL_CTX *, const unsigned char *, unsigned int);
int SSL_CTX_set_default_verify_paths(SSL_CTX *);
int SSL_CTX_set_min_proto_version(SSL_CTX *, uint16_t);
long SSL_CTX_set_mode(SSL_CTX *, long);
int SSL_CTX_set_max_proto_version(SSL_CTX *, uint16_t);
int SSL_CTX_set1_groups_list(SSL_CTX *, const char *);
int SSL_CTX_set_cipher_list(SSL_CTX *, const char *);
long SSL_CTX_set_max_cert_list(SSL_CTX *, long);
void SSL_CTX_set_verify_depth(SSL_CTX *, int);
int SSL_CTX_set_num_tickets(SSL_CTX *, size_t);
int SSL_CTX_set_purpose(SSL_CTX *, int);
int
SSL_CTX_set_session_id_context(SSL_CTX *, const unsigned char *, unsigned int);
long SSL_CTX_set_options(SSL_CTX *, long);
long SSL_CTX_set_session_cache_mode(SSL_CTX *, long);
long SSL_CTX_set_timeout(SSL_CTX *, long);
void SSL_CTX_set_alpn_select_cb(SSL_CTX *, ssl_alpn_choose, void *);
void SSL_CTX_set_security_level(SSL_CTX *, int);
long SSL_CTX_add_extra_chain_cert(SSL_CTX *, X509 *);
int SSL_CTX_add_client_CA(SSL_CTX *, X509 *);
X509_STORE *SSL_CTX_get_cert_store(const SSL_CTX *);
int SSL_CTX_use_certificate(SSL_CTX *, X509 *);
int SSL_select_next_proto(unsigned char **, unsigned char *,
    const unsigned char *, unsigned int, const unsigned char *, unsigned int);
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
int SSL_is_init_finished(const SSL *);
int SSL_pending(const SSL *);
int SSL_read(SSL *, void *, int);
int SSL_shutdown(SSL *);
int SSL_write(SSL *, const void *, int);
void SSL_set_accept_state(SSL *);
void SSL_set_bio(SSL *, BIO *, BIO *);
void SSL_set_msg_callback(SSL *, ssl_msg_hear);
void SSL_set_msg_callback_arg(SSL *, void *);
void SSL_set_connect_state(SSL *);
int SSL_get_fd(const SSL *);
int SSL_set_fd(SSL *, int);
int SSL_set_tlsext_host_name(SSL *, const char *);
int SSL_write_ex(SSL *, const void *, size_t, size_t *);

#endif /* OPENBSD_OPENSSL_SSL_H */
