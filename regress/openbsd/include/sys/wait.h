/* wait(2). */
#ifndef OPENBSD_SYS_WAIT_H
#define OPENBSD_SYS_WAIT_H

#include <sys/types.h>

#define WNOHANG        1
#define WIFEXITED(s)   (((s)&0177) == 0)
#define WEXITSTATUS(s) (((s) >> 8) & 0377)
#define WIFSIGNALED(s) (((s)&0177) != 0177 && ((s)&0177) != 0)
#define WTERMSIG(s)    ((s)&0177)
#define WCOREDUMP(s)   ((s)&0200)

struct rusage;
pid_t waitpid(pid_t, int *, int);
pid_t wait4(pid_t, int *, int, struct rusage *);

#endif /* OPENBSD_SYS_WAIT_H */
