/*
 * The lines of the audit log: how one is made, taken apart, hashed and
 * signed.  ltp-audit makes them, ltpctl makes them again to verify them.  A
 * line is, without blanks:
 *
 *	{"i":0,"timestamp_ms":1,"direction":"in","session_id":"7",
 *	"frame":{..,"env":"0|1|in|7",..},"prev_hash":"..","hash":".."
 *	[,"signature":"..","alg":"ed25519","key_id":".."]}
 */
#ifndef CHAIN_H
#define CHAIN_H

#include <openssl/evp.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msg.h"

#define CHAIN_SEED_SIZE     32 /* bytes of an Ed25519 seed or public key */
#define CHAIN_HASH_LEN      64 /* hex digits, as the next two */
#define CHAIN_SIGNATURE_LEN 128
#define CHAIN_KEY_ID_LEN    16
#define CHAIN_PUBLIC_LEN    64
#define CHAIN_ENV_MAX       (AUDIT_SESSION_MAX + 64)
#define CHAIN_FRAME_MAX     (AUDIT_FRAME_MAX + CHAIN_ENV_MAX)
/* Bytes of a line, with its newline. */
#define CHAIN_LINE_MAX (CHAIN_FRAME_MAX + AUDIT_SESSION_MAX + 640)

/* What the first line has as prev_hash. */
extern const char chain_genesis[CHAIN_HASH_LEN + 1];

/* A line, taken apart: pointers into its text, lengths are fixed or said. */
struct chain_line {
	uint64_t i;
	int64_t timestamp_ms;
	enum audit_direction direction;
	const char *session_id;
	size_t session_id_len;
	const char *frame;
	size_t frame_len;
	const char *prev_hash;
	const char *hash;
	const char *signature; /* NULL: not signed */
	const char *key_id;
};

/* The head of a chain, and what makes it longer. */
struct chain {
	uint64_t next; /* i of the next line */
	char hash[CHAIN_HASH_LEN + 1]; /* of the last line */
	unsigned sign_every; /* 0: no line is signed */
	EVP_PKEY *key; /* NULL: none */
	char key_id[CHAIN_KEY_ID_LEN + 1];
	char public_key[CHAIN_PUBLIC_LEN + 1];
	EVP_MD_CTX *sha256;
	EVP_MD_CTX *signer;
};

/*
 * A chain of no lines.  Everything that the cryptographic library needs is
 * loaded by this call and chain_set_key().  0 or -1.
 */
int chain_init(struct chain *);
/* The key is wiped. */
void chain_free(struct chain *);
/* Sign with this key from now on.  0 or -1, then there is no key. */
int chain_set_key(struct chain *, const uint8_t seed[CHAIN_SEED_SIZE]);
/* Sign no more; the key is wiped. */
void chain_forget_key(struct chain *);
/* As chain_set_key(), but only to verify. */
int chain_set_public(struct chain *, const uint8_t key[CHAIN_SEED_SIZE]);

/*
 * May this record become a line?  Its parts must be what the worker is to
 * send: no control character, so that a line stays a line, and the shape of
 * an object with a gap.
 */
bool chain_accepts(const struct msg_audit_record *, const char *session_id,
    const char *before, const char *after);
/*
 * Make the next line from a record that was accepted, with its newline.
 * Returns its length, 0 when the cryptographic library failed; the chain has
 * not moved then.
 */
size_t chain_append(struct chain *, char out[CHAIN_LINE_MAX],
    const struct msg_audit_record *, const char *session_id, const char *before,
    const char *after);

/* Take a line apart, without its newline; false when it is none. */
bool chain_parse(const char *text, size_t len, struct chain_line *);
/* Make it again from its parts, with a newline.  Returns the length. */
size_t chain_print(char out[CHAIN_LINE_MAX], const struct chain_line *);
/* What its frame must hold: "env":"..", with the comma.  The length. */
size_t chain_print_env(char out[CHAIN_ENV_MAX], const struct chain_line *);
/* Does its frame have the hash that it says?  -1 on failure. */
int chain_check_hash(struct chain *, const struct chain_line *);
/* Is its signature that of the key?  -1 on failure. */
int chain_check_signature(struct chain *, const struct chain_line *);
/* Go on after this line. */
void chain_resume(struct chain *, const struct chain_line *);

/* Lower-case hex digits only.  False when text is not 2 * size of them. */
bool chain_unhex(uint8_t *out, size_t size, const char *text, size_t len);

#endif /* CHAIN_H */
