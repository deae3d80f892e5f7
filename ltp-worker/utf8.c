/*
 * UTF-8, checked piece by piece.  Most of what comes is ASCII, so words of
 * it are passed over; the rest goes through a state that says which bytes
 * may come next: that rules out surrogates, overlong forms and what lies
 * beyond U+10FFFF at the second byte, without decoding anything.
 */
#include <string.h>

#include "utf8.h"

/*
 * `more' bytes are missing, the next of them within lo and hi.  A good state
 * is never UTF8_BAD, after which no byte may come.
 */
#define UTF8_STATE(more, lo, hi) ((utf8_state)(more) << 16 | (lo) << 8 | (hi))
#define UTF8_MORE(s)             ((s) >> 16)
#define UTF8_LO(s)               ((uint8_t)((s) >> 8))
#define UTF8_HI(s)               ((uint8_t)(s))
#define UTF8_BAD                 UTF8_STATE(255, 1, 0)

/* The bits that ASCII lacks. */
#define ASCII_WORD 0x8080808080808080ULL

static const uint8_t *
utf8_skip_ascii(const uint8_t *p, const uint8_t *end)
{
	uint64_t w[4];

	while ((size_t)(end - p) >= sizeof(w)) {
		memcpy(w, p, sizeof(w));
		if (((w[0] | w[1] | w[2] | w[3]) & ASCII_WORD) != 0)
			break;
		p += sizeof(w);
	}
	while ((size_t)(end - p) >= sizeof(w[0])) {
		memcpy(w, p, sizeof(w[0]));
		if ((w[0] & ASCII_WORD) != 0)
			break;
		p += sizeof(w[0]);
	}
	while (p < end && *p < 0x80)
		p++;
	return p;
}

/* The state after the first byte of a character that is not ASCII. */
static utf8_state
utf8_first(uint8_t c)
{
	if (c < 0xc2 || c > 0xf4)
		return UTF8_BAD;
	if (c < 0xe0)
		return UTF8_STATE(1, 0x80, 0xbf);
	switch (c) {
	case 0xe0: /* shorter forms exist below U+0800 */
		return UTF8_STATE(2, 0xa0, 0xbf);
	case 0xed: /* surrogates */
		return UTF8_STATE(2, 0x80, 0x9f);
	case 0xf0: /* shorter forms exist below U+10000 */
		return UTF8_STATE(3, 0x90, 0xbf);
	case 0xf4: /* beyond U+10FFFF */
		return UTF8_STATE(3, 0x80, 0x8f);
	default:
		return UTF8_STATE(c < 0xf0 ? 2 : 3, 0x80, 0xbf);
	}
}

bool
utf8_check(utf8_state *state, const uint8_t *p, size_t len)
{
	const uint8_t *end;
	utf8_state s = *state;

	if (len == 0)
		return s != UTF8_BAD;
	for (end = p + len; p < end; p++) {
		if (s == 0) {
			if (*p < 0x80 && (p = utf8_skip_ascii(p, end)) == end)
				break;
			s = utf8_first(*p);
		} else if (*p < UTF8_LO(s) || *p > UTF8_HI(s))
			s = UTF8_BAD;
		else if (UTF8_MORE(s) > 1)
			s = UTF8_STATE(UTF8_MORE(s) - 1, 0x80, 0xbf);
		else
			s = 0;
		if (s == UTF8_BAD)
			break;
	}
	*state = s;
	return s != UTF8_BAD;
}
