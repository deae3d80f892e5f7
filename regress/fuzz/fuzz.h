/*
 * What the fuzz targets share: reading the input as a script, pieces of
 * uneven size, a file, and how a broken promise is told.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The engine's way in: libFuzzer, AFL++ or replay.c.  Always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* A promise of the code under test.  Not assert(3): never compiled out. */
#define FUZZ_ASSERT(e) ((e) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #e))
_Noreturn void fuzz_fail(const char *file, int line, const char *what);

/* Log lines go nowhere from now on, formatted all the same. */
void fuzz_quiet(void);

/* The input, from its beginning to its end.  Beyond it all is zero. */
struct fuzz {
	const uint8_t *p;
	size_t left;
};

uint8_t fuzz_u8(struct fuzz *);
uint16_t fuzz_u16(struct fuzz *);
/* Like fread(3): how many of len bytes there were; the rest is zero. */
size_t fuzz_read(struct fuzz *, void *, size_t len);
/* At most len bytes where they lie; *got is how many. */
const uint8_t *fuzz_bytes(struct fuzz *, size_t len, size_t *got);
/* The rest, or up to the next separator, as a string to be freed. */
char *fuzz_text(struct fuzz *);
char *fuzz_text_until(struct fuzz *, uint8_t separator);

/*
 * The size of the next piece, from 1 up to left.  The state is the seed at
 * first; seed 0: always 1.
 */
size_t fuzz_piece(uint32_t *state, size_t left);

/*
 * A file with this content that no other process sees, and its path, which
 * is good until the next call.  Returns a descriptor that stays ours.
 */
int fuzz_file(const void *, size_t len, const char **path);

/* The lowest descriptor that is free: the same before and after. */
int fuzz_next_fd(void);

/*
 * From now on the allocation of this number fails, and no other; 0: none.
 * That holds for our own code, and not for malloc(3), on which jansson
 * depends.
 */
void fuzz_memory(unsigned number);
/* A number that depends on the input, small enough to matter. */
unsigned fuzz_number(const uint8_t *, size_t len);

/* Bit by bit, so that zeros differ by their signs. */
bool fuzz_same_double(double, double);

/* Bytes that are well-formed UTF-8, looked at in the plainest way. */
bool fuzz_is_utf8(const uint8_t *, size_t len);
/* All of it printable ASCII, but for newlines if they are allowed. */
bool fuzz_is_printable(const char *, size_t len, bool newlines);

#endif /* FUZZ_H */
