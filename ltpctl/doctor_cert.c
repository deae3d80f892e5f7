/*
 * doctor: certificates, and the private key as far as it can be read.  What
 * ltpd and ltp-sign would refuse is refused by their own rules; what time does
 * is judged here.  A key is parsed to see whether it fits, and wiped.
 */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bundle.h"
#include "doctor.h"
#include "tlsfiles.h"

#define DATE_MAX     64
#define NAME_MAX_    256
#define EXPIRES_SOON (30 * 24 * 60 * 60) /* s */
#define PROBE_MS     2000
#define ADVISE_NEW   "put a new certificate in its place, then ltpctl reload"
#define ADVISE_PATH  "put a PEM file there, or correct the path"
#define ADVISE_LIST  "get the new list of the CA"

/* ---- pieces ---- */

/* To be freed with bundle_free(); NULL, and the finding says why. */
static struct bundle *
read_part(const struct doctor *d, struct finding *f, enum bundle_part part,
    const char *path)
{
	struct bundle *b = NULL;
	const char *why = "out of memory";
	size_t len;
	char *text;

	text = doctor_read(d, f, path, tlsfiles_check, TLSFILES_TEXT_MAX, &len);
	if (text == NULL)
		return NULL;
	if ((b = calloc(1, sizeof(*b))) != NULL)
		why = bundle_add(b, part, text, len);
	/* Some keep their key there, too. */
	freezero(text, len);
	if (why == NULL)
		return b;
	finding_error(f, ADVISE_PATH, "%s: %s", path, why);
	bundle_free(b);
	return NULL;
}

/* Text that OpenSSL writes, one line. */
static char *
take_text(BIO *bio, char *buf, size_t size)
{
	int n = bio == NULL ? -1 : BIO_read(bio, buf, (int)size - 1);

	buf[n > 0 ? n : 0] = '\0';
	BIO_free(bio);
	return buf;
}

static char *
print_date(const ASN1_TIME *t, char buf[DATE_MAX])
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (bio != NULL)
		ASN1_TIME_print(bio, t);
	return take_text(bio, buf, DATE_MAX);
}

static char *
print_name(const X509_NAME *name, char buf[NAME_MAX_])
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (bio != NULL)
		X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
	return take_text(bio, buf, NAME_MAX_);
}

/* ---- what is asked of a certificate ---- */

/* The one of that index in the file. */
static void
judge_dates(X509 *cert, struct finding *f, const char *path, size_t index)
{
	time_t now = time(NULL), soon = now + EXPIRES_SOON;
	char date[DATE_MAX], which[32] = "";

	if (index > 0)
		snprintf(which, sizeof(which), "certificate %zu ", index + 1);
	if (X509_cmp_time(X509_get0_notBefore(cert), &now) > 0)
		finding_error(f, ADVISE_NEW, "%s: %snot valid before %s", path,
		    which, print_date(X509_get0_notBefore(cert), date));
	print_date(X509_get0_notAfter(cert), date);
	if (X509_cmp_time(X509_get0_notAfter(cert), &now) <= 0)
		finding_error(
		    f, ADVISE_NEW, "%s: %sexpired %s", path, which, date);
	else if (X509_cmp_time(X509_get0_notAfter(cert), &soon) <= 0)
		finding_warn(f, ADVISE_NEW, "%s: %sexpires within 30 days, %s",
		    path, which, date);
}

static void
judge_name(X509 *cert, struct finding *f, const char *path)
{
	GENERAL_NAMES *names;

	names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	if (names == NULL)
		finding_warn(f, ADVISE_NEW,
		    "%s: no subjectAltName, clients will not know its name",
		    path);
	GENERAL_NAMES_free(names);
}

/* ---- what the node serves ---- */

/* Where the remote listener is. */
static const char *
remote_address(const struct doctor *d)
{
	const struct nodeview_listener *l;
	const char *scheme = "wss://";

	TAILQ_FOREACH(l, &d->node.listeners, entry) {
		if (strncmp(l->url, scheme, strlen(scheme)) == 0)
			return l->url + strlen(scheme);
	}
	return d->conf->distributed.bind_addr;
}

/* What a handshake is made for. */
struct probe {
	X509 *cert;
	bool asked; /* for a certificate of ours, which we do not have */
};

/*
 * Nothing but the certificate is wanted of that connection, so nothing is
 * verified.  Who is asked for one of its own leaves: going on without would
 * count as a failure to sign in.
 */
static int
probe_seen(X509_STORE_CTX *store, void *arg)
{
	struct probe *p = arg;
	X509 *cert = X509_STORE_CTX_get0_cert(store);

	if (p->cert == NULL && cert != NULL && X509_up_ref(cert) == 1)
		p->cert = cert;
	return p->asked ? 0 : 1;
}

static void
probe_handshake(SSL *ssl, struct monotime deadline)
{
	int fd = SSL_get_fd(ssl), n;
	short events;

	SSL_set_connect_state(ssl);
	while ((n = SSL_do_handshake(ssl)) != 1) {
		switch (SSL_get_error(ssl, n)) {
		case SSL_ERROR_WANT_READ:
			events = POLLIN;
			break;
		case SSL_ERROR_WANT_WRITE:
			events = POLLOUT;
			break;
		default:
			return;
		}
		if (!doctor_wait(fd, events, deadline))
			return;
	}
}

/* The certificate that the node serves, whatever it is; NULL. */
static X509 *
probe(const char *address, bool asked)
{
	struct monotime deadline = monotime_add_ms(monotime_now(), PROBE_MS);
	struct probe p = { .asked = asked };
	SSL_CTX *ctx;
	SSL *ssl = NULL;
	int fd;

	if ((fd = doctor_dial(address, deadline)) == -1)
		return NULL;
	if ((ctx = SSL_CTX_new(TLS_client_method())) != NULL) {
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
		SSL_CTX_set_cert_verify_callback(ctx, probe_seen, &p);
		ssl = SSL_new(ctx);
	}
	if (ssl != NULL && SSL_set_fd(ssl, fd) == 1)
		probe_handshake(ssl, deadline);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	ERR_clear_error();
	close(fd);
	return p.cert;
}

static void
judge_served(
    const struct doctor *d, X509 *cert, struct finding *f, const char *path)
{
	bool asked =
	    (d->conf->distributed.auth_mode & DISTRIBUTED_AUTH_MTLS) != 0;
	const char *address = remote_address(d);
	X509 *served;

	if (!d->node.up)
		return;
	/* The peer may go while we write. */
	signal(SIGPIPE, SIG_IGN);
	if ((served = probe(address, asked)) == NULL)
		finding_error(
		    f, "see the log", "%s: no TLS handshake", address);
	else if (X509_cmp(served, cert) != 0)
		finding_error(f,
		    "ltpctl reload, and see the log if that does not help",
		    "%s: stale, reload needed", path);
	X509_free(served);
}

void
doctor_check_cert(const struct doctor *d, struct finding *f)
{
	const char *path = d->conf->distributed.tls.cert_path;
	char date[DATE_MAX], name[NAME_MAX_], why[SIGN_WHY_MAX];
	struct bundle *b;
	X509 *cert;
	size_t i;

	if (!doctor_wants_tls(d->conf)) {
		finding_ok(f, "not used");
		return;
	}
	if (path == NULL) {
		finding_error(
		    f, "set distributed.tls.cert_path", "there is none");
		return;
	}
	if ((b = read_part(d, f, BUNDLE_CHAIN, path)) == NULL)
		return;
	cert = b->chain[0];
	for (i = 0; i < b->nchain; i++)
		judge_dates(b->chain[i], f, path, i);
	judge_name(cert, f, path);
	if (bundle_check_chain(b, why) == -1)
		finding_error(f, ADVISE_NEW, "%s: %s", path, why);
	if (X509_check_purpose(cert, X509_PURPOSE_SSL_SERVER, 0) != 1)
		finding_error(f, ADVISE_NEW, "%s: not for a TLS server", path);
	judge_served(d, cert, f, path);
	finding_ok(f, "%s: %s, until %s", path,
	    print_name(X509_get_subject_name(cert), name),
	    print_date(X509_get0_notAfter(cert), date));
	bundle_free(b);
}

/* ---- the private key ---- */

static EVP_PKEY *
read_key(const struct doctor *d, struct finding *f, const char *path)
{
	EVP_PKEY *key = NULL;
	size_t len;
	char *text;
	BIO *bio;

	text =
	    doctor_read(d, f, path, secretfile_check, TLSFILES_KEY_MAX, &len);
	if (text == NULL)
		return NULL;
	if ((bio = BIO_new_mem_buf(text, (int)len)) != NULL)
		key = PEM_read_bio_PrivateKey(
		    bio, NULL, bundle_no_password, NULL);
	BIO_free(bio);
	ERR_clear_error();
	freezero(text, len);
	if (key == NULL)
		finding_error(f, ADVISE_PATH,
		    "%s: no private key without a passphrase", path);
	return key;
}

void
doctor_check_cert_key(const struct doctor *d, struct finding *f)
{
	const struct conf_tls *tls = &d->conf->distributed.tls;
	struct finding of_cert = { .status = FINDING_OK };
	struct bundle *b = NULL;
	EVP_PKEY *key;

	if (!doctor_wants_tls(d->conf)) {
		finding_ok(f, "not used");
		return;
	}
	if (tls->key_path == NULL) {
		finding_error(
		    f, "set distributed.tls.key_path", "there is none");
		return;
	}
	if ((key = read_key(d, f, tls->key_path)) == NULL)
		return;
	if (tls->cert_path != NULL)
		b = read_part(d, &of_cert, BUNDLE_CHAIN, tls->cert_path);
	if (b == NULL)
		finding_ok(f, "%s", tls->key_path);
	else if (X509_check_private_key(b->chain[0], key) == 1)
		finding_ok(f, "%s: that of the certificate", tls->key_path);
	else
		finding_error(f,
		    "put the pair in place together, then ltpctl reload",
		    "%s: not the key of the certificate", tls->key_path);
	ERR_clear_error();
	bundle_free(b);
	EVP_PKEY_free(key);
}

/* ---- whose clients are let in ---- */

void
doctor_check_client_ca(const struct doctor *d, struct finding *f)
{
	const char *path = d->conf->distributed.tls.client_ca_path;
	struct bundle *b;
	size_t i;

	if (!doctor_wants_tls(d->conf) || path == NULL) {
		finding_ok(f, "not used");
		return;
	}
	if ((b = read_part(d, f, BUNDLE_CA, path)) == NULL)
		return;
	for (i = 0; i < b->nca; i++) {
		judge_dates(b->ca[i], f, path, i);
		if (X509_check_ca(b->ca[i]) == 0)
			finding_error(f, "put the certificate of a CA there",
			    "%s: not the certificate of a CA", path);
	}
	finding_ok(f, "%s: %zu", path, b->nca);
	bundle_free(b);
}

/* A is earlier than b, which may be NULL. */
static bool
is_earlier(const ASN1_TIME *a, const ASN1_TIME *b)
{
	int days, seconds;

	return b == NULL || (ASN1_TIME_diff(&days, &seconds, a, b) == 1 &&
				(days > 0 || seconds > 0));
}

static void
judge_lists(const struct bundle *b, struct finding *f, const char *path)
{
	const ASN1_TIME *since, *until, *first = NULL;
	time_t now = time(NULL);
	char date[DATE_MAX];
	size_t i;

	for (i = 0; i < b->ncrl; i++) {
		since = X509_CRL_get0_lastUpdate(b->crl[i]);
		until = X509_CRL_get0_nextUpdate(b->crl[i]);
		if (since != NULL && X509_cmp_time(since, &now) > 0)
			finding_error(f, ADVISE_LIST, "%s: not good before %s",
			    path, print_date(since, date));
		if (until != NULL && X509_cmp_time(until, &now) <= 0)
			finding_error(f, ADVISE_LIST, "%s: was good until %s",
			    path, print_date(until, date));
		if (until != NULL && is_earlier(until, first))
			first = until;
	}
	finding_ok(f, "%s: good until %s", path,
	    first == NULL ? "ever" : print_date(first, date));
}

static bool
has_list(const struct bundle *b, X509 *ca)
{
	EVP_PKEY *key = X509_get0_pubkey(ca);
	bool found = false;
	size_t i;

	for (i = 0; i < b->ncrl && key != NULL && !found; i++)
		found = X509_NAME_cmp(X509_CRL_get_issuer(b->crl[i]),
			    X509_get_subject_name(ca)) == 0 &&
			X509_CRL_verify(b->crl[i], key) == 1;
	ERR_clear_error();
	return found;
}

/* With lists there must be one of every CA. */
static void
judge_list_of_each(const struct doctor *d, const struct bundle *b,
    struct finding *f, const char *path)
{
	const char *ca_path = d->conf->distributed.tls.client_ca_path;
	struct finding of_ca = { .status = FINDING_OK };
	struct bundle *cas = NULL;
	char name[NAME_MAX_];
	size_t i;

	if (ca_path != NULL)
		cas = read_part(d, &of_ca, BUNDLE_CA, ca_path);
	for (i = 0; cas != NULL && i < cas->nca; i++) {
		if (!has_list(b, cas->ca[i]))
			finding_error(f, ADVISE_LIST,
			    "%s: no list of %s, whose clients are refused",
			    path,
			    print_name(
				X509_get_subject_name(cas->ca[i]), name));
	}
	bundle_free(cas);
}

void
doctor_check_client_crl(const struct doctor *d, struct finding *f)
{
	const char *path = d->conf->distributed.tls.client_crl_path;
	struct bundle *b;

	if (!doctor_wants_tls(d->conf) || path == NULL) {
		finding_ok(f, "not used");
		return;
	}
	if ((b = read_part(d, f, BUNDLE_CRL, path)) == NULL)
		return;
	judge_lists(b, f, path);
	judge_list_of_each(d, b, f, path);
	bundle_free(b);
}
