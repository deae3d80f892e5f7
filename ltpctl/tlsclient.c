/*
 * TLS for a client.  Nobody is trusted who cannot prove the name that was
 * asked for; there is no way to switch that off.
 */
#include <sys/stat.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bundle.h"
#include "certname.h"
#include "tlsclient.h"

#define HOST_MAX 256

/* RFC 7301: names with their lengths. */
static const unsigned char alpn[] = "\010http/1.1";

static int tlsclient_fail(struct tlsclient *, const char *, ...)
    __attribute__((__format__(printf, 2, 3)));

/* Always -1, with errno. */
static int
tlsclient_fail(struct tlsclient *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->text, sizeof(t->text), fmt, ap);
	va_end(ap);
	ERR_clear_error();
	errno = EPROTO;
	return -1;
}

/* What OpenSSL has to say, which is of fixed texts. */
static const char *
ssl_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	return reason != NULL ? reason : "TLS failed";
}

/* ---- files ---- */

/* A file of a secret, which must not be accessible by others; -1. */
static int
open_key(struct tlsclient *t, const char *path)
{
	struct stat st;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd == -1 || fstat(fd, &st) == -1)
		tlsclient_fail(t, "%s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		tlsclient_fail(t, "%s: not a regular file", path);
	else if (st.st_mode & S_IRWXO)
		tlsclient_fail(t, "%s: mode %04o is too open", path,
		    (unsigned)st.st_mode & 07777);
	else
		return fd;
	if (fd != -1)
		close(fd);
	return -1;
}

static int
use_key(struct tlsclient *t, const char *path)
{
	EVP_PKEY *key = NULL;
	int fd, ok = 0;
	BIO *bio;

	if ((fd = open_key(t, path)) == -1)
		return -1;
	/* It reads without a buffer that would have to be wiped. */
	if ((bio = BIO_new_fd(fd, BIO_CLOSE)) == NULL) {
		close(fd);
		return tlsclient_fail(t, "%s: %s", path, ssl_reason());
	}
	key = PEM_read_bio_PrivateKey(bio, NULL, bundle_no_password, NULL);
	BIO_free(bio);
	if (key == NULL)
		return tlsclient_fail(
		    t, "%s: no private key without a passphrase", path);
	ok = SSL_CTX_use_PrivateKey(t->ctx, key);
	EVP_PKEY_free(key);
	if (ok != 1)
		return tlsclient_fail(
		    t, "%s: not the key of the certificate", path);
	return 0;
}

static int
use_files(struct tlsclient *t, const struct tlsclient_files *files)
{
	int ok;

	if (files->ca != NULL)
		ok = SSL_CTX_load_verify_locations(t->ctx, files->ca, NULL);
	else
		ok = SSL_CTX_set_default_verify_paths(t->ctx);
	if (ok != 1)
		return tlsclient_fail(t, "%s: no certificates of CAs",
		    files->ca != NULL ? files->ca : "the system");
	if (files->cert == NULL)
		return 0;
	if (SSL_CTX_use_certificate_chain_file(t->ctx, files->cert) != 1)
		return tlsclient_fail(t, "%s: no certificate", files->cert);
	return use_key(t, files->key);
}

int
tlsclient_init(struct tlsclient *t, const struct tlsclient_files *files)
{
	memset(t, 0, sizeof(*t));
	if ((t->ctx = SSL_CTX_new(TLS_client_method())) == NULL ||
	    SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_alpn_protos(t->ctx, alpn, sizeof(alpn) - 1) != 0)
		return tlsclient_fail(t, "%s", ssl_reason());
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
#ifdef SSL_OP_IGNORE_UNEXPECTED_EOF
	/* WebSocket has an end of its own, which ping insists on. */
	SSL_CTX_set_options(t->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
#endif
	SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
				     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return use_files(t, files);
}

/* ---- who we are ---- */

void
tlsclient_identity(const struct tlsclient *t, char id[TLSCLIENT_ID_MAX])
{
	X509 *cert = SSL_CTX_get0_certificate(t->ctx);
	char *name = cert == NULL ? NULL : certname(cert);

	strlcpy(id, name == NULL ? "" : name, TLSCLIENT_ID_MAX);
	free(name);
}

/* ---- the connection ---- */

/* The server must have this name, or address. */
static int
expect_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	char name[HOST_MAX];

	if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
		return 0;
	ERR_clear_error();
	X509_VERIFY_PARAM_set_hostflags(
	    param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (strlcpy(name, host, sizeof(name)) >= sizeof(name) ||
	    X509_VERIFY_PARAM_set1_host(param, name, 0) != 1 ||
	    SSL_set_tlsext_host_name(ssl, name) != 1)
		return -1;
	return 0;
}

int
tlsclient_begin(struct tlsclient *t, int fd, const char *host)
{
	if ((t->ssl = SSL_new(t->ctx)) == NULL || SSL_set_fd(t->ssl, fd) != 1 ||
	    expect_host(t->ssl, host) == -1)
		return tlsclient_fail(t, "%s", ssl_reason());
	SSL_set_connect_state(t->ssl);
	return 0;
}

/* What a result that is not good means.  0: the end of the stream, or -1. */
static int
tlsclient_result(struct tlsclient *t, int result)
{
	long verified;

	switch (SSL_get_error(t->ssl, result)) {
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_WANT_READ:
		t->events = POLLIN;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_WANT_WRITE:
		t->events = POLLOUT;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_SYSCALL:
		if (ERR_peek_error() != 0)
			break;
		return errno == 0 ? 0 : -1;
	}
	verified = SSL_get_verify_result(t->ssl);
	if (verified != X509_V_OK)
		return tlsclient_fail(t, "certificate: %s",
		    X509_verify_cert_error_string(verified));
	return tlsclient_fail(t, "TLS: %s", ssl_reason());
}

int
tlsclient_handshake(struct tlsclient *t)
{
	int n;

	ERR_clear_error();
	errno = 0;
	if ((n = SSL_do_handshake(t->ssl)) == 1)
		return 0;
	if (tlsclient_result(t, n) == 0)
		return tlsclient_fail(t, "TLS: closed in the handshake");
	return -1;
}

ssize_t
tlsclient_read(struct tlsclient *t, void *buf, size_t size)
{
	size_t n;
	int r;

	ERR_clear_error();
	errno = 0;
	if ((r = SSL_read_ex(t->ssl, buf, size, &n)) == 1)
		return (ssize_t)n;
	return tlsclient_result(t, r);
}

ssize_t
tlsclient_write(struct tlsclient *t, const void *buf, size_t size)
{
	size_t n;
	int r;

	ERR_clear_error();
	errno = 0;
	if ((r = SSL_write_ex(t->ssl, buf, size, &n)) == 1)
		return (ssize_t)n;
	if (tlsclient_result(t, r) == 0)
		errno = EPIPE;
	return -1;
}

void
tlsclient_free(struct tlsclient *t)
{
	/* The WebSocket close has said that nothing was cut off. */
	SSL_free(t->ssl);
	SSL_CTX_free(t->ctx);
	t->ssl = NULL;
	t->ctx = NULL;
}
