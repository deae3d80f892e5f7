/*
 * Reading and building the variable part of a payload.
 */
#include "wire.h"

#include <string.h>

void
wire_init(struct wire *w, const void *data, size_t len)
{
	w->p = data;
	w->left = len;
	w->bad = false;
}

const void *
wire_bytes(struct wire *w, size_t len)
{
	const uint8_t *p = w->p;

	if (w->bad || len > w->left) {
		w->bad = true;
		return NULL;
	}
	w->p += len;
	w->left -= len;
	return p;
}

void
wire_copy(struct wire *w, void *out, size_t len)
{
	const void *p = wire_bytes(w, len);

	if (p == NULL)
		memset(out, 0, len);
	else
		memcpy(out, p, len);
}

char *
wire_text(struct wire *w, size_t len, char *buf, size_t bufsize)
{
	const void *p = wire_bytes(w, len);

	buf[0] = '\0';
	if (p == NULL || len == 0)
		return buf;
	if (len >= bufsize || memchr(p, '\0', len) != NULL) {
		w->bad = true;
		return buf;
	}
	memcpy(buf, p, len);
	buf[len] = '\0';
	return buf;
}

bool
wire_done(const struct wire *w)
{
	return !w->bad && w->left == 0;
}

void
wire_out_init(struct wire_out *o, void *buf, size_t size)
{
	o->buf = buf;
	o->size = size;
	o->len = 0;
	o->overflow = false;
}

void
wire_put(struct wire_out *o, const void *data, size_t len)
{
	if (o->overflow || len > o->size - o->len) {
		o->overflow = true;
		return;
	}
	if (len > 0)
		memcpy(o->buf + o->len, data, len);
	o->len += len;
}
