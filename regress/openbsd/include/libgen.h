/* basename(3), dirname(3). */
#ifndef OPENBSD_LIBGEN_H
#define OPENBSD_LIBGEN_H

char *basename(char *);
char *dirname(char *);

#endif /* OPENBSD_LIBGEN_H */
