#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

/*
 * Times in nanoseconds, in buckets that are at most 1/128 of the value wide:
 * 128 of them for each power of two.
 */
#define HISTOGRAM_BITS 7
#define HISTOGRAM_TOP  40
/* The last one has what took 2^40 ns and more. */
#define HISTOGRAM_BUCKETS \
	(((HISTOGRAM_TOP - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS) + 1)

struct histogram {
	uint64_t count;
	uint64_t max;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Forget everything. */
void histogram_reset(struct histogram *);

/* Count one value. */
void histogram_add(struct histogram *, uint64_t ns);

/*
 * The least bound that the share q (0 to 1) of all values does not exceed, 0
 * if there are none.
 */
uint64_t histogram_quantile(const struct histogram *, double q);

#endif
