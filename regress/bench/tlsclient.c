/*
 * TLS for the load generator.  The server's certificate is compared with the
 * one that it must be, which costs less than to follow its chain: the
 * generator is not what is measured.
 */
#include "tlsclient.h"

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

struct tlsclient {
	SSL_CTX *ctx;
	X509 *certificate; /* NULL: any */
	SSL_SESSION *ticket; /* the last one that came */
	uint64_t full, resumed;
};

static void __attribute__((noreturn)) tlsclient_die(const char *what)
{
	unsigned long e = ERR_get_error();
	const char *why = e == 0 ? NULL : ERR_reason_error_string(e);

	errx(1, "%s: %s", what, why == NULL ? "connection lost" : why);
}

/* ---- the beginning ---- */

/* One more ticket; with 1 we keep it. */
static int
tlsclient_ticket(SSL *ssl, SSL_SESSION *session)
{
	struct tlsclient *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	SSL_SESSION_free(t->ticket);
	t->ticket = session;
	return 1;
}

static X509 *
tlsclient_certificate(const char *path)
{
	FILE *f = fopen(path, "r");
	X509 *x;

	if (f == NULL)
		err(2, "%s", path);
	if ((x = PEM_read_X509(f, NULL, NULL, NULL)) == NULL)
		errx(2, "%s: no certificate", path);
	fclose(f);
	return x;
}

struct tlsclient *
tlsclient_new(const char *version, const char *certificate, bool resume)
{
	int number =
	    strcmp(version, "1.3") == 0 ? TLS1_3_VERSION : TLS1_2_VERSION;
	int groups[] = { NID_X25519, NID_X9_62_prime256v1 };
	struct tlsclient *t;

	if (number == TLS1_2_VERSION && strcmp(version, "1.2") != 0)
		errx(2, "%s: no such version of TLS", version);
	if ((t = calloc(1, sizeof(*t))) == NULL)
		err(1, NULL);
	/* The library writes without MSG_NOSIGNAL. */
	signal(SIGPIPE, SIG_IGN);
	if (certificate != NULL)
		t->certificate = tlsclient_certificate(certificate);
	if ((t->ctx = SSL_CTX_new(TLS_client_method())) == NULL ||
	    SSL_CTX_set_min_proto_version(t->ctx, number) != 1 ||
	    SSL_CTX_set_max_proto_version(t->ctx, number) != 1 ||
	    SSL_CTX_set1_groups(t->ctx, groups, 2) != 1)
		tlsclient_die("TLS");
	SSL_CTX_set_app_data(t->ctx, t);
	SSL_CTX_set_read_ahead(t->ctx, 1);
	SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
				     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (resume) {
		SSL_CTX_set_session_cache_mode(
		    t->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(t->ctx, tlsclient_ticket);
	}
	return t;
}

/* A copy, since the library lets nobody use a session of TLS 1.3 twice. */
static void
tlsclient_offer(struct tlsclient *t, SSL *ssl)
{
	SSL_SESSION *session = SSL_SESSION_dup(t->ticket);

	if (session == NULL || SSL_set_session(ssl, session) != 1)
		tlsclient_die("ticket");
	SSL_SESSION_free(session);
	SSL_set_app_data(ssl, t);
}

SSL *
tlsclient_open(struct tlsclient *t, int fd)
{
	SSL *ssl = SSL_new(t->ctx);

	if (ssl == NULL || SSL_set_fd(ssl, fd) != 1)
		tlsclient_die("TLS");
	if (t->ticket != NULL)
		tlsclient_offer(t, ssl);
	SSL_set_connect_state(ssl);
	return ssl;
}

/* The library would not resume a session that ended without a word. */
void
tlsclient_free(SSL *ssl)
{
	if (ssl != NULL)
		SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN);
	SSL_free(ssl);
}

/* ---- the handshake ---- */

static void
tlsclient_check(struct tlsclient *t, SSL *ssl)
{
	X509 *shown;

	if (SSL_session_reused(ssl)) {
		t->resumed++;
		return;
	}
	t->full++;
	if (SSL_get_app_data(ssl) != NULL)
		errx(1, "TLS: a ticket was not taken");
	if (t->certificate == NULL)
		return;
	shown = SSL_get1_peer_certificate(ssl);
	if (shown == NULL || X509_cmp(shown, t->certificate) != 0)
		errx(1, "TLS: another certificate");
	X509_free(shown);
}

bool
tlsclient_handshake(struct tlsclient *t, SSL *ssl, bool *writes)
{
	int n, error;

	ERR_clear_error();
	if ((n = SSL_do_handshake(ssl)) == 1) {
		tlsclient_check(t, ssl);
		return true;
	}
	error = SSL_get_error(ssl, n);
	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		tlsclient_die("TLS handshake");
	*writes = error == SSL_ERROR_WANT_WRITE;
	return false;
}

/* ---- bytes ---- */

ssize_t
tlsclient_write(SSL *ssl, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	size_t done = 0;
	int n = 1, error;

	ERR_clear_error();
	while (
	    done < len && (n = SSL_write(ssl, p + done, (int)(len - done))) > 0)
		done += (size_t)n;
	if (n > 0)
		return (ssize_t)done;
	error = SSL_get_error(ssl, n);
	if (error != SSL_ERROR_WANT_WRITE)
		tlsclient_die("TLS write");
	errno = EAGAIN;
	return done > 0 ? (ssize_t)done : -1;
}

/* All that has come, of any number of records. */
ssize_t
tlsclient_read(SSL *ssl, void *bytes, size_t size)
{
	uint8_t *p = bytes;
	size_t done = 0;
	int n, error;

	ERR_clear_error();
	do {
		n = SSL_read(ssl, p + done, (int)(size - done));
		if (n > 0)
			done += (size_t)n;
	} while (n > 0 && done < size && SSL_has_pending(ssl));
	if (done > 0)
		return (ssize_t)done;
	error = SSL_get_error(ssl, n);
	if (error == SSL_ERROR_WANT_READ) {
		errno = EAGAIN;
		return -1;
	}
	if (error == SSL_ERROR_ZERO_RETURN)
		return 0;
	tlsclient_die("TLS read");
}

uint64_t
tlsclient_full(const struct tlsclient *t)
{
	return t->full;
}

uint64_t
tlsclient_resumed(const struct tlsclient *t)
{
	return t->resumed;
}
