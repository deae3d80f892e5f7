/*
 * Eight bytes of text at a time, as a number whose lowest byte is the first.
 * That way it is the same on every machine, and what a carry or a borrow
 * spoils lies behind the byte that it comes from.
 */
#ifndef WORD_H
#define WORD_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WORD sizeof(uint64_t)
/* A word of this byte. */
#define WORD_OF(c)    (UINT64_C(0x0101010101010101) * (c))
#define WORD_TOP_BITS WORD_OF(0x80)

static inline uint64_t
word_read(const void *p)
{
	uint64_t w;

	memcpy(&w, p, WORD);
	return le64toh(w);
}

static inline void
word_write(void *p, uint64_t w)
{
	w = htole64(w);
	memcpy(p, &w, WORD);
}

/* How many bytes lie before the first one in which a bit is set; not of 0. */
static inline size_t
word_first(uint64_t w)
{
	return (size_t)__builtin_ctzll(w) / 8;
}

#endif /* WORD_H */
