/*
 * SHA-256 by way of EVP, in the subset that OpenSSL 3 and LibreSSL share, and
 * random ids.
 */
#include <openssl/evp.h>

#include <stdlib.h>
#include <string.h>

#include "digest.h"

static const char hex_digits[] = "0123456789abcdef";

/* The library reads its configuration at first use. */
int
digest_init(void)
{
	uint8_t digest[DIGEST_SIZE];

	return digest_sha256(digest, "", 0);
}

int
digest_sha256(uint8_t out[DIGEST_SIZE], const void *data, size_t len)
{
	unsigned outlen = 0;

	if (EVP_Digest(data, len, out, &outlen, EVP_sha256(), NULL) != 1)
		return -1;
	return outlen == DIGEST_SIZE ? 0 : -1;
}

char *
digest_hex(char out[DIGEST_HEX_SIZE], const uint8_t in[DIGEST_SIZE])
{
	size_t i;

	for (i = 0; i < DIGEST_SIZE; i++) {
		out[2 * i] = hex_digits[in[i] >> 4];
		out[2 * i + 1] = hex_digits[in[i] & 15];
	}
	out[2 * DIGEST_SIZE] = '\0';
	return out;
}

void
uuid_random(uint8_t out[UUID_SIZE])
{
	/* Unlike RAND_bytes(3) this cannot fail, with no memory either. */
	arc4random_buf(out, UUID_SIZE);
	out[6] = (out[6] & 0x0f) | 0x40;
	out[8] = (out[8] & 0x3f) | 0x80;
}

char *
uuid_print(char out[UUID_TEXT_SIZE], const uint8_t in[UUID_SIZE])
{
	char *p = out;
	size_t i;

	for (i = 0; i < UUID_SIZE; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex_digits[in[i] >> 4];
		*p++ = hex_digits[in[i] & 15];
	}
	*p = '\0';
	return out;
}
