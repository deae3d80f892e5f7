/*
 * The rate of one connection: GCRA, the token bucket with a single number.
 */
#ifndef LIMIT_H
#define LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "monotime.h"

/*
 * May one more pass?  *tat is the theoretical arrival time of the next one,
 * 0 for a connection that has sent nothing.  rps 0: no limit.  burst of them
 * may come at once.
 */
bool limit_allow(
    struct monotime *tat, uint32_t rps, uint32_t burst, struct monotime now);

#endif /* LIMIT_H */
