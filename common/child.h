/*
 * Making a child: socketpair, fork, exec of the role's own program with an
 * empty environment, its channel on descriptor 3; and the child's first
 * steps on the other side.
 */
#ifndef CHILD_H
#define CHILD_H

#include <sys/types.h>

#include "chan.h"
#include "msg.h"

#define CHILD_CHANNEL_FD 3

/*
 * Where the programs of the node are: beside the running program when that
 * lies in a build tree (argv[0] is "../ltpd/ltpd" and its neighbours are
 * there), else the directory given at configure.  Call once, before chdir.
 * The path of each program is kept in a static table.
 */
int child_paths_init(const char *argv0);

/* The path of each of these programs in turn; NULL after the last. */
const char *child_path(size_t);

/*
 * Start a program, "ltp-auth" for one.  slot is printed in its title and its log
 * lines.  Returns the pid and sets *chan_fd (non-blocking, close-on-exec,
 * owned by the caller), or -1 with errno.
 */
pid_t child_spawn(const char *program, unsigned slot, int *chan_fd);

/*
 * The first call of a child's main: hardens the process, checks the command
 * line, makes the channel descriptor close-on-exec and ignores SIGPIPE.
 * Exits with a line on stderr when it was not started by ltpd.  Returns the
 * slot.
 */
unsigned child_start(enum role, int argc, char *argv[]);

/*
 * The end of setting up: open what the supervisor wants to read of this
 * process, enter the sandbox of the role, report MSG_READY.  A child that
 * cannot enter its sandbox ends here.
 */
void child_enter(enum role, struct chan *parent);

/*
 * A sibling has broken a rule of the channel to it: tell the supervisor.  peer
 * is what introduced it.
 */
void child_accuse(struct chan *parent, const struct msg_peer *peer);

/* MSG_PING */
void child_pong(struct chan *parent);

/* MSG_LOG_LEVEL */
void child_log_level(const struct msg *);

/*
 * The supervisor's end of the channel has gone: so does the child.  A
 * supervisor that broke a rule is said so.
 */
_Noreturn void child_parent_gone(struct chan *, enum chan_end);

#endif /* CHILD_H */
