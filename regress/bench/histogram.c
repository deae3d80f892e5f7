/*
 * A log-linear histogram: constant memory, a constant relative error, and so
 * cheap that it does not disturb what it measures.
 */
#include "histogram.h"

#include <string.h>

void
histogram_reset(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
}

static size_t
histogram_bucket(uint64_t ns)
{
	int shift;

	if (ns >> HISTOGRAM_BITS == 0)
		return ns;
	if (ns >> HISTOGRAM_TOP != 0)
		return HISTOGRAM_BUCKETS - 1;
	shift = 63 - __builtin_clzll(ns) - HISTOGRAM_BITS;
	return ((size_t)shift << HISTOGRAM_BITS) + (ns >> shift);
}

/* The greatest value that is counted in a bucket. */
static uint64_t
histogram_bound(size_t bucket)
{
	size_t shift = bucket >> HISTOGRAM_BITS;
	uint64_t mantissa;

	if (shift > 0)
		shift--;
	mantissa = bucket - (shift << HISTOGRAM_BITS);
	return ((mantissa + 1) << shift) - 1;
}

void
histogram_add(struct histogram *h, uint64_t ns)
{
	h->buckets[histogram_bucket(ns)]++;
	h->count++;
	if (ns > h->max)
		h->max = ns;
}

uint64_t
histogram_quantile(const struct histogram *h, double q)
{
	uint64_t bound, rank, seen = 0;
	size_t i;

	rank = (uint64_t)(q * (double)h->count);
	if ((double)rank < q * (double)h->count)
		rank++;
	if (rank == 0)
		rank = 1;
	for (i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		seen += h->buckets[i];
		if (seen >= rank) {
			bound = histogram_bound(i);
			return bound < h->max ? bound : h->max;
		}
	}
	return h->max;
}
