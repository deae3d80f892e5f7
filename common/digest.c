/*
 * SHA-256 and random ids.  Not by OpenSSL: what the loader relocates of it is
 * private memory of every process, and nobody who hears strangers should
 * carry so much code for so little.
 */
#include <sys/types.h>

#include <sha2.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"

/* Frames of the transform, and registers that a loader may save below them. */
#define STACK_WIPED (8 * 1024)

static const char hex_digits[] = "0123456789abcdef";

/*
 * A message schedule of 16 words is what the transform works on, and it can
 * be run backwards to the message.
 */
static void __attribute__((__noinline__)) digest_wipe_stack(void)
{
	char below[STACK_WIPED];

	explicit_bzero(below, sizeof(below));
}

void
digest_sha256(uint8_t out[DIGEST_SIZE], const void *data, size_t len)
{
	SHA2_CTX ctx;

	SHA256Init(&ctx);
	SHA256Update(&ctx, data, len);
	SHA256Final(out, &ctx);
	explicit_bzero(&ctx, sizeof(ctx));
	digest_wipe_stack();
}

bool
digest_same(const void *a, const void *b, size_t len)
{
	const uint8_t *p = a, *q = b;
	uint8_t differ = 0;

	for (; len > 0; len--)
		differ |= *p++ ^ *q++;
	return differ == 0;
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
