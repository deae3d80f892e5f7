/*
 * What this host's Ed25519 costs: processor time per signature over 64 bytes,
 * which is what an audit line signs, through the same library.  Prints
 * nanoseconds.
 */
#include <openssl/evp.h>

#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND 1000000000ull

static uint64_t
used(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

static void
sign(EVP_PKEY *key, const uint8_t text[64])
{
	uint8_t signature[64];
	size_t len = sizeof(signature);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (ctx == NULL ||
	    EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1 ||
	    EVP_DigestSign(ctx, signature, &len, text, 64) != 1)
		errx(1, "cannot sign");
	EVP_MD_CTX_free(ctx);
}

int
main(void)
{
	uint8_t seed[32], text[64];
	uint64_t begin, count = 0;
	EVP_PKEY *key;

	memset(seed, 7, sizeof(seed));
	memset(text, 'a', sizeof(text));
	key = EVP_PKEY_new_raw_private_key(
	    EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
	if (key == NULL)
		errx(1, "no Ed25519 here");
	sign(key, text);
	begin = used();
	do {
		sign(key, text);
		count++;
	} while (used() - begin < SECOND / 2);
	printf("%llu\n", (unsigned long long)((used() - begin) / count));
	EVP_PKEY_free(key);
	return 0;
}
