/*
 * What signatures cost this host: processor time of one over 64 bytes, which
 * is what an audit line signs, through the same library.  Prints nanoseconds.
 */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

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

/* ---- keys ---- */

static EVP_PKEY *
make_ed25519(void)
{
	uint8_t seed[32];

	memset(seed, 7, sizeof(seed));
	return EVP_PKEY_new_raw_private_key(
	    EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
}

static EVP_PKEY *
make_ecdsa(void)
{
	return EVP_EC_gen("P-256");
}

static EVP_PKEY *
make_rsa(void)
{
	return EVP_RSA_gen(2048);
}

static const struct kind {
	const char *name;
	EVP_PKEY *(*make)(void);
	const EVP_MD *(*digest)(void); /* NULL: its own */
} kinds[] = {
	{ "ed25519", make_ed25519, NULL },
	{ "ecdsa", make_ecdsa, EVP_sha256 },
	{ "rsa", make_rsa, EVP_sha256 },
};

/* ---- signatures ---- */

static void
sign(const struct kind *k, EVP_PKEY *key, const uint8_t text[64])
{
	uint8_t signature[256];
	size_t len = sizeof(signature);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (ctx == NULL ||
	    EVP_DigestSignInit(ctx, NULL,
		k->digest == NULL ? NULL : k->digest(), NULL, key) != 1 ||
	    EVP_DigestSign(ctx, signature, &len, text, 64) != 1)
		errx(1, "cannot sign");
	EVP_MD_CTX_free(ctx);
}

static uint64_t
measure(const struct kind *k)
{
	uint64_t begin, count = 0, ns;
	EVP_PKEY *key = k->make();
	uint8_t text[64];

	if (key == NULL)
		errx(1, "no %s here", k->name);
	memset(text, 'a', sizeof(text));
	sign(k, key, text);
	begin = used();
	do {
		sign(k, key, text);
		count++;
	} while ((ns = used() - begin) < SECOND / 2);
	EVP_PKEY_free(key);
	return ns / count;
}

int
main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "ed25519";
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(name, kinds[i].name) == 0) {
			printf(
			    "%llu\n", (unsigned long long)measure(&kinds[i]));
			return 0;
		}
	}
	errx(2, "usage: signcost [ed25519 | ecdsa | rsa]");
}
