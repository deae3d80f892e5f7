/* getopt_long(3). */
#ifndef OPENBSD_GETOPT_H
#define OPENBSD_GETOPT_H

#include <unistd.h>

struct option {
	const char *name;
	int has_arg;
	int *flag;
	int val;
};
#define no_argument       0
#define required_argument 1

int getopt_long(int, char *const *, const char *, const struct option *, int *);

#endif /* OPENBSD_GETOPT_H */
