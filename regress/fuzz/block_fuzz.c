/*
 * What ltp-sign puts an RSA key to.  A block that the library has padded for a
 * signature is one, with any digest and salt, and with one bit changed
 * anywhere else it is none.  The input is a byte that says which padding, the
 * bits of a key, the bit to change, and a digest; or the block itself.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include <string.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "block.h"
#include "fuzz.h"

#define SIZE_MAX_BYTES 1024

enum manner {
	RAW = 0,
	TYPE_1,
	PSS,
	MANNERS
};

static const struct hash {
	int nid;
	const EVP_MD *(*md)(void);
	size_t size;
} hashes[] = {
	{ NID_sha256, EVP_sha256, 32 },
	{ NID_sha384, EVP_sha384, 48 },
	{ NID_sha512, EVP_sha512, 64 },
};

struct padded {
	uint8_t block[SIZE_MAX_BYTES];
	size_t len;
	unsigned bits;
	size_t free_at; /* of the bytes that may be anything */
	size_t free_len;
};

/* No key, but as long as one. */
static RSA *
key_of(unsigned bits)
{
	BIGNUM *n = BN_new(), *e = BN_new();
	RSA *rsa = RSA_new();

	FUZZ_ASSERT(n != NULL && e != NULL && rsa != NULL);
	FUZZ_ASSERT(BN_set_bit(n, (int)bits - 1) == 1);
	FUZZ_ASSERT(BN_set_bit(n, 0) == 1 && BN_set_word(e, 65537) == 1);
	FUZZ_ASSERT(RSA_set0_key(rsa, n, e, NULL) == 1);
	return rsa;
}

static void
pad_pss(struct padded *p, const struct hash *h, const uint8_t *digest)
{
	RSA *rsa = key_of(p->bits);

	FUZZ_ASSERT(RSA_padding_add_PKCS1_PSS_mgf1(rsa, p->block, digest,
			h->md(), h->md(), RSA_PSS_SALTLEN_DIGEST) == 1);
	RSA_free(rsa);
	p->free_len = h->size;
	p->free_at = p->len - 1 - 2 * h->size;
}

static void
pad_type_1(struct padded *p, const struct hash *h, const uint8_t *digest)
{
	/* Its end; the rest of DigestInfo is the same for all. */
	static const uint8_t oid[] = { 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65,
		0x03, 0x04, 0x02 };
	uint8_t info[19 + 64] = { 0x30, (uint8_t)(17 + h->size), 0x30, 0x0d };
	size_t n = 4;

	memcpy(info + n, oid, sizeof(oid));
	n += sizeof(oid);
	info[n++] = h->nid == NID_sha256 ? 1 : h->nid == NID_sha384 ? 2 : 3;
	info[n++] = 0x05;
	info[n++] = 0;
	info[n++] = 0x04;
	info[n++] = (uint8_t)h->size;
	memcpy(info + n, digest, h->size);
	n += h->size;
	FUZZ_ASSERT(RSA_padding_add_PKCS1_type_1(
			p->block, (int)p->len, info, (int)n) == 1);
	p->free_len = h->size;
	p->free_at = p->len - h->size;
}

static void
check_padded(struct fuzz *f, enum manner manner, struct padded *p)
{
	const struct hash *h = &hashes[fuzz_u8(f) % 3];
	size_t at = fuzz_u16(f) % p->len;
	uint8_t bit = (uint8_t)(1 << fuzz_u8(f) % 8), digest[64];
	bool free;

	fuzz_read(f, digest, sizeof(digest));
	if (manner == PSS)
		pad_pss(p, h, digest);
	else
		pad_type_1(p, h, digest);
	FUZZ_ASSERT(block_is_signature(p->block, p->len, p->bits));
	free = at >= p->free_at && at < p->free_at + p->free_len;
	p->block[at] ^= bit;
	FUZZ_ASSERT(block_is_signature(p->block, p->len, p->bits) == free);
	p->block[at] ^= bit;
	/* Of a key of another size it is none. */
	FUZZ_ASSERT(!block_is_signature(p->block, p->len - 1, p->bits));
	FUZZ_ASSERT(!block_is_signature(p->block, p->len, p->bits + 8));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz f = { data, len };
	enum manner manner = fuzz_u8(&f) % MANNERS;
	struct padded p = { .bits = 2048 + fuzz_u16(&f) % (8192 - 2048 + 1) };

	p.len = (p.bits + 7) / 8;
	if (manner == RAW) {
		fuzz_read(&f, p.block, p.len);
		block_is_signature(p.block, p.len, p.bits);
	} else {
		check_padded(&f, manner, &p);
	}
	ERR_clear_error();
	return 0;
}
