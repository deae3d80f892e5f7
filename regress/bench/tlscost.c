/*
 * What TLS costs this host without sockets and processes: processor time of
 * the server's end of a handshake, and of one heartbeat with its answer,
 * through the library that the node links and with the key at hand.  Prints
 * JSON, nanoseconds.
 */
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define SECOND      1000000000ull
#define MEASURED    (SECOND / 20) /* of the server's time */
#define SLICES      5 /* the best one is what it costs */
#define BUFFER      (1 << 20)
#define MESSAGES    1000 /* at a time; BUFFER holds them */
#define MESSAGE_LEN 182 /* a numbered heartbeat with its frame's header */
#define REPLY_LEN   107

static const struct kind {
	const char *name;
	int version;
	bool rsa;
	bool resumed;
} kinds[] = {
	{ "tls13_ecdsa", TLS1_3_VERSION, false, false },
	{ "tls12_ecdsa", TLS1_2_VERSION, false, false },
	{ "tls13_rsa", TLS1_3_VERSION, true, false },
	{ "tls13_resumed", TLS1_3_VERSION, false, true },
};

/* Two ends of one connection. */
struct ends {
	SSL *server, *client;
	uint64_t ns; /* of the server */
};

static void __attribute__((noreturn)) die(const char *what)
{
	errx(1, "%s: %s", what, ERR_error_string(ERR_get_error(), NULL));
}

static uint64_t
used(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

/* ---- contexts ---- */

static X509 *
make_certificate(EVP_PKEY *key)
{
	X509 *x = X509_new();

	if (x == NULL || X509_set_version(x, 2) != 1 ||
	    X509_gmtime_adj(X509_getm_notBefore(x), 0) == NULL ||
	    X509_gmtime_adj(X509_getm_notAfter(x), 86400) == NULL ||
	    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN",
		MBSTRING_ASC, (const unsigned char *)"bench", -1, -1, 0) != 1 ||
	    X509_set_issuer_name(x, X509_get_subject_name(x)) != 1 ||
	    X509_set_pubkey(x, key) != 1 ||
	    X509_sign(x, key, EVP_sha256()) == 0)
		die("certificate");
	return x;
}

static SSL_CTX *
make_context(const SSL_METHOD *method, const struct kind *k)
{
	int groups[] = { NID_X25519, NID_X9_62_prime256v1 };
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (ctx == NULL ||
	    SSL_CTX_set_min_proto_version(ctx, k->version) != 1 ||
	    SSL_CTX_set_max_proto_version(ctx, k->version) != 1 ||
	    SSL_CTX_set1_groups(ctx, groups, 2) != 1)
		die("context");
	return ctx;
}

static SSL_CTX *
make_server(const struct kind *k)
{
	SSL_CTX *ctx = make_context(TLS_server_method(), k);
	EVP_PKEY *key = k->rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	X509 *x;

	if (key == NULL)
		die("key");
	x = make_certificate(key);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (SSL_CTX_use_certificate(ctx, x) != 1 ||
	    SSL_CTX_use_PrivateKey(ctx, key) != 1 ||
	    SSL_CTX_set_num_tickets(ctx, 1) != 1)
		die("server");
	X509_free(x);
	EVP_PKEY_free(key);
	return ctx;
}

/* ---- connections ---- */

static bool
goes_on(SSL *ssl, int n)
{
	if (n == 1)
		return true;
	if (SSL_get_error(ssl, n) != SSL_ERROR_WANT_READ)
		die("handshake");
	return false;
}

static void
ends_open(struct ends *e, SSL_CTX *server, SSL_CTX *client, SSL_SESSION *ticket)
{
	bool done = false, greeted = false;
	BIO *theirs, *ours;
	uint64_t begin;
	uint8_t byte;

	e->client = SSL_new(client);
	if (e->client == NULL ||
	    BIO_new_bio_pair(&ours, BUFFER, &theirs, BUFFER) != 1)
		die("client");
	SSL_set_bio(e->client, theirs, theirs);
	SSL_set_connect_state(e->client);
	if (ticket != NULL && SSL_set_session(e->client, ticket) != 1)
		die("ticket");
	begin = used();
	if ((e->server = SSL_new(server)) == NULL)
		die("server");
	SSL_set_bio(e->server, ours, ours);
	SSL_set_accept_state(e->server);
	e->ns = used() - begin;
	while (!done || !greeted) {
		greeted = goes_on(e->client, SSL_do_handshake(e->client));
		begin = used();
		done = goes_on(e->server, SSL_do_handshake(e->server));
		e->ns += used() - begin;
	}
	/* The ticket is read as data are. */
	SSL_read(e->client, &byte, 1);
	ERR_clear_error();
}

static void
ends_close(struct ends *e)
{
	uint64_t begin = used();

	SSL_set_shutdown(e->server, SSL_SENT_SHUTDOWN);
	SSL_free(e->server);
	e->ns += used() - begin;
	SSL_set_shutdown(e->client, SSL_SENT_SHUTDOWN);
	SSL_free(e->client);
}

/* ---- measurements ---- */

static SSL_SESSION *
ticket_of(SSL_CTX *server, SSL_CTX *client)
{
	SSL_SESSION *ticket;
	struct ends e;

	ends_open(&e, server, client, NULL);
	if ((ticket = SSL_get1_session(e.client)) == NULL)
		die("ticket");
	ends_close(&e);
	return ticket;
}

static uint64_t
handshake(SSL_CTX *server, SSL_CTX *client, SSL_SESSION *ticket)
{
	uint64_t sum = 0, count;
	struct ends e;

	for (count = 0; sum < MEASURED; count++) {
		ends_open(&e, server, client, ticket);
		if (SSL_session_reused(e.server) != (ticket != NULL))
			errx(1, "it was the other kind of handshake");
		ends_close(&e);
		sum += e.ns;
	}
	return sum / count;
}

static void
write_all(SSL *ssl, int len)
{
	static const uint8_t text[MESSAGE_LEN];
	unsigned i;

	for (i = 0; i < MESSAGES; i++) {
		if (SSL_write(ssl, text, len) != len)
			die("write");
	}
}

static void
read_all(SSL *ssl, int len)
{
	uint8_t text[MESSAGE_LEN];
	unsigned i;

	for (i = 0; i < MESSAGES; i++) {
		if (SSL_read(ssl, text, sizeof(text)) != len)
			die("read");
	}
}

static uint64_t
message(SSL_CTX *server, SSL_CTX *client, SSL_SESSION *ticket)
{
	uint64_t sum = 0, count, begin;
	struct ends e;

	ends_open(&e, server, client, ticket);
	for (count = 0; sum < MEASURED; count += MESSAGES) {
		write_all(e.client, MESSAGE_LEN);
		begin = used();
		read_all(e.server, MESSAGE_LEN);
		write_all(e.server, REPLY_LEN);
		sum += used() - begin;
		read_all(e.client, REPLY_LEN);
	}
	ends_close(&e);
	return sum / count;
}

static uint64_t
best(uint64_t (*measure)(SSL_CTX *, SSL_CTX *, SSL_SESSION *),
    const struct kind *k)
{
	SSL_CTX *server = make_server(k);
	SSL_CTX *client = make_context(TLS_client_method(), k);
	SSL_SESSION *ticket = k->resumed ? ticket_of(server, client) : NULL;
	uint64_t least = UINT64_MAX, ns;
	unsigned i;

	for (i = 0; i < SLICES; i++) {
		if ((ns = measure(server, client, ticket)) < least)
			least = ns;
	}
	SSL_SESSION_free(ticket);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	return least;
}

int
main(void)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		printf("%s\"%s\":{\"handshake_ns\":%llu,\"message_ns\":%llu}",
		    i == 0 ? "{" : ",", kinds[i].name,
		    (unsigned long long)best(handshake, &kinds[i]),
		    (unsigned long long)best(message, &kinds[i]));
	}
	printf("}\n");
	return 0;
}
