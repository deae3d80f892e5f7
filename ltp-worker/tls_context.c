/*
 * TLS as we speak it: 1.2 and 1.3, with forward secrecy, without
 * renegotiation, compression and early data.
 */
#include "tls_context.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "bundle.h"
#include "signer.h"

#define TLS_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
#define TLS_GROUPS  "X25519:P-256:P-384"

/*
 * What ltp-sign signs, and what clients may sign with.  LibreSSL has no say
 * in it and offers the same, but for Ed25519.
 */
#define TLS_SIGNATURES                                  \
	"ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:"       \
	"RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:" \
	"RSA+SHA256:RSA+SHA384:RSA+SHA512"
#define TLS_CLIENT_SIGNATURES TLS_SIGNATURES ":ed25519"

#define TLS_OPTIONS                                        \
	(SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | \
	    SSL_OP_CIPHER_SERVER_PREFERENCE |              \
	    SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION)
#define TLS_MODES                                                              \
	(SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | \
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN)

/*
 * Of a client's certificates, which cost much before anything is known of
 * who shows them: bytes, and how many up to one of ours.
 */
#define TLS_CHAIN_MAX 16384
#define TLS_DEPTH_MAX 8

/* Who comes back within this time need not ask ltp-sign again. */
#define TLS_TICKET_SECS 600

/* The dates of certificates take the time zone: a file, at the first use. */
int
tls_library_init(void)
{
	tzset();
	return OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG |
				    OPENSSL_INIT_LOAD_SSL_STRINGS |
				    OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
		   NULL) == 1
		   ? 0
		   : -1;
}

/* The only protocol there is; who wants others only had better know. */
static int
tls_choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *outlen,
    const unsigned char *in, unsigned inlen, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, outlen, ours, sizeof(ours) - 1, in,
		inlen) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* Those of the library have no common subset. */
static int
tls_set_signatures(SSL_CTX *ssl)
{
#ifdef SSL_CTX_set1_sigalgs_list
	/* Not const: the library's macros cast that away. */
	char ours[] = TLS_SIGNATURES, theirs[] = TLS_CLIENT_SIGNATURES;

	if (SSL_CTX_set1_sigalgs_list(ssl, ours) != 1 ||
	    SSL_CTX_set1_client_sigalgs_list(ssl, theirs) != 1)
		return -1;
#else
	(void)ssl;
#endif
	return 0;
}

/*
 * A ticket lets its holder in without its certificate, whatever a CRL says of
 * that by then: so not where certificates prove who it is.
 */
static int
tls_set_tickets(SSL_CTX *ssl, bool mtls)
{
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(ssl, TLS_TICKET_SECS);
	if (mtls)
		SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
	if (SSL_CTX_set_num_tickets(ssl, mtls ? 0 : 1) != 1)
		return -1;
	return SSL_CTX_set_session_id_context(
		   ssl, (const unsigned char *)"ltpd", 4) == 1
		   ? 0
		   : -1;
}

static int
tls_set_protocol(SSL_CTX *ssl, const struct msg_conf_tls *conf)
{
	char groups[] = TLS_GROUPS;

	SSL_CTX_set_options(ssl, TLS_OPTIONS);
#ifdef SSL_OP_CLEANSE_PLAINTEXT
	SSL_CTX_set_options(ssl, SSL_OP_CLEANSE_PLAINTEXT);
#endif
	SSL_CTX_set_mode(ssl, TLS_MODES);
	SSL_CTX_set_security_level(ssl, 2);
	SSL_CTX_set_alpn_select_cb(ssl, tls_choose_protocol, NULL);
	return SSL_CTX_set_min_proto_version(ssl,
		   conf->min_version == TLS1_3_VERSION ? TLS1_3_VERSION
						       : TLS1_2_VERSION) == 1 &&
		       SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) ==
			   1 &&
		       SSL_CTX_set_cipher_list(ssl, TLS_CIPHERS) == 1 &&
		       SSL_CTX_set1_groups_list(ssl, groups) == 1
		   ? tls_set_signatures(ssl)
		   : -1;
}

/* Our certificate, the rest of its chain, and the key that is elsewhere. */
static int
tls_set_certificate(
    SSL_CTX *ssl, const struct bundle *b, struct signer *s, uint32_t pair)
{
	EVP_PKEY *public = X509_get_pubkey(b->chain[0]), *key = NULL;
	size_t i;
	int rv = -1;

	if (public == NULL || (key = signer_key(s, pair, public)) == NULL ||
	    SSL_CTX_use_certificate(ssl, b->chain[0]) != 1 ||
	    SSL_CTX_use_PrivateKey(ssl, key) != 1)
		goto out;
	for (i = 1; i < b->nchain; i++) {
		X509_up_ref(b->chain[i]);
		if (SSL_CTX_add_extra_chain_cert(ssl, b->chain[i]) != 1) {
			X509_free(b->chain[i]);
			goto out;
		}
	}
	rv = 0;
out:
	EVP_PKEY_free(public);
	EVP_PKEY_free(key);
	return rv;
}

/* With a CRL there must be one of every CA of a chain. */
static int
tls_set_clients(SSL_CTX *ssl, const struct bundle *b)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ssl);
	size_t i;

	for (i = 0; i < b->nca; i++) {
		if (X509_STORE_add_cert(store, b->ca[i]) != 1 ||
		    SSL_CTX_add_client_CA(ssl, b->ca[i]) != 1)
			return -1;
	}
	for (i = 0; i < b->ncrl; i++) {
		if (X509_STORE_add_crl(store, b->crl[i]) != 1)
			return -1;
	}
	if (b->ncrl > 0 &&
	    X509_STORE_set_flags(
		store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) != 1)
		return -1;
	SSL_CTX_set_max_cert_list(ssl, TLS_CHAIN_MAX);
	SSL_CTX_set_verify_depth(ssl, TLS_DEPTH_MAX);
	SSL_CTX_set_verify(
	    ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return SSL_CTX_set_purpose(ssl, X509_PURPOSE_SSL_CLIENT) == 1 ? 0 : -1;
}

struct tls_context *
tls_context_new(struct signer *s, int fd, const struct msg_conf_tls *conf,
    bool mtls, const char **why)
{
	struct bundle *b = bundle_read(fd, conf, why);
	struct tls_context *ctx;

	if (b == NULL)
		return NULL;
	*why = "the TLS library refuses it";
	if ((ctx = calloc(1, sizeof(*ctx))) != NULL) {
		ctx->mtls = mtls;
		ctx->ssl = SSL_CTX_new(TLS_server_method());
	}
	if (ctx == NULL || ctx->ssl == NULL ||
	    tls_set_protocol(ctx->ssl, conf) == -1 ||
	    tls_set_tickets(ctx->ssl, mtls) == -1 ||
	    tls_set_certificate(ctx->ssl, b, s, conf->pair) == -1 ||
	    (mtls && tls_set_clients(ctx->ssl, b) == -1)) {
		tls_context_free(ctx);
		ctx = NULL;
	}
	bundle_free(b);
	ERR_clear_error();
	return ctx;
}

void
tls_context_free(struct tls_context *ctx)
{
	if (ctx == NULL)
		return;
	SSL_CTX_free(ctx->ssl);
	free(ctx);
}
