/*
 * doctor: certificates, and the private key as far as it can be read.  A key
 * is parsed to see whether it fits, and wiped.
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

#define PEM_FILE_MAX (1024 * 1024)
#define DATE_MAX     64
#define NAME_MAX_    256
#define EXPIRES_SOON (30 * 24 * 60 * 60) /* s */
#define RSA_BITS_MIN 2048
#define PROBE_MS     2000
#define ADVISE_NEW   "put a new certificate in its place, then ltpctl reload"
#define ADVISE_PATH  "put a PEM file there, or correct the path"

/* ---- pieces ---- */

/* To be freed; NULL, and the finding says why. */
static BIO *
open_pem(const struct doctor *d, struct finding *f, const char *path)
{
	BIO *bio;

	errno = 0;
	if ((bio = BIO_new_file(path, "r")) != NULL)
		return bio;
	ERR_clear_error();
	if (errno == EACCES && (!d->node.up || geteuid() != d->us))
		finding_warn(f, "run doctor as the user of ltpd",
		    "%s: uid %lu may not read it", path,
		    (unsigned long)geteuid());
	else
		finding_error(f, ADVISE_PATH, "%s: %s", path, strerror(errno));
	return NULL;
}

/* The first certificate of the file; NULL. */
static X509 *
read_cert(const struct doctor *d, struct finding *f, const char *path)
{
	X509 *cert;
	BIO *bio;

	if ((bio = open_pem(d, f, path)) == NULL)
		return NULL;
	cert = PEM_read_bio_X509(bio, NULL, bundle_no_password, NULL);
	BIO_free(bio);
	ERR_clear_error();
	if (cert == NULL)
		finding_error(f, ADVISE_PATH, "%s: no certificate", path);
	return cert;
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
print_subject(X509 *cert, char buf[NAME_MAX_])
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (bio != NULL)
		X509_NAME_print_ex(
		    bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253);
	return take_text(bio, buf, NAME_MAX_);
}

/* ---- what is asked of a certificate ---- */

static void
judge_dates(X509 *cert, struct finding *f, const char *path)
{
	time_t now = time(NULL), soon = now + EXPIRES_SOON;
	char date[DATE_MAX];

	if (X509_cmp_time(X509_get0_notBefore(cert), &now) > 0)
		finding_error(f, ADVISE_NEW, "%s: not valid before %s", path,
		    print_date(X509_get0_notBefore(cert), date));
	print_date(X509_get0_notAfter(cert), date);
	if (X509_cmp_time(X509_get0_notAfter(cert), &now) <= 0)
		finding_error(f, ADVISE_NEW, "%s: expired %s", path, date);
	else if (X509_cmp_time(X509_get0_notAfter(cert), &soon) <= 0)
		finding_warn(f, ADVISE_NEW, "%s: expires within 30 days, %s",
		    path, date);
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

static void
judge_strength(X509 *cert, struct finding *f, const char *path)
{
	EVP_PKEY *key = X509_get0_pubkey(cert);

	if (key != NULL && EVP_PKEY_base_id(key) == EVP_PKEY_RSA &&
	    EVP_PKEY_bits(key) < RSA_BITS_MIN)
		finding_error(f, ADVISE_NEW, "%s: RSA of %d bits is weak", path,
		    EVP_PKEY_bits(key));
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
	char date[DATE_MAX], name[NAME_MAX_];
	X509 *cert;

	if (!doctor_wants_tls(d->conf)) {
		finding_ok(f, "not used");
		return;
	}
	if (path == NULL) {
		finding_error(
		    f, "set distributed.tls.cert_path", "there is none");
		return;
	}
	if ((cert = read_cert(d, f, path)) == NULL)
		return;
	judge_dates(cert, f, path);
	judge_name(cert, f, path);
	judge_strength(cert, f, path);
	if (X509_check_purpose(cert, X509_PURPOSE_SSL_SERVER, 0) != 1)
		finding_error(f, ADVISE_NEW, "%s: not for a TLS server", path);
	judge_served(d, cert, f, path);
	finding_ok(f, "%s: %s, until %s", path, print_subject(cert, name),
	    print_date(X509_get0_notAfter(cert), date));
	X509_free(cert);
}

/* ---- the private key ---- */

static EVP_PKEY *
read_key(const struct doctor *d, struct finding *f, const char *path)
{
	EVP_PKEY *key = NULL;
	size_t len;
	char *text;
	BIO *bio;

	text = doctor_read_secret(d, f, path, PEM_FILE_MAX, &len);
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
	X509 *cert = NULL;
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
		cert = read_cert(d, &of_cert, tls->cert_path);
	if (cert == NULL)
		finding_ok(f, "%s", tls->key_path);
	else if (X509_check_private_key(cert, key) == 1)
		finding_ok(f, "%s: that of the certificate", tls->key_path);
	else
		finding_error(f,
		    "put the pair in place together, then ltpctl reload",
		    "%s: not the key of the certificate", tls->key_path);
	ERR_clear_error();
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* ---- whose clients are let in ---- */

void
doctor_check_client_ca(const struct doctor *d, struct finding *f)
{
	const char *path = d->conf->distributed.tls.client_ca_path;
	unsigned n = 0;
	X509 *cert;
	BIO *bio;

	if (!doctor_wants_tls(d->conf) || path == NULL) {
		finding_ok(f, "not used");
		return;
	}
	if ((bio = open_pem(d, f, path)) == NULL)
		return;
	while ((cert = PEM_read_bio_X509(
		    bio, NULL, bundle_no_password, NULL)) != NULL) {
		judge_dates(cert, f, path);
		if (X509_check_ca(cert) == 0)
			finding_error(f, "put the certificate of a CA there",
			    "%s: not the certificate of a CA", path);
		X509_free(cert);
		n++;
	}
	BIO_free(bio);
	ERR_clear_error();
	if (n == 0)
		finding_error(f, ADVISE_PATH, "%s: no certificate", path);
	finding_ok(f, "%s: %u", path, n);
}

void
doctor_check_client_crl(const struct doctor *d, struct finding *f)
{
	const char *path = d->conf->distributed.tls.client_crl_path;
	const char *renew = "get the new list of the CA";
	time_t now = time(NULL);
	const ASN1_TIME *next;
	char date[DATE_MAX];
	X509_CRL *crl;
	BIO *bio;

	if (!doctor_wants_tls(d->conf) || path == NULL) {
		finding_ok(f, "not used");
		return;
	}
	if ((bio = open_pem(d, f, path)) == NULL)
		return;
	crl = PEM_read_bio_X509_CRL(bio, NULL, bundle_no_password, NULL);
	BIO_free(bio);
	ERR_clear_error();
	if (crl == NULL) {
		finding_error(f, ADVISE_PATH, "%s: no list", path);
		return;
	}
	next = X509_CRL_get0_nextUpdate(crl);
	if (next != NULL && X509_cmp_time(next, &now) <= 0)
		finding_error(f, renew, "%s: was good until %s", path,
		    print_date(next, date));
	else
		finding_ok(f, "%s: good until %s", path,
		    next == NULL ? "ever" : print_date(next, date));
	X509_CRL_free(crl);
}
