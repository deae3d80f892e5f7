/*
 * A growing buffer for what one wake-up has to say to one client, so that it
 * leaves with one write.
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stddef.h>
#include <stdint.h>

struct output {
	uint8_t *data;
	size_t len;
	size_t size;
};

/* Append; -1 when there is no memory. */
int output_put(struct output *, const void *, size_t len);
/* Append a server's WebSocket frame.  -1 when there is no memory. */
int
output_put_frame(struct output *, unsigned opcode, const void *, size_t len);
/* Forget the content; memory far beyond the usual is given back. */
void output_reset(struct output *);

#endif /* OUTPUT_H */
