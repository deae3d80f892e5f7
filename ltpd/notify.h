/*
 * The service manager's protocol, sd_notify(3) and sd_listen_fds(3), without
 * its library.
 */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <stdbool.h>
#include <stddef.h>

#define NOTIFY_FDS_MAX 16

/*
 * Remember NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and unset them, before
 * the first fork.
 */
void notify_init(void);
/* Whether a service manager waits to be told. */
bool notify_expected(void);
/*
 * Send a state such as "READY=1"; does nothing when nobody listens.  fmt is
 * printf's.
 */
void
notify_send(const char *fmt, ...) __attribute__((__format__(printf, 1, 2)));

/*
 * A sign of life, if the manager wants any.  To be called once a second by the
 * event loop, and from nowhere else: it says that the loop turns.
 */
void notify_watchdog(void);

/*
 * The descriptors that were passed (LISTEN_FDS, for this process), made
 * close-on-exec, and their names ("unknown" when there are none); the
 * variables are unset.  Returns how many, or -1 with errno (EBADF: one is no
 * listening socket; E2BIG: too many).
 */
int notify_listen_fds(int fds[NOTIFY_FDS_MAX], char names[NOTIFY_FDS_MAX][32]);

#endif /* NOTIFY_H */
