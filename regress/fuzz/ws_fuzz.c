/*
 * WebSocket frames.  However the stream is cut into pieces, the same events
 * come out of it, and memory stays within the limit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "ws.h"

#define SLACK     8192 /* bytes that a connection may have beyond the limit */
#define TRACK_MAX (512 * 1024)

/* What happened, as bytes that can be compared. */
struct track {
	size_t len;
	uint8_t p[TRACK_MAX];
};

static void
track_add(struct track *t, const void *p, size_t len)
{
	if (t->len + len > TRACK_MAX)
		return;
	if (len > 0)
		memcpy(t->p + t->len, p, len);
	t->len += len;
}

static void
track_event(struct track *t, enum ws_event ev, const struct ws_frame *f)
{
	track_add(t, &ev, sizeof(ev));
	track_add(t, &f->opcode, sizeof(f->opcode));
	track_add(t, &f->len, sizeof(f->len));
	track_add(t, &f->code, sizeof(f->code));
	track_add(t, &f->reason, sizeof(f->reason));
	track_add(t, f->data, f->len);
}

static void
check_event(const struct ws *ws, enum ws_event ev, const struct ws_frame *f)
{
	switch (ev) {
	case WS_MESSAGE:
		FUZZ_ASSERT(f->len <= ws->max_message);
		FUZZ_ASSERT(
		    f->opcode == WS_OP_BINARY || f->opcode == WS_OP_TEXT);
		if (f->opcode == WS_OP_TEXT)
			FUZZ_ASSERT(fuzz_is_utf8(f->data, f->len));
		break;
	case WS_BEGIN:
		FUZZ_ASSERT(
		    f->opcode == WS_OP_BINARY || f->opcode == WS_OP_TEXT);
		break;
	case WS_CLOSE:
		FUZZ_ASSERT(fuzz_is_utf8(f->data, f->len));
		FUZZ_ASSERT(f->code >= 1000 && f->code < 5000);
		FUZZ_ASSERT(f->len <= WS_CONTROL_MAX);
		break;
	case WS_PING:
	case WS_PONG:
		FUZZ_ASSERT(f->len <= WS_CONTROL_MAX);
		break;
	case WS_FAIL:
		FUZZ_ASSERT(f->reason != NULL);
		FUZZ_ASSERT(ws_memory(ws) == 0);
		break;
	case WS_MORE:
		break;
	}
}

/* A message of ours, written and read again by the other side. */
static void
check_round(const struct ws *ws, const struct ws_frame *f)
{
	uint8_t mask[4] = { 0xca, 0xfe, (uint8_t)f->len, 0 }, head[32], *buf;
	struct ws other;
	struct ws_frame got;
	uint8_t *in;
	size_t n, len;

	n = ws_header(head, f->opcode, f->len, ws->client ? NULL : mask);
	FUZZ_ASSERT(n <= WS_HEADER_MAX);
	len = n + f->len;
	FUZZ_ASSERT((in = buf = malloc(len)) != NULL);
	memcpy(buf, head, n);
	if (f->len > 0)
		memcpy(buf + n, f->data, f->len);
	if (!ws->client)
		ws_mask(buf + n, f->len, mask, 0);
	ws_init(&other, ws->max_message, ws->client);
	FUZZ_ASSERT(ws_next(&other, &in, &len, &got) == WS_BEGIN);
	FUZZ_ASSERT(ws_next(&other, &in, &len, &got) == WS_MESSAGE);
	FUZZ_ASSERT(got.len == f->len && got.opcode == f->opcode);
	FUZZ_ASSERT(f->len == 0 || memcmp(got.data, f->data, f->len) == 0);
	FUZZ_ASSERT(ws_next(&other, &in, &len, &got) == WS_MORE);
	ws_clear(&other);
	free(buf);
}

/* Returns false when the stream is over. */
static bool
take(struct ws *ws, uint8_t *p, size_t len, struct track *t)
{
	struct ws_frame f = { 0 };
	enum ws_event ev;

	for (;;) {
		ev = ws_next(ws, &p, &len, &f);
		FUZZ_ASSERT(ws_memory(ws) <= ws->max_message + SLACK);
		check_event(ws, ev, &f);
		if (ev == WS_MORE) {
			FUZZ_ASSERT(len == 0);
			return true;
		}
		track_event(t, ev, &f);
		if (ev == WS_MESSAGE)
			check_round(ws, &f);
		if (ev == WS_FAIL)
			return false;
	}
}

/* seed as fuzz_piece() has it; UINT32_MAX: all at once. */
static void
feed(struct ws *ws, const struct fuzz *f, uint32_t seed, struct track *t)
{
	size_t done = 0, n;
	bool more = true;
	uint8_t *piece;

	t->len = 0;
	while (more && done < f->left) {
		n = seed == UINT32_MAX ? f->left
				       : fuzz_piece(&seed, f->left - done);
		FUZZ_ASSERT((piece = malloc(n)) != NULL);
		memcpy(piece, f->p + done, n);
		more = take(ws, piece, n, t);
		free(piece);
		done += n;
	}
	ws_clear(ws);
	FUZZ_ASSERT(ws_memory(ws) == 0);
}

/* How the peer is told: a payload that a client takes. */
static void
check_close(const struct fuzz *f)
{
	uint8_t out[WS_CONTROL_MAX], head[WS_HEADER_MAX + WS_CONTROL_MAX];
	struct fuzz text = *f;
	uint16_t code = 1000 + fuzz_u8(&text) % 4;
	char *reason = fuzz_text(&text);
	size_t n, len;
	struct ws ws;
	struct ws_frame got;
	uint8_t *in = head;

	if (fuzz_is_utf8((const uint8_t *)reason, strlen(reason))) {
		n = ws_close_payload(out, code, reason);
		FUZZ_ASSERT(n <= WS_CONTROL_MAX);
		len = ws_header(head, WS_OP_CLOSE, n, NULL);
		memcpy(head + len, out, n);
		len += n;
		ws_init(&ws, 1, true);
		FUZZ_ASSERT(ws_next(&ws, &in, &len, &got) == WS_CLOSE);
		FUZZ_ASSERT(got.code == code);
		ws_clear(&ws);
	}
	free(reason);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint32_t limits[] = { 65536, 0, 16, 200, 1000, 5000, 7,
		131072 };
	struct fuzz f = { data, len };
	static struct track whole, bytes, split;
	uint8_t flags = fuzz_u8(&f);
	uint32_t seed = fuzz_u8(&f), limit = limits[flags >> 1 & 7];
	bool client = (flags & 1) != 0;
	struct ws ws;

	ws_init(&ws, limit, client);
	feed(&ws, &f, UINT32_MAX, &whole);
	ws_init(&ws, limit, client);
	feed(&ws, &f, 0, &bytes);
	ws_init(&ws, limit, client);
	feed(&ws, &f, seed + 1, &split);
	FUZZ_ASSERT(whole.len == bytes.len);
	FUZZ_ASSERT(memcmp(whole.p, bytes.p, whole.len) == 0);
	FUZZ_ASSERT(whole.len == split.len);
	FUZZ_ASSERT(memcmp(whole.p, split.p, whole.len) == 0);
	check_close(&f);
	return 0;
}
