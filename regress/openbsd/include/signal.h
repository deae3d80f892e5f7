/* sigaction(2), signal(3), kill(2).  No SIGPWR, no real-time signals. */
#ifndef OPENBSD_SIGNAL_H
#define OPENBSD_SIGNAL_H

#include <sys/types.h>

#define SIGHUP       1
#define SIGINT       2
#define SIGQUIT      3
#define SIGILL       4
#define SIGTRAP      5
#define SIGABRT      6
#define SIGFPE       8
#define SIGKILL      9
#define SIGBUS       10
#define SIGSEGV      11
#define SIGSYS       12
#define SIGPIPE      13
#define SIGALRM      14
#define SIGTERM      15
#define SIGSTOP      17
#define SIGTSTP      18
#define SIGCONT      19
#define SIGCHLD      20
#define SIGXCPU      24
#define SIGXFSZ      25
#define SIGWINCH     28
#define SIGINFO      29
#define SIGUSR1      30
#define SIGUSR2      31
#define NSIG         33
#define SIG_DFL      ((void (*)(int))0)
#define SIG_IGN      ((void (*)(int))1)
#define SIG_ERR      ((void (*)(int)) - 1)
#define SIG_BLOCK    1
#define SIG_UNBLOCK  2
#define SIG_SETMASK  3
#define SA_RESTART   0x0002
#define SA_NOCLDSTOP 0x0008
#define SA_SIGINFO   0x0040

typedef openbsd_sigset_t sigset_t;
typedef volatile int sig_atomic_t;
typedef struct {
	int si_signo, si_code, si_errno;
	pid_t si_pid;
} siginfo_t;
struct sigaction {
	union {
		void (*openbsd_handler)(int);
		void (*openbsd_action)(int, siginfo_t *, void *);
	} openbsd_u;
	sigset_t sa_mask;
	int sa_flags;
};
#define sa_handler   openbsd_u.openbsd_handler
#define sa_sigaction openbsd_u.openbsd_action

void (*signal(int, void (*)(int)))(int);
int sigaction(int, const struct sigaction *, struct sigaction *);
int sigprocmask(int, const sigset_t *, sigset_t *);
int sigemptyset(sigset_t *);
int sigfillset(sigset_t *);
int sigaddset(sigset_t *, int);
int kill(pid_t, int);
int raise(int);

#endif /* OPENBSD_SIGNAL_H */
