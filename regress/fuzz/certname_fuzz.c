/*
 * The name that a certificate proves: whatever a CA may have signed, it is a
 * short piece of text or none.  The input is a certificate in DER.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "certname.h"
#include "fuzz.h"
#include "msg.h"

static void
check_name(const char *name)
{
	const uint8_t *p = (const uint8_t *)name;
	size_t len = strlen(name), i;

	FUZZ_ASSERT(len > 0 && len <= LTP_ID_MAX);
	FUZZ_ASSERT(fuzz_is_utf8(p, len));
	for (i = 0; i < len; i++) {
		FUZZ_ASSERT(p[i] >= 0x20 && p[i] != 0x7f);
		FUZZ_ASSERT(p[i] != 0xc2 || p[i + 1] >= 0xa0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const unsigned char *p = data;
	X509 *x = d2i_X509(NULL, &p, (long)len);
	char *name, *again;

	if (x != NULL) {
		if ((name = certname(x)) != NULL)
			check_name(name);
		again = certname(x);
		FUZZ_ASSERT((name == NULL) == (again == NULL));
		FUZZ_ASSERT(name == NULL || strcmp(name, again) == 0);
		free(name);
		free(again);
		/* Without memory it is none. */
		fuzz_memory(fuzz_number(data, len));
		free(certname(x));
		fuzz_memory(0);
	}
	X509_free(x);
	ERR_clear_error();
	return 0;
}
