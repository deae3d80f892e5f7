/*
 * Certificates as they are passed on: any text in that memory, and any lengths
 * of its parts, give certificates or a reason.  The input is a byte that says
 * whether the lengths are true, two lengths, and the texts.
 */
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

#include "bundle.h"
#include "fuzz.h"
#include "memfd.h"

static void
check_bundle(const struct bundle *b, const char *why)
{
	if (b == NULL) {
		FUZZ_ASSERT(fuzz_is_printable(why, strlen(why), false));
		return;
	}
	FUZZ_ASSERT(b->nchain >= 1 && b->nchain <= BUNDLE_CHAIN_MAX);
	FUZZ_ASSERT(b->nca <= BUNDLE_CA_MAX && b->ncrl <= BUNDLE_CRL_MAX);
	FUZZ_ASSERT(b->chain[b->nchain - 1] != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz f = { data, len };
	uint8_t manner = fuzz_u8(&f);
	struct msg_conf_tls conf = { .chain_len = fuzz_u16(&f),
		.ca_len = fuzz_u16(&f) };
	int fd, before = fuzz_next_fd();
	const char *why = NULL;
	struct bundle *b;

	if ((manner & 1) == 0) {
		if (conf.chain_len > f.left)
			conf.chain_len = (uint32_t)f.left;
		if (conf.ca_len > f.left - conf.chain_len)
			conf.ca_len = (uint32_t)f.left - conf.chain_len;
	}
	conf.crl_len = (uint32_t)(f.left - conf.chain_len - conf.ca_len);
	FUZZ_ASSERT((fd = memfd_text("fuzz", f.p, f.left)) != -1);
	b = bundle_read(fd, &conf, &why);
	check_bundle(b, why);
	bundle_free(b);
	fuzz_memory(fuzz_number(data, len));
	bundle_free(bundle_read(fd, &conf, &why));
	fuzz_memory(0);
	close(fd);
	FUZZ_ASSERT(fuzz_next_fd() == before);
	ERR_clear_error();
	return 0;
}
