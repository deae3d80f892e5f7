/*
 * WebSocket frames, RFC 6455 section 5, without extensions.  Input is pulled
 * apart where it lies; a connection owns memory here only while a frame or a
 * fragmented message is incomplete.
 */
#ifndef WS_H
#define WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ws_opcode {
	WS_OP_CONTINUATION = 0x0,
	WS_OP_TEXT = 0x1,
	WS_OP_BINARY = 0x2,
	WS_OP_CLOSE = 0x8,
	WS_OP_PING = 0x9,
	WS_OP_PONG = 0xa,
};

/* Close codes, RFC 6455 section 7.4.1, and IANA's 1012, 1013. */
enum ws_code {
	WS_NORMAL = 1000,
	WS_GOING_AWAY = 1001,
	WS_PROTOCOL_ERROR = 1002,
	WS_NO_STATUS = 1005, /* never on the wire */
	WS_INVALID_DATA = 1007,
	WS_POLICY = 1008,
	WS_TOO_BIG = 1009,
	WS_INTERNAL_ERROR = 1011,
	WS_TRY_LATER = 1013,
};

#define WS_CONTROL_MAX     125 /* bytes of a control frame's payload */
#define WS_HEADER_MAX      14
#define WS_FRAGMENTS_MAX   1024 /* usual limit of continuation frames */
#define WS_EMPTY_FRAGS_MAX 64 /* of them empty, in a row */

enum ws_event {
	WS_MORE = 0, /* all input is used up */
	WS_BEGIN, /* the header of a message's first frame: opcode is set;
			its size is checked by the next call */
	WS_MESSAGE, /* a whole text or binary message: opcode, data, len */
	WS_PING, /* data, len */
	WS_PONG, /* data, len */
	WS_CLOSE, /* code (WS_NO_STATUS when there was none), data, len
			(the reason) */
	WS_FAIL, /* close with code and reason; input is of no more use */
};

struct ws_frame {
	enum ws_opcode opcode;
	uint8_t *data; /* valid until the next call; may be written to */
	size_t len;
	uint16_t code;
	const char *reason; /* static text */
};

struct ws_partial; /* what is kept of incomplete input, private */

struct ws {
	struct ws_partial *partial; /* NULL: nothing is kept */
	uint32_t max_message; /* bytes of a message, may be changed */
	uint16_t max_fragments; /* continuation frames of one, likewise */
	bool client; /* we are the client: frames come unmasked */
	bool begun; /* WS_BEGIN was told of the present message, private */
};

void ws_init(struct ws *, uint32_t max_message, bool client);
/* Frees the partial state; it may have held a credential, so it is wiped. */
void ws_clear(struct ws *);
/* Bytes allocated for incomplete input. */
size_t ws_memory(const struct ws *);

/*
 * Take the next event out of *in, *len, and move both past what was used.
 * The input is unmasked in place.  Call until it returns WS_MORE or WS_FAIL.
 *
 * WS_FAIL gives 1002 (framing), 1007 (text that is no UTF-8, as soon as it
 * is seen), 1008 "too many fragments", 1009 "message too large" (known from
 * headers, before payload is stored), 1011 (no memory).
 */
enum ws_event
ws_next(struct ws *, uint8_t **in, size_t *len, struct ws_frame *);

/*
 * Write a header for a final frame of len payload bytes.  mask is NULL for a
 * server's frame.  Returns the header's length.
 */
size_t ws_header(uint8_t out[WS_HEADER_MAX], enum ws_opcode, size_t len,
    const uint8_t mask[4]);
/*
 * XOR len bytes with the mask, starting at its byte `phase' modulo 4.
 * Returns whether they are ASCII now, all of them.
 */
bool ws_mask(uint8_t *data, size_t len, const uint8_t mask[4], size_t phase);
/*
 * The payload of a close frame; the reason is cut at a character boundary.
 * Returns its length.
 */
size_t ws_close_payload(
    uint8_t out[WS_CONTROL_MAX], uint16_t code, const char *reason);

#endif /* WS_H */
