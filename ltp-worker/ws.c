/*
 * WebSocket frames.  The hot path is a whole message that lies in the input:
 * it is unmasked and checked where it lies, without memory or copies.  Only
 * what was split, by the peer or by the network, goes through struct
 * ws_partial.  Every length here was chosen by a stranger: it is compared
 * with a limit first, and memory grows with the bytes that came, not with
 * those that were promised.
 */
#include <stdlib.h>
#include <string.h>

#include "utf8.h"
#include "word.h"
#include "ws.h"

/* First byte of a header. */
#define WS_FIN      0x80
#define WS_RESERVED 0x70
#define WS_OPCODE   0x0f
#define WS_CONTROL  0x08 /* of the opcode */

/* Second byte. */
#define WS_MASKED     0x80
#define WS_LENGTH     0x7f
#define WS_LENGTH_16  126 /* two more bytes hold it */
#define WS_LENGTH_64  127 /* eight more */

#define WS_MASK_SIZE  4
#define WS_CODE_SIZE  2 /* of a close frame's code */
#define WS_BUFFER_MIN 256 /* first allocation for a message, in bytes */

/* A frame's header, decoded. */
struct ws_head {
	enum ws_opcode opcode;
	bool fin;
	uint8_t mask[WS_MASK_SIZE];
	uint64_t len; /* of the payload */
	size_t size; /* of the header, 0 while bytes of it are missing */
};

enum ws_phase {
	WS_PHASE_HEADER = 0, /* in a header or between frames */
	WS_PHASE_BEGUN, /* WS_BEGIN was told, the size is to be checked */
	WS_PHASE_PAYLOAD,
	WS_PHASE_DONE, /* told, and kept until the next call */
};

struct ws_partial {
	enum ws_phase phase;
	bool open; /* its first frame was seen */
	enum ws_opcode opcode;
	utf8_state utf8;
	unsigned fragments; /* continuation frames so far */
	unsigned empty; /* the last so many frames were empty */
	uint8_t *buf; /* payload so far */
	size_t len;
	size_t size; /* allocated */

	struct ws_head frame; /* the present frame, after its header */
	uint64_t taken; /* bytes of its payload so far */
	size_t head_len;
	uint8_t head[WS_HEADER_MAX];
	uint8_t control[WS_CONTROL_MAX]; /* payload, if it is a control frame */
};

void
ws_init(struct ws *ws, uint32_t max_message, bool client)
{
	memset(ws, 0, sizeof(*ws));
	ws->max_message = max_message;
	ws->max_fragments = WS_FRAGMENTS_MAX;
	ws->client = client;
}

void
ws_clear(struct ws *ws)
{
	struct ws_partial *p = ws->partial;

	ws->partial = NULL;
	ws->begun = false;
	if (p == NULL)
		return;
	freezero(p->buf, p->size);
	freezero(p, sizeof(*p));
}

size_t
ws_memory(const struct ws *ws)
{
	if (ws->partial == NULL)
		return 0;
	return sizeof(*ws->partial) + ws->partial->size;
}

static enum ws_event
ws_fail(struct ws *ws, struct ws_frame *f, uint16_t code, const char *reason)
{
	ws_clear(ws);
	*f = (struct ws_frame){ .code = code, .reason = reason };
	return WS_FAIL;
}

static enum ws_event
ws_fail_text(struct ws *ws, struct ws_frame *f)
{
	return ws_fail(ws, f, WS_INVALID_DATA, "invalid UTF-8");
}

static enum ws_event
ws_fail_memory(struct ws *ws, struct ws_frame *f)
{
	return ws_fail(ws, f, WS_INTERNAL_ERROR, "out of memory");
}

static bool
ws_is_control(const struct ws_head *h)
{
	return (h->opcode & WS_CONTROL) != 0;
}

/*
 * Are the first two bytes of a header legal?  The second may be missing yet.
 * Returns NULL or what is wrong.
 */
static const char *
ws_check_start(const struct ws *ws, bool open, const uint8_t *p, size_t n)
{
	unsigned opcode = p[0] & WS_OPCODE;

	if ((p[0] & WS_RESERVED) != 0)
		return "reserved bits set";
	if (opcode >= WS_OP_CLOSE) {
		if (opcode > WS_OP_PONG)
			return "unknown opcode";
		if ((p[0] & WS_FIN) == 0)
			return "fragmented control frame";
	} else {
		if (opcode > WS_OP_BINARY)
			return "unknown opcode";
		if (!open && opcode == WS_OP_CONTINUATION)
			return "unexpected continuation";
		if (open && opcode != WS_OP_CONTINUATION)
			return "expected continuation";
	}
	if (n < 2)
		return NULL;
	if (((p[1] & WS_MASKED) != 0) == ws->client)
		return ws->client ? "masked frame" : "unmasked frame";
	if (opcode >= WS_OP_CLOSE && (p[1] & WS_LENGTH) > WS_CONTROL_MAX)
		return "control frame too long";
	return NULL;
}

static uint64_t
ws_big_endian(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | *p++;
	return v;
}

/* Decode the header at p.  Returns NULL or what is wrong with it. */
static const char *
ws_decode(const struct ws *ws, bool open, const uint8_t *p, size_t n,
    struct ws_head *h)
{
	const char *wrong;
	size_t size = 2;

	h->size = 0;
	if (n == 0)
		return NULL;
	if ((wrong = ws_check_start(ws, open, p, n)) != NULL || n < 2)
		return wrong;

	h->opcode = p[0] & WS_OPCODE;
	h->fin = (p[0] & WS_FIN) != 0;
	h->len = p[1] & WS_LENGTH;
	if (h->len >= WS_LENGTH_16) {
		size = h->len == WS_LENGTH_16 ? 4 : 10;
		if (n < size)
			return NULL;
		h->len = ws_big_endian(p + 2, size - 2);
		if (h->len < WS_LENGTH_16 || h->len > INT64_MAX ||
		    (size > 4 && h->len <= UINT16_MAX))
			return "bad length encoding";
	}
	if (!ws->client) {
		if (n < size + WS_MASK_SIZE)
			return NULL;
		memcpy(h->mask, p + size, WS_MASK_SIZE);
		size += WS_MASK_SIZE;
	}
	h->size = size;
	return NULL;
}

/* Close codes that may be on the wire. */
static bool
ws_code_legal(unsigned code)
{
	if (code < 1000 || code >= 5000)
		return false;
	if (code >= 3000) /* registered by others, or private */
		return true;
	return code <= 1003 || (code >= 1007 && code <= 1014);
}

/* A whole control frame, unmasked. */
static enum ws_event
ws_control(struct ws *ws, struct ws_frame *f, enum ws_opcode opcode,
    uint8_t *data, size_t len)
{
	utf8_state utf8 = 0;
	uint16_t code = WS_NO_STATUS;

	*f = (struct ws_frame){ .opcode = opcode, .data = data, .len = len };
	if (opcode != WS_OP_CLOSE)
		return opcode == WS_OP_PING ? WS_PING : WS_PONG;
	if (len == 1)
		return ws_fail(ws, f, WS_PROTOCOL_ERROR, "bad close payload");
	if (len >= WS_CODE_SIZE) {
		code = (uint16_t)ws_big_endian(data, WS_CODE_SIZE);
		if (!ws_code_legal(code))
			return ws_fail(
			    ws, f, WS_PROTOCOL_ERROR, "bad close code");
		f->data += WS_CODE_SIZE;
		f->len -= WS_CODE_SIZE;
		if (!utf8_check(&utf8, f->data, f->len) || utf8 != 0)
			return ws_fail_text(ws, f);
	}
	f->code = code;
	return WS_CLOSE;
}

/*
 * The hot path, at a message's boundary.  WS_MORE: the input is untouched
 * and begins with less than a whole message.
 */
static enum ws_event
ws_next_whole(struct ws *ws, uint8_t **in, size_t *len, struct ws_frame *f)
{
	struct ws_head h;
	const char *wrong;
	uint8_t *data;
	utf8_state utf8 = 0;
	bool ascii = false;

	if ((wrong = ws_decode(ws, false, *in, *len, &h)) != NULL)
		return ws_fail(ws, f, WS_PROTOCOL_ERROR, wrong);
	if (h.size == 0)
		return WS_MORE;
	if (!ws_is_control(&h)) {
		if (!ws->begun) {
			ws->begun = true;
			*f = (struct ws_frame){ .opcode = h.opcode };
			return WS_BEGIN;
		}
		if (h.len > ws->max_message)
			return ws_fail(ws, f, WS_TOO_BIG, "message too large");
	}
	if (!h.fin || h.len > *len - h.size)
		return WS_MORE;

	data = *in + h.size;
	*in = data + h.len;
	*len -= h.size + h.len;
	if (!ws->client)
		ascii = ws_mask(data, h.len, h.mask, 0);
	if (ws_is_control(&h))
		return ws_control(ws, f, h.opcode, data, h.len);
	ws->begun = false;
	if (h.opcode == WS_OP_TEXT && !ascii &&
	    (!utf8_check(&utf8, data, h.len) || utf8 != 0))
		return ws_fail_text(ws, f);
	*f =
	    (struct ws_frame){ .opcode = h.opcode, .data = data, .len = h.len };
	return WS_MESSAGE;
}

/*
 * Make room for n more bytes of the message.  A final frame tells how much
 * it can become at most, before that it is the limit.
 */
static int
ws_reserve(const struct ws *ws, size_t n)
{
	struct ws_partial *p = ws->partial;
	size_t need = p->len + n, size, most = ws->max_message;
	uint8_t *buf;

	if (need <= p->size)
		return 0;
	if (p->frame.fin)
		most = p->len + (size_t)(p->frame.len - p->taken);
	size = p->size == 0 ? WS_BUFFER_MIN : 2 * p->size;
	if (size > most)
		size = most;
	if (size < need)
		size = need;
	/* Wipes what it leaves behind, unlike realloc. */
	if ((buf = recallocarray(p->buf, p->size, size, 1)) == NULL)
		return -1;
	p->buf = buf;
	p->size = size;
	return 0;
}

/* The present frame is complete. */
static enum ws_event
ws_end_frame(struct ws *ws, struct ws_frame *f)
{
	struct ws_partial *p = ws->partial;

	p->phase = WS_PHASE_HEADER;
	if (ws_is_control(&p->frame)) {
		if (!p->open)
			p->phase = WS_PHASE_DONE;
		return ws_control(
		    ws, f, p->frame.opcode, p->control, (size_t)p->frame.len);
	}
	if (!p->frame.fin)
		return WS_MORE;
	if (p->opcode == WS_OP_TEXT && p->utf8 != 0)
		return ws_fail_text(ws, f);
	p->phase = WS_PHASE_DONE;
	*f = (struct ws_frame){ .opcode = p->opcode,
		.len = p->len,
		.data = p->buf != NULL ? p->buf : p->control };
	return WS_MESSAGE;
}

/* Check a data frame's header against the limits.  NULL or what is wrong. */
static const char *
ws_admit(const struct ws *ws, uint16_t *code)
{
	struct ws_partial *p = ws->partial;
	const struct ws_head *h = &p->frame;

	*code = WS_TOO_BIG;
	if (h->len > ws->max_message || p->len > ws->max_message - h->len)
		return "message too large";
	if (p->open && ++p->fragments > ws->max_fragments) {
		*code = WS_POLICY;
		return "too many fragments";
	}
	if (h->len > 0)
		p->empty = 0;
	else if (!h->fin && ++p->empty > WS_EMPTY_FRAGS_MAX) {
		*code = WS_PROTOCOL_ERROR;
		return "too many empty fragments";
	}
	return NULL;
}

static enum ws_event
ws_start_frame(struct ws *ws, struct ws_frame *f)
{
	struct ws_partial *p = ws->partial;
	const char *wrong;
	uint16_t code;

	p->phase = WS_PHASE_PAYLOAD;
	p->taken = 0;
	if (!ws_is_control(&p->frame)) {
		if ((wrong = ws_admit(ws, &code)) != NULL)
			return ws_fail(ws, f, code, wrong);
		if (!p->open)
			p->opcode = p->frame.opcode;
		p->open = true;
	}
	return p->frame.len == 0 ? ws_end_frame(ws, f) : WS_MORE;
}

/* Collect a header; it is legal or not as soon as a byte of it says so. */
static enum ws_event
ws_take_header(struct ws *ws, uint8_t **in, size_t *len, struct ws_frame *f)
{
	struct ws_partial *p = ws->partial;
	const char *wrong;
	size_t n;

	n = sizeof(p->head) - p->head_len;
	if (n > *len)
		n = *len;
	memcpy(p->head + p->head_len, *in, n);
	wrong = ws_decode(ws, p->open, p->head, p->head_len + n, &p->frame);
	if (wrong != NULL)
		return ws_fail(ws, f, WS_PROTOCOL_ERROR, wrong);
	if (p->frame.size != 0)
		n = p->frame.size - p->head_len;
	*in += n;
	*len -= n;
	p->head_len += n;
	if (p->frame.size == 0)
		return WS_MORE;

	p->head_len = 0;
	if (!ws_is_control(&p->frame) && !ws->begun) {
		ws->begun = true;
		p->phase = WS_PHASE_BEGUN;
		*f = (struct ws_frame){ .opcode = p->frame.opcode };
		return WS_BEGIN;
	}
	return ws_start_frame(ws, f);
}

static enum ws_event
ws_take_payload(struct ws *ws, uint8_t **in, size_t *len, struct ws_frame *f)
{
	struct ws_partial *p = ws->partial;
	uint8_t *data = *in;
	size_t n = *len;

	if (n > p->frame.len - p->taken)
		n = (size_t)(p->frame.len - p->taken);
	*in += n;
	*len -= n;
	if (!ws->client)
		ws_mask(data, n, p->frame.mask, (size_t)p->taken);
	if (ws_is_control(&p->frame))
		memcpy(p->control + p->taken, data, n);
	else {
		if (p->opcode == WS_OP_TEXT && !utf8_check(&p->utf8, data, n))
			return ws_fail_text(ws, f);
		if (ws_reserve(ws, n) == -1)
			return ws_fail_memory(ws, f);
		memcpy(p->buf + p->len, data, n);
		p->len += n;
	}
	p->taken += n;
	return p->taken == p->frame.len ? ws_end_frame(ws, f) : WS_MORE;
}

static enum ws_event
ws_next_partial(struct ws *ws, uint8_t **in, size_t *len, struct ws_frame *f)
{
	enum ws_event ev;

	if (ws->partial->phase == WS_PHASE_BEGUN)
		ev = ws_start_frame(ws, f);
	else
		ev = WS_MORE;
	while (ev == WS_MORE && *len > 0) {
		if (ws->partial->phase == WS_PHASE_HEADER)
			ev = ws_take_header(ws, in, len, f);
		else
			ev = ws_take_payload(ws, in, len, f);
	}
	return ev;
}

enum ws_event
ws_next(struct ws *ws, uint8_t **in, size_t *len, struct ws_frame *f)
{
	enum ws_event ev;

	if (ws->partial != NULL && ws->partial->phase == WS_PHASE_DONE)
		ws_clear(ws);
	if (ws->partial == NULL) {
		if (*len == 0)
			return WS_MORE;
		ev = ws_next_whole(ws, in, len, f);
		if (ev != WS_MORE)
			return ev;
		if ((ws->partial = calloc(1, sizeof(*ws->partial))) == NULL)
			return ws_fail_memory(ws, f);
	}
	return ws_next_partial(ws, in, len, f);
}

size_t
ws_header(uint8_t out[WS_HEADER_MAX], enum ws_opcode opcode, size_t len,
    const uint8_t mask[4])
{
	size_t size = 2, i, digits = 0;

	out[0] = (uint8_t)(WS_FIN | opcode);
	if (len < WS_LENGTH_16)
		out[1] = (uint8_t)len;
	else if (len <= UINT16_MAX) {
		out[1] = WS_LENGTH_16;
		digits = 2;
	} else {
		out[1] = WS_LENGTH_64;
		digits = 8;
	}
	for (i = digits; i > 0; i--)
		out[size++] = (uint8_t)((uint64_t)len >> (8 * (i - 1)));
	if (mask != NULL) {
		out[1] |= WS_MASKED;
		memcpy(out + size, mask, WS_MASK_SIZE);
		size += WS_MASK_SIZE;
	}
	return size;
}

/* XOR a word with the key; returns what it is then. */
static inline uint64_t
ws_mask_word(uint8_t *p, uint64_t key)
{
	uint64_t w = word_read(p) ^ key;

	word_write(p, w);
	return w;
}

bool
ws_mask(uint8_t *data, size_t len, const uint8_t mask[4], size_t phase)
{
	const uint8_t *end = data + len;
	uint64_t key, seen = 0;
	size_t i;

	for (key = 0, i = WS_MASK_SIZE; i-- > 0;)
		key = key << 8 | mask[(phase + i) % WS_MASK_SIZE];
	key |= key << 32;
	for (; end - data >= 4 * (ptrdiff_t)WORD; data += 4 * WORD) {
		seen |= ws_mask_word(data, key);
		seen |= ws_mask_word(data + WORD, key);
		seen |= ws_mask_word(data + 2 * WORD, key);
		seen |= ws_mask_word(data + 3 * WORD, key);
	}
	for (; end - data >= (ptrdiff_t)WORD; data += WORD)
		seen |= ws_mask_word(data, key);
	for (; data < end; data++, key >>= 8) {
		*data ^= (uint8_t)key;
		seen |= *data;
	}
	return (seen & WORD_TOP_BITS) == 0;
}

size_t
ws_close_payload(uint8_t out[WS_CONTROL_MAX], uint16_t code, const char *reason)
{
	size_t n;

	if (code == WS_NO_STATUS)
		return 0;
	out[0] = (uint8_t)(code >> 8);
	out[1] = (uint8_t)code;
	if (reason == NULL)
		return WS_CODE_SIZE;
	n = strlen(reason);
	if (n > WS_CONTROL_MAX - WS_CODE_SIZE) {
		n = WS_CONTROL_MAX - WS_CODE_SIZE;
		while (n > 0 && ((uint8_t)reason[n] & 0xc0) == 0x80)
			n--;
	}
	memcpy(out + WS_CODE_SIZE, reason, n);
	return WS_CODE_SIZE + n;
}
