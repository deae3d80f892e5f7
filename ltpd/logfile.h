/*
 * Where the node's log goes: stderr, a file, or syslog(3).  The supervisor
 * alone writes it.
 */
#ifndef LOGFILE_H
#define LOGFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "log.h"

/*
 * Become the sink of log.h.  path NULL: syslog, or stderr when to_stderr.  A
 * file is created 0600 and appended to.  0 or -1 with errno, the old sink
 * then stays.
 */
int logfile_open(const char *path, bool to_stderr);
/* One JSON object a line instead of text; log_format of ltpd.conf(5). */
void logfile_set_json(bool);
/* Errors go to stderr too, as long as somebody waits for the start. */
void logfile_echo(bool);
/* Open the same file again (it was renamed).  0 or -1 with errno. */
int logfile_reopen(void);
/*
 * One line of a process ("worker[1]").  Control characters in text are
 * replaced.  What cannot be written is lost and counted; the next line that
 * can be comes after one that tells how many are missing.
 */
void logfile_write(enum log_level, const char *process, const char *text);
/* Lines that could not be written since the start. */
uint64_t logfile_dropped(void);

#endif /* LOGFILE_H */
