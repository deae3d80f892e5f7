/*
 * RSA blocks, RFC 8017.  Both paddings can be checked without the message:
 * type 1 is the same but for the digest, and the mask of PSS comes from what
 * is left unmasked.  So a number that somebody chose for another end, such as
 * a secret that was encrypted to the key, passes by no chance worth naming.
 */
#include "block.h"

#include <string.h>

#include <openssl/evp.h>

#define BLOCK_MAX   1024 /* bytes, a modulus of 8192 bits */
#define DIGEST_MAX  64
#define PADDING_MIN 8 /* bytes 0xff, section 9.2 */

#define NITEMS(a)   (sizeof(a) / sizeof((a)[0]))

/* DigestInfo up to the digest, section 9.2, note 1. */
static const struct hash {
	size_t size;
	uint8_t info[19];
	const EVP_MD *(*md)(void);
} hashes[] = {
	{ 32,
	    { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65,
		0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20 },
	    EVP_sha256 },
	{ 48,
	    { 0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65,
		0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30 },
	    EVP_sha384 },
	{ 64,
	    { 0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65,
		0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40 },
	    EVP_sha512 },
};

/* 00 01 ff .. ff 00 DigestInfo */
static bool
block_is_type_1(const uint8_t *em, size_t len, const struct hash *h)
{
	size_t tail = sizeof(h->info) + h->size, i;

	if (len < 3 + PADDING_MIN + tail || em[0] != 0 || em[1] != 1)
		return false;
	for (i = 2; i < len - tail - 1; i++) {
		if (em[i] != 0xff)
			return false;
	}
	return em[i] == 0 && memcmp(em + i + 1, h->info, sizeof(h->info)) == 0;
}

/* out ^= MGF1(seed) */
static bool
block_unmask(
    uint8_t *out, size_t len, const uint8_t *seed, const struct hash *h)
{
	uint8_t in[DIGEST_MAX + 4], digest[DIGEST_MAX];
	uint32_t counter;
	size_t i, done = 0;

	memcpy(in, seed, h->size);
	for (counter = 0; done < len; counter++) {
		in[h->size] = counter >> 24;
		in[h->size + 1] = counter >> 16 & 0xff;
		in[h->size + 2] = counter >> 8 & 0xff;
		in[h->size + 3] = counter & 0xff;
		if (EVP_Digest(in, h->size + 4, digest, NULL, h->md(), NULL) !=
		    1)
			return false;
		for (i = 0; i < h->size && done < len; i++)
			out[done++] ^= digest[i];
	}
	return true;
}

/*
 * maskedDB, H, bc; DB is 00 .. 00 01 salt, and the salt as long as the
 * digest.  em begins with the byte that has its highest bit.
 */
static bool
block_is_pss(
    const uint8_t *em, size_t len, unsigned unused, const struct hash *h)
{
	uint8_t db[BLOCK_MAX];
	size_t dblen, i;

	if (len < 2 * h->size + 2 || em[len - 1] != 0xbc ||
	    em[0] >> (8 - unused) != 0)
		return false;
	dblen = len - h->size - 1;
	memcpy(db, em, dblen);
	if (!block_unmask(db, dblen, em + dblen, h))
		return false;
	db[0] &= 0xff >> unused;
	for (i = 0; i < dblen - h->size - 1; i++) {
		if (db[i] != 0)
			return false;
	}
	return db[i] == 1;
}

bool
block_is_signature(const uint8_t *block, size_t len, unsigned bits)
{
	/* One bit less than the modulus has, so maybe one byte less. */
	size_t emlen = (bits - 1 + 7) / 8, i;
	unsigned unused = (unsigned)(8 * emlen - (bits - 1));
	const uint8_t *em;

	if (len > BLOCK_MAX || len != (bits + 7) / 8)
		return false;
	em = block + (len - emlen);
	for (i = 0; i < NITEMS(hashes); i++) {
		if (block_is_type_1(block, len, &hashes[i]))
			return true;
		if ((emlen == len || block[0] == 0) &&
		    block_is_pss(em, emlen, unused, &hashes[i]))
			return true;
	}
	return false;
}
