/*
 * UTF-8 as RFC 3629 has it, checked as it arrives: no surrogates, no
 * overlong forms, nothing beyond U+10FFFF.
 */
#ifndef UTF8_H
#define UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * State between two pieces: 0 at a character's boundary.  Start with 0.
 */
typedef uint32_t utf8_state;

/*
 * Check a piece; false as soon as it cannot be the beginning of valid text
 * any more.  The text is complete when the state is 0 after the last piece.
 */
bool utf8_check(utf8_state *, const uint8_t *, size_t len);

#endif /* UTF8_H */
