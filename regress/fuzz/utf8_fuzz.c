/*
 * UTF-8: the same verdict as from looking in the plainest way, however the
 * text is cut into pieces, masked or not.  The input is a byte that says how
 * it is cut, a mask, and the text.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "utf8.h"
#include "ws.h"

/* Returns whether all of it is text. */
static bool
check_pieces(const uint8_t *p, size_t len, uint32_t seed)
{
	utf8_state state = 0;
	size_t done, n;
	uint8_t *piece;
	bool good;

	for (done = 0; done < len; done += n) {
		n = fuzz_piece(&seed, len - done);
		FUZZ_ASSERT((piece = malloc(n)) != NULL);
		memcpy(piece, p + done, n);
		good = utf8_check(&state, piece, n);
		free(piece);
		/* What cannot be saved any more stays bad. */
		if (!good) {
			FUZZ_ASSERT(!utf8_check(&state, p, 0));
			return false;
		}
	}
	return state == 0;
}

/* Masked twice in pieces; ASCII is told of exactly. */
static void
check_mask(const uint8_t *p, size_t len, const uint8_t mask[4])
{
	bool ascii = true, begins, ends;
	size_t i, cut = len / 3;
	uint8_t *copy;

	FUZZ_ASSERT((copy = malloc(len)) != NULL);
	if (len > 0)
		memcpy(copy, p, len);
	ws_mask(copy, len, mask, 0);
	for (i = 0; i < len; i++) {
		FUZZ_ASSERT(copy[i] == (p[i] ^ mask[i % 4]));
		ascii = ascii && p[i] < 0x80;
	}
	begins = ws_mask(copy, cut, mask, 0);
	ends = ws_mask(copy + cut, len - cut, mask, cut);
	FUZZ_ASSERT((begins && ends) == ascii);
	FUZZ_ASSERT(len == 0 || memcmp(copy, p, len) == 0);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz f = { data, len };
	uint32_t seed = fuzz_u8(&f);
	uint8_t mask[4];
	bool good;

	fuzz_read(&f, mask, sizeof(mask));
	good = fuzz_is_utf8(f.p, f.left);
	FUZZ_ASSERT(check_pieces(f.p, f.left, 0) == good);
	FUZZ_ASSERT(check_pieces(f.p, f.left, seed + 1) == good);
	check_mask(f.p, f.left, mask);
	return 0;
}
