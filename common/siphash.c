/*
 * SipHash-1-3: one round for each word, three at the end.  It stands on the
 * path of every message, so the state lives in registers.
 */
#include <endian.h>
#include <string.h>

#include "siphash.h"

#define WORD sizeof(uint64_t)

struct sip {
	uint64_t a, b, c, d;
};

static inline uint64_t
rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline struct sip
sip_round(struct sip v)
{
	v.a += v.b;
	v.c += v.d;
	v.b = rotate(v.b, 13) ^ v.a;
	v.d = rotate(v.d, 16) ^ v.c;
	v.a = rotate(v.a, 32);
	v.c += v.b;
	v.a += v.d;
	v.b = rotate(v.b, 17) ^ v.c;
	v.d = rotate(v.d, 21) ^ v.a;
	v.c = rotate(v.c, 32);
	return v;
}

static inline struct sip
sip_word(struct sip v, uint64_t word)
{
	v.d ^= word;
	v = sip_round(v);
	v.a ^= word;
	return v;
}

uint64_t
siphash(const uint64_t key[2], const void *data, size_t len)
{
	struct sip v = { key[0] ^ UINT64_C(0x736f6d6570736575),
		key[1] ^ UINT64_C(0x646f72616e646f6d),
		key[0] ^ UINT64_C(0x6c7967656e657261),
		key[1] ^ UINT64_C(0x7465646279746573) };
	uint64_t word, last = (uint64_t)len << 56;
	const uint8_t *p = data;
	size_t left;

	for (left = len; left >= WORD; left -= WORD, p += WORD) {
		memcpy(&word, p, WORD);
		v = sip_word(v, le64toh(word));
	}
	while (left-- > 0)
		last |= (uint64_t)p[left] << 8 * left;
	v = sip_word(v, last);
	v.c ^= 0xff;
	v = sip_round(sip_round(sip_round(v)));
	return v.a ^ v.b ^ v.c ^ v.d;
}
