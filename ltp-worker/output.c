/*
 * Output of one wake-up.
 */
#include "output.h"

#include <stdlib.h>
#include <string.h>

#include "ws.h"

#define OUTPUT_FIRST 4096
#define OUTPUT_KEEP  (64 * 1024)

static int
output_reserve(struct output *o, size_t len)
{
	size_t size = o->size == 0 ? OUTPUT_FIRST : o->size;
	uint8_t *grown;

	if (len <= o->size - o->len)
		return 0;
	while (size - o->len < len)
		size *= 2;
	if ((grown = realloc(o->data, size)) == NULL)
		return -1;
	o->data = grown;
	o->size = size;
	return 0;
}

int
output_put(struct output *o, const void *data, size_t len)
{
	if (output_reserve(o, len) == -1)
		return -1;
	memcpy(o->data + o->len, data, len);
	o->len += len;
	return 0;
}

int
output_put_frame(
    struct output *o, unsigned opcode, const void *data, size_t len)
{
	/* Half a frame must not leave. */
	if (output_reserve(o, WS_HEADER_MAX + len) == -1)
		return -1;
	o->len += ws_header(o->data + o->len, opcode, len, NULL);
	return len == 0 ? 0 : output_put(o, data, len);
}

void
output_reset(struct output *o)
{
	o->len = 0;
	if (o->size > OUTPUT_KEEP) {
		free(o->data);
		o->data = NULL;
		o->size = 0;
	}
}
