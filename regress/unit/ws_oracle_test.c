/*
 * ws.c and wslay: each understands what the other writes, in both roles.
 */
#include <stdlib.h>
#include <string.h>

#include <wslay/wslay.h>

#include "unit.h"
#include "ws_stream.h"

#define ORACLE_ROUNDS   100
#define ORACLE_MESSAGES 12
#define ORACLE_SIZE     70000

/* A generator of our own, so that a failure can be repeated anywhere. */
static uint32_t
rnd(uint64_t *seed, uint32_t below)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*seed >> 33) % below;
}

/* Any text: characters of one to four bytes. */
static void
rnd_text(uint64_t *seed, struct bytes *b, size_t len)
{
	static const char *const chars[] = { "a", "\x7f", "\xc2\x80",
		"\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xef\xbf\xbf",
		"\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf" };
	const char *c;

	while (b->len < len) {
		c = rnd(seed, 2) != 0 ? "z" : chars[rnd(seed, 9)];
		bytes_add(b, c, strlen(c));
	}
}

static size_t
rnd_length(uint64_t *seed)
{
	static const uint32_t about[] = { 4, 126, 300, 5000, ORACLE_SIZE };

	return rnd(seed, about[rnd(seed, 5)]);
}

struct pipe {
	struct bytes wire;
	size_t taken;
	uint64_t seed;
	struct reader *told; /* what wslay received, as ws.c would tell it */
};

static ssize_t
pipe_write(const uint8_t *p, size_t len, int flags, void *arg)
{
	struct pipe *pipe = arg;

	(void)flags;
	bytes_add(&pipe->wire, p, len);
	return (ssize_t)len;
}

static ssize_t
pipe_read(uint8_t *p, size_t len, int flags, void *arg)
{
	struct pipe *pipe = arg;

	(void)flags;
	if (pipe->taken == pipe->wire.len)
		return -1;
	/* In pieces of any size. */
	len = 1 + rnd(&pipe->seed, (uint32_t)len);
	if (len > pipe->wire.len - pipe->taken)
		len = pipe->wire.len - pipe->taken;
	memcpy(p, pipe->wire.p + pipe->taken, len);
	pipe->taken += len;
	return (ssize_t)len;
}

static int
pipe_mask(uint8_t *p, size_t len, void *arg)
{
	struct pipe *pipe = arg;

	while (len-- > 0)
		*p++ = (uint8_t)rnd(&pipe->seed, 256);
	return 0;
}

static void
wslay_send(wslay_frame_context_ptr ctx, unsigned opcode, bool fin, bool masked,
    const uint8_t *p, size_t len)
{
	struct wslay_frame_iocb io = { .fin = fin,
		.opcode = (uint8_t)opcode,
		.payload_length = len,
		.mask = masked,
		.data = p,
		.data_length = len };

	assert_int_equal(wslay_frame_send(ctx, &io), (ssize_t)len);
}

/* What ws.c is to tell of a message. */
static void
expect_message(struct reader *r, unsigned opcode, struct bytes *payload)
{
	struct ws_frame f = {
		.opcode = opcode, .data = payload->p, .len = payload->len
	};

	log_event(r, WS_MESSAGE, &f);
}

static void
expect_begin(struct reader *r, unsigned opcode)
{
	struct ws_frame f = { .opcode = opcode };

	log_event(r, WS_BEGIN, &f);
}

static void
expect_ping(struct reader *r)
{
	uint8_t payload[] = { 'p', 0xff };
	struct ws_frame f = { .data = payload, .len = sizeof(payload) };

	log_event(r, WS_PING, &f);
}

/* A message in random fragments with pings between them. */
static void
wslay_send_message(wslay_frame_context_ptr ctx, struct pipe *pipe,
    struct reader *expected, bool masked)
{
	struct bytes payload = { 0 };
	unsigned opcode = 1 + rnd(&pipe->seed, 2), op = opcode;
	size_t sent = 0, n;
	bool fin;

	bytes_add(&payload, "", 1);
	payload.len = 0;
	rnd_text(&pipe->seed, &payload, rnd_length(&pipe->seed));
	if (opcode == WS_OP_BINARY && payload.len > 0)
		payload.p[0] = 0xff;
	expect_begin(expected, opcode);
	do {
		n = rnd(&pipe->seed, (uint32_t)(payload.len - sent) + 1);
		fin = rnd(&pipe->seed, 3) == 0;
		if (fin)
			n = payload.len - sent;
		wslay_send(ctx, op, fin, masked, payload.p + sent, n);
		sent += n;
		op = WS_OP_CONTINUATION;
		if (!fin && rnd(&pipe->seed, 4) == 0) {
			wslay_send(ctx, WS_OP_PING, true, masked,
			    (const uint8_t *)"p\xff", 2);
			expect_ping(expected);
		}
	} while (!fin);
	expect_message(expected, opcode, &payload);
	bytes_free(&payload);
}

static void
read_what_wslay_writes(bool client)
{
	struct wslay_frame_callbacks cb = { .send_callback = pipe_write,
		.genmask_callback = pipe_mask };
	struct pipe pipe = { .seed = 4711 };
	struct reader r, expected;
	wslay_frame_context_ptr ctx;
	size_t round, i, at, n;

	assert_int_equal(wslay_frame_context_init(&ctx, &cb, &pipe), 0);
	for (round = 0; round < ORACLE_ROUNDS; round++) {
		reader_init(&r, 2 * ORACLE_SIZE, client);
		reader_init(&expected, 0, false);
		for (i = 0; i < ORACLE_MESSAGES; i++)
			wslay_send_message(ctx, &pipe, &expected, !client);
		for (at = 0; at < pipe.wire.len; at += n) {
			n = 1 + rnd_length(&pipe.seed);
			if (n > pipe.wire.len - at)
				n = pipe.wire.len - at;
			feed(&r, pipe.wire.p + at, n);
		}
		assert_int_equal(r.log.len, expected.log.len);
		assert_memory_equal(r.log.p, expected.log.p, r.log.len);
		reader_free(&r);
		reader_free(&expected);
		pipe.wire.len = 0;
	}
	wslay_frame_context_free(ctx);
	bytes_free(&pipe.wire);
}

static void
a_server_reads_what_a_wslay_client_writes(void **state)
{
	(void)state;
	read_what_wslay_writes(false);
}

static void
a_client_reads_what_a_wslay_server_writes(void **state)
{
	(void)state;
	read_what_wslay_writes(true);
}

static ssize_t
event_read(
    wslay_event_context_ptr ctx, uint8_t *p, size_t len, int flags, void *arg)
{
	ssize_t n = pipe_read(p, len, flags, arg);

	if (n == -1)
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
	return n;
}

static void
event_message(wslay_event_context_ptr ctx,
    const struct wslay_event_on_msg_recv_arg *m, void *arg)
{
	struct pipe *pipe = arg;
	struct bytes payload = { 0 };

	(void)ctx;
	bytes_add(&payload, m->msg, m->msg_length);
	bytes_add(&payload, "", 1);
	payload.len--;
	if (m->opcode == WSLAY_CONNECTION_CLOSE) {
		assert_int_equal(m->status_code, WS_GOING_AWAY);
		log_text(pipe->told, "close\n");
	} else
		expect_message(pipe->told, m->opcode, &payload);
	bytes_free(&payload);
}

/* Write messages with ws.c, text and binary, and a close at the end. */
static void
write_messages(struct pipe *pipe, struct reader *expected, bool client)
{
	uint8_t head[WS_HEADER_MAX], mask[4];
	uint8_t bye[WS_CONTROL_MAX];
	struct bytes payload = { 0 };
	enum ws_opcode opcode;
	size_t i;

	for (i = 0; i < ORACLE_MESSAGES; i++) {
		opcode = 1 + rnd(&pipe->seed, 2);
		payload.len = 0;
		bytes_add(&payload, "", 1);
		payload.len = 0;
		rnd_text(&pipe->seed, &payload, rnd_length(&pipe->seed));
		pipe_mask(mask, sizeof(mask), pipe);
		bytes_add(&pipe->wire, head,
		    ws_header(head, opcode, payload.len, client ? mask : NULL));
		bytes_add(&pipe->wire, payload.p, payload.len);
		if (client)
			ws_mask(pipe->wire.p + pipe->wire.len - payload.len,
			    payload.len, mask, 0);
		expect_message(expected, opcode, &payload);
	}
	i = ws_close_payload(bye, WS_GOING_AWAY, "");
	bytes_add(&pipe->wire, head,
	    ws_header(head, WS_OP_CLOSE, i, client ? mask : NULL));
	bytes_add(&pipe->wire, bye, i);
	if (client)
		ws_mask(pipe->wire.p + pipe->wire.len - i, i, mask, 0);
	log_text(expected, "close\n");
	bytes_free(&payload);
}

static void
wslay_reads_what_we_write(bool client)
{
	struct wslay_event_callbacks cb = { .recv_callback = event_read,
		.on_msg_recv_callback = event_message };
	struct reader told, expected;
	struct pipe pipe = { .seed = 815, .told = &told };
	wslay_event_context_ptr ctx;
	size_t round;

	for (round = 0; round < ORACLE_ROUNDS; round++) {
		reader_init(&told, 0, false);
		reader_init(&expected, 0, false);
		write_messages(&pipe, &expected, client);
		assert_int_equal(
		    client ? wslay_event_context_server_init(&ctx, &cb, &pipe)
			   : wslay_event_context_client_init(&ctx, &cb, &pipe),
		    0);
		assert_int_equal(wslay_event_recv(ctx), 0);
		assert_int_equal(wslay_event_get_close_received(ctx), 1);
		assert_int_equal(told.log.len, expected.log.len);
		assert_memory_equal(told.log.p, expected.log.p, told.log.len);
		wslay_event_context_free(ctx);
		reader_free(&told);
		reader_free(&expected);
		pipe.wire.len = pipe.taken = 0;
	}
	bytes_free(&pipe.wire);
}

static void
a_wslay_client_reads_what_a_server_writes(void **state)
{
	(void)state;
	wslay_reads_what_we_write(false);
}

static void
a_wslay_server_reads_what_a_client_writes(void **state)
{
	(void)state;
	wslay_reads_what_we_write(true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_reads_what_a_wslay_client_writes),
		cmocka_unit_test(a_client_reads_what_a_wslay_server_writes),
		cmocka_unit_test(a_wslay_client_reads_what_a_server_writes),
		cmocka_unit_test(a_wslay_server_reads_what_a_client_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
