/*
 * Certificates in PEM.
 */
#include "bundle.h"

#include <sys/mman.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "memfd.h"

/* A text, and what to say of it. */
struct part {
	const char *text;
	size_t len;
	const char *empty;
	const char *many;
	const char *bad;
};

int
bundle_no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

/* Did reading stop because there is nothing left to read? */
static bool
bundle_at_end(void)
{
	unsigned long e = ERR_peek_last_error();

	ERR_clear_error();
	return ERR_GET_LIB(e) == ERR_LIB_PEM &&
	       ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

static const char *
bundle_verdict(const struct part *part, size_t n, bool full)
{
	bool end = bundle_at_end();

	if (full)
		return part->many;
	if (!end)
		return part->bad;
	return n == 0 ? part->empty : NULL;
}

/* NULL, or what is wrong. */
static const char *
bundle_certificates(const struct part *part, X509 **out, size_t max, size_t *n)
{
	BIO *bio = BIO_new_mem_buf(part->text, (int)part->len);
	X509 *x = NULL;

	ERR_clear_error();
	if (bio == NULL)
		return "out of memory";
	while ((x = PEM_read_bio_X509(bio, NULL, bundle_no_password, NULL)) !=
		   NULL &&
	       *n < max)
		out[(*n)++] = x;
	BIO_free(bio);
	X509_free(x);
	return bundle_verdict(part, *n, x != NULL);
}

static const char *
bundle_lists(const struct part *part, X509_CRL **out, size_t max, size_t *n)
{
	BIO *bio = BIO_new_mem_buf(part->text, (int)part->len);
	X509_CRL *x = NULL;

	ERR_clear_error();
	if (bio == NULL)
		return "out of memory";
	while ((x = PEM_read_bio_X509_CRL(
		    bio, NULL, bundle_no_password, NULL)) != NULL &&
	       *n < max)
		out[(*n)++] = x;
	BIO_free(bio);
	X509_CRL_free(x);
	return bundle_verdict(part, *n, x != NULL);
}

/*
 * Some keep both in one file, but this text goes to processes that hear
 * strangers.
 */
static bool
bundle_has_key(const char *text, size_t len)
{
	static const char mark[] = "PRIVATE KEY-----";

	return memmem(text, len, mark, sizeof(mark) - 1) != NULL;
}

static const char *
bundle_parse(
    struct bundle *b, const char *text, const struct msg_conf_tls *conf)
{
	const struct part chain = { text, conf->chain_len,
		"the certificate file holds no certificate in PEM",
		"the certificate file holds too many certificates",
		"the certificate file is damaged" };
	const struct part ca = { text + conf->chain_len, conf->ca_len,
		"the file of the clients' CAs holds no certificate in PEM",
		"the file of the clients' CAs holds too many certificates",
		"the file of the clients' CAs is damaged" };
	const struct part crl = { ca.text + conf->ca_len, conf->crl_len,
		"the CRL file holds no CRL in PEM",
		"the CRL file holds too many CRLs", "the CRL file is damaged" };
	const char *why;

	if (bundle_has_key(
		text, chain.len + (size_t)conf->ca_len + conf->crl_len))
		return "a private key is in the file of certificates: it "
		       "belongs into a file of its own";
	why =
	    bundle_certificates(&chain, b->chain, BUNDLE_CHAIN_MAX, &b->nchain);
	if (why == NULL && ca.len > 0)
		why = bundle_certificates(&ca, b->ca, BUNDLE_CA_MAX, &b->nca);
	if (why == NULL && crl.len > 0)
		why = bundle_lists(&crl, b->crl, BUNDLE_CRL_MAX, &b->ncrl);
	return why;
}

/*
 * Mapped, since all who have this descriptor share one place in it to read
 * from.
 */
struct bundle *
bundle_read(int fd, const struct msg_conf_tls *conf, const char **why)
{
	uint64_t size =
	    (uint64_t)conf->chain_len + conf->ca_len + conf->crl_len;
	struct bundle *b;
	char *text;

	*why = "the certificate file is empty";
	if (conf->chain_len == 0)
		return NULL;
	*why = "the certificate files are too long";
	if (size > BUNDLE_SIZE_MAX)
		return NULL;
	*why = "the certificates cannot be read";
	if (!memfd_check(fd, (size_t)size))
		return NULL;
	text = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
	if (text == MAP_FAILED)
		return NULL;
	*why = "out of memory";
	if ((b = calloc(1, sizeof(*b))) != NULL &&
	    (*why = bundle_parse(b, text, conf)) != NULL) {
		bundle_free(b);
		b = NULL;
	}
	munmap(text, (size_t)size);
	return b;
}

void
bundle_free(struct bundle *b)
{
	size_t i;

	if (b == NULL)
		return;
	for (i = 0; i < b->nchain; i++)
		X509_free(b->chain[i]);
	for (i = 0; i < b->nca; i++)
		X509_free(b->ca[i]);
	for (i = 0; i < b->ncrl; i++)
		X509_CRL_free(b->crl[i]);
	free(b);
}
