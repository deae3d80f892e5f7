/*
 * Certificates as the supervisor passes them on: a descriptor of sealed memory
 * with texts in PEM, one behind the other.  ltp-sign looks whether they are
 * good, workers use them.
 */
#ifndef BUNDLE_H
#define BUNDLE_H

#include <stddef.h>

#include <openssl/x509.h>

#include "msg.h"

#define BUNDLE_CHAIN_MAX 16
#define BUNDLE_CA_MAX    256
#define BUNDLE_CRL_MAX   256
#define BUNDLE_SIZE_MAX  (16 * 1024 * 1024) /* bytes of all texts */

struct bundle {
	X509 *chain[BUNDLE_CHAIN_MAX]; /* our certificate first */
	size_t nchain;
	X509 *ca[BUNDLE_CA_MAX]; /* of clients */
	size_t nca;
	X509_CRL *crl[BUNDLE_CRL_MAX];
	size_t ncrl;
};

enum bundle_part {
	BUNDLE_CHAIN = 0,
	BUNDLE_CA,
	BUNDLE_CRL,
};

/*
 * The descriptor stays the caller's.  NULL with *why, a static text about what
 * a person must mend.
 */
struct bundle *
bundle_read(int fd, const struct msg_conf_tls *, const char **why);
/* Add what is in a text.  NULL, or a static text as above. */
const char *
bundle_add(struct bundle *, enum bundle_part, const char *text, size_t len);
/*
 * Can we serve with this chain, as far as it tells?  0, or -1 with a text
 * about what a person must mend.
 */
int bundle_check_chain(const struct bundle *, char why[SIGN_WHY_MAX]);
/* NULL is allowed. */
void bundle_free(struct bundle *);
/* A pem_password_cb(3) for texts that nobody is there to decrypt. */
int bundle_no_password(char *, int, int, void *);

#endif /* BUNDLE_H */
