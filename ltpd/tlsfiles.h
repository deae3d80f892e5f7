/*
 * The certificate files of the remote listener, read, and its key file,
 * opened: what ltp-sign judges and what workers are given.
 */
#ifndef TLSFILES_H
#define TLSFILES_H

#include <sys/types.h>
#include <sys/stat.h>

#include <stdbool.h>
#include <stdint.h>

#include "conf.h"
#include "digest.h"
#include "msg.h"
#include "secretfile.h"

#define TLSFILES_TEXT_MAX (1024 * 1024) /* bytes, of each */
#define TLSFILES_KEY_MAX  (64 * 1024)

enum tlsfiles_state {
	TLSFILES_NEW = 0, /* nobody has looked at them */
	TLSFILES_ASKED, /* ltp-sign is looking */
	TLSFILES_GOOD,
	TLSFILES_BAD,
};

struct tlsfiles {
	unsigned refs;
	uint32_t pair; /* number, as ltp-sign knows them; 0: not asked yet */
	enum tlsfiles_state state;
	char why[SIGN_WHY_MAX + 1]; /* they are bad */
	int fd; /* sealed memory with the texts, one behind the other */
	uint32_t chain_len;
	uint32_t ca_len;
	uint32_t crl_len;
	uint8_t digest[DIGEST_SIZE]; /* of the texts */
	int key_fd; /* never read here */
	struct stat key; /* which file it is, and when it was written */
};

#define TLSFILES_ERROR_MAX 512

/*
 * Read what the configuration names.  Symbolic links are followed; each file,
 * and all on the way to it, must be root's or ours, and nobody else's to
 * write; the key file nobody else's to read.  The caller holds one reference.
 * NULL with a text in error.
 */
struct tlsfiles *
tlsfiles_read(const struct conf *, char error[TLSFILES_ERROR_MAX]);
/*
 * What is asked of an open file of certificates, as secretfile_check() has it
 * for secrets.
 */
int
tlsfiles_check(int fd, size_t max, uid_t us, char why[SECRETFILE_ERROR_MAX]);
struct tlsfiles *tlsfiles_ref(struct tlsfiles *);
void tlsfiles_unref(struct tlsfiles *); /* NULL is allowed */
/* The same texts, and the same key file, not written to since. */
bool tlsfiles_equal(const struct tlsfiles *, const struct tlsfiles *);
/* What goes with the descriptor of the texts. */
void tlsfiles_describe(
    const struct tlsfiles *, const struct conf *, struct msg_conf_tls *);

#endif /* TLSFILES_H */
