/*
 * GCRA: an arrival is early by at most (burst - 1) intervals, or refused.
 */
#include "limit.h"

#define LIMIT_SECOND_US 1000000

bool
limit_allow(
    struct monotime *tat, uint32_t rps, uint32_t burst, struct monotime now)
{
	int64_t interval, tolerance;

	if (rps == 0)
		return true;
	interval = LIMIT_SECOND_US / rps;
	tolerance = (int64_t)(burst == 0 ? 0 : burst - 1) * interval;
	if (tat->us < now.us)
		tat->us = now.us;
	if (tat->us - now.us > tolerance)
		return false;
	tat->us += interval;
	return true;
}
