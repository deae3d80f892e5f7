/*
 * RSA_METHOD and EC_KEY_METHOD, since both libraries have them; OpenSSL 3
 * would rather see a provider.  All that is not a signature of TLS fails here
 * already.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "signer_key.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "signer.h"

/* Who signs for a key; hangs on it. */
struct holder {
	struct signer *signer;
	uint32_t pair;
};

/*
 * Of the library's kind, that is: one for the process, found by the callbacks
 * that get nothing but the key.
 */
static struct {
	RSA_METHOD *rsa;
	EC_KEY_METHOD *ec;
	int rsa_index;
	int ec_index;
} methods = { NULL, NULL, -1, -1 };

/* ---- RSA ---- */

/* What is signed is padded here, and is only a number there. */
static int
signer_rsa_sign(int len, const unsigned char *from, unsigned char *to, RSA *rsa,
    int padding)
{
	const struct holder *h = RSA_get_ex_data(rsa, methods.rsa_index);
	uint8_t block[SIGN_INPUT_MAX];
	int size = RSA_size(rsa);

	if (h == NULL || len < 0 || size > (int)sizeof(block))
		return -1;
	if (padding == RSA_PKCS1_PADDING) {
		if (RSA_padding_add_PKCS1_type_1(block, size, from, len) != 1)
			return -1;
	} else if (padding == RSA_NO_PADDING && len == size) {
		memcpy(block, from, (size_t)len);
	} else {
		return -1;
	}
	if (signer_sign(h->signer, h->pair, SIGN_RSA, block, (size_t)size, to,
		(size_t)size) != (size_t)size)
		return -1;
	return size;
}

static int
signer_rsa_refuse(int len, const unsigned char *from, unsigned char *to,
    RSA *rsa, int padding)
{
	(void)len;
	(void)from;
	(void)to;
	(void)rsa;
	(void)padding;
	return -1;
}

/* Takes the holder. */
static EVP_PKEY *
signer_rsa(struct holder *h, EVP_PKEY *public)
{
	RSA *theirs = EVP_PKEY_get1_RSA(public), *rsa = NULL;
	EVP_PKEY *key = EVP_PKEY_new();

	if (theirs != NULL)
		rsa = RSAPublicKey_dup(theirs);
	RSA_free(theirs);
	if (rsa == NULL || RSA_set_ex_data(rsa, methods.rsa_index, h) != 1)
		free(h);
	else if (key != NULL && RSA_set_method(rsa, methods.rsa) == 1 &&
		 EVP_PKEY_assign_RSA(key, rsa) == 1)
		return key;
	RSA_free(rsa);
	EVP_PKEY_free(key);
	return NULL;
}

/* ---- EC ---- */

static int
signer_ec_sign(int type, const unsigned char *digest, int len,
    unsigned char *sig, unsigned *siglen, const BIGNUM *kinv, const BIGNUM *r,
    EC_KEY *ec)
{
	const struct holder *h = EC_KEY_get_ex_data(ec, methods.ec_index);
	size_t n;

	(void)type;
	(void)kinv;
	(void)r;
	*siglen = 0;
	if (h == NULL || len < 0)
		return 0;
	n = signer_sign(h->signer, h->pair, SIGN_ECDSA, digest, (size_t)len,
	    sig, (size_t)ECDSA_size(ec));
	*siglen = (unsigned)n;
	return n > 0;
}

static EVP_PKEY *
signer_ec(struct holder *h, EVP_PKEY *public)
{
	EC_KEY *theirs = EVP_PKEY_get1_EC_KEY(public), *ec = NULL;
	EVP_PKEY *key = EVP_PKEY_new();

	if (theirs != NULL)
		ec = EC_KEY_dup(theirs);
	EC_KEY_free(theirs);
	if (ec == NULL || EC_KEY_set_ex_data(ec, methods.ec_index, h) != 1)
		free(h);
	else if (key != NULL && EC_KEY_set_method(ec, methods.ec) == 1 &&
		 EVP_PKEY_assign_EC_KEY(key, ec) == 1)
		return key;
	EC_KEY_free(ec);
	EVP_PKEY_free(key);
	return NULL;
}

/* ---- both ---- */

static void
signer_drop_holder(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index,
    long argl, void *argp)
{
	(void)parent;
	(void)ad;
	(void)index;
	(void)argl;
	(void)argp;
	free(ptr);
}

EVP_PKEY *
signer_key(struct signer *s, uint32_t pair, EVP_PKEY *public)
{
	int type = EVP_PKEY_base_id(public);
	struct holder *h;

	if (type != EVP_PKEY_RSA && type != EVP_PKEY_EC)
		return NULL;
	if ((h = calloc(1, sizeof(*h))) == NULL)
		return NULL;
	h->signer = s;
	h->pair = pair;
	return type == EVP_PKEY_RSA ? signer_rsa(h, public)
				    : signer_ec(h, public);
}

static int
signer_rsa_init(void)
{
	methods.rsa_index =
	    RSA_get_ex_new_index(0, NULL, NULL, NULL, signer_drop_holder);
	methods.rsa = RSA_meth_dup(RSA_PKCS1_OpenSSL());
	if (methods.rsa_index == -1 || methods.rsa == NULL)
		return -1;
	return RSA_meth_set1_name(methods.rsa, "ltp-sign") == 1 &&
		       RSA_meth_set_priv_enc(methods.rsa, signer_rsa_sign) ==
			   1 &&
		       RSA_meth_set_priv_dec(methods.rsa, signer_rsa_refuse) ==
			   1
		   ? 0
		   : -1;
}

static int
signer_ec_init(void)
{
	methods.ec_index =
	    EC_KEY_get_ex_new_index(0, NULL, NULL, NULL, signer_drop_holder);
	methods.ec = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
	if (methods.ec_index == -1 || methods.ec == NULL)
		return -1;
	EC_KEY_METHOD_set_sign(methods.ec, signer_ec_sign, NULL, NULL);
	return 0;
}

int
signer_key_init(void)
{
	if (methods.rsa != NULL && methods.ec != NULL)
		return 0;
	return signer_rsa_init() == -1 || signer_ec_init() == -1 ? -1 : 0;
}

void
signer_key_clear(void)
{
	RSA_meth_free(methods.rsa);
	EC_KEY_METHOD_free(methods.ec);
	methods.rsa = NULL;
	methods.ec = NULL;
}
