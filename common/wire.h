/*
 * Reading the variable part of a payload: a cursor that never passes the
 * end.  A read beyond it gives NULL and marks the cursor bad, so a handler
 * may read all fields and ask once, with wire_done().
 */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire {
	const uint8_t *p;
	size_t left;
	bool bad;
};

void wire_init(struct wire *, const void *data, size_t len);
/* The next len bytes, or NULL. */
const void *wire_bytes(struct wire *, size_t len);
/* Copy the next len bytes to out; zeroes when there are not so many. */
void wire_copy(struct wire *, void *out, size_t len);
/*
 * The next len bytes as a string in buf, NUL-terminated; empty and bad when
 * they do not fit, are not there, or hold a NUL.  Returns buf.
 */
char *wire_text(struct wire *, size_t len, char *buf, size_t bufsize);
/* True when everything was there and nothing is left. */
bool wire_done(const struct wire *);

/* Building a payload of several parts in a buffer of the caller's. */
struct wire_out {
	uint8_t *buf;
	size_t size;
	size_t len;
	bool overflow;
};

/* The buffer stays the caller's. */
void wire_out_init(struct wire_out *, void *buf, size_t size);
/* Append; what does not fit any more marks the whole as an overflow. */
void wire_put(struct wire_out *, const void *data, size_t len);

#endif /* WIRE_H */
