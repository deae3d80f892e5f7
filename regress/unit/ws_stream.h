/*
 * What the tests of ws.c share.  What the reader tells is written down as
 * text, so that one stream fed in different pieces can be compared; each
 * piece lies in memory of just its size, so that a sanitizer sees any step
 * beyond it.
 */
#ifndef WS_STREAM_H
#define WS_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ws.h"

#define LIMIT  131072
#define FIN    0x80
#define MASKED 0x80

struct bytes {
	uint8_t *p;
	size_t len;
	size_t size;
};

/* These fail the test when memory runs out. */
void bytes_add(struct bytes *, const void *, size_t len);
void bytes_add_byte(struct bytes *, unsigned byte);
void bytes_free(struct bytes *);

extern const uint8_t test_mask[4];

/* A header whose length takes 1, 2 or 8 bytes, fitting or not. */
void add_header(struct bytes *, unsigned first, unsigned masked, size_t width,
    uint64_t len);
size_t width_of(uint64_t len);
/* A frame as a client sends it. */
void add_frame(struct bytes *, unsigned first, const void *payload, size_t len);
void add_text(struct bytes *, unsigned first, const char *text);

struct reader {
	struct ws ws;
	struct bytes log;
	size_t messages;
	size_t most; /* memory it ever had */
	bool failed;
};

/* limit 0 and no input: only a log to compare with. */
void reader_init(struct reader *, uint32_t limit, bool client);
void reader_free(struct reader *);
void log_text(struct reader *, const char *text);
void log_event(struct reader *, enum ws_event, const struct ws_frame *);

/* Feed input in one piece. */
void feed(struct reader *, const void *, size_t len);
void feed_bytes(struct reader *, const struct bytes *);

void assert_log(struct reader *, const char *expected);
/* The whole of a stream must give this; it is freed. */
void assert_stream(struct bytes *, bool client, const char *expected);
void assert_server(struct bytes *, const char *expected);

#endif /* WS_STREAM_H */
