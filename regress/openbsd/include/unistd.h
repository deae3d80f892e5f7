/*
 * System calls.  No environ, no gettid(), no syscall(): OpenBSD has them in
 * no header, or not at all.
 */
#ifndef OPENBSD_UNISTD_H
#define OPENBSD_UNISTD_H

#include <sys/types.h>
#include <stddef.h>

#define STDIN_FILENO         0
#define STDOUT_FILENO        1
#define STDERR_FILENO        2
#define F_OK                 0
#define X_OK                 1
#define W_OK                 2
#define R_OK                 4
#define SEEK_SET             0
#define SEEK_CUR             1
#define SEEK_END             2
#define _SC_CLK_TCK          3
#define _SC_OPEN_MAX         5
#define _SC_PAGESIZE         28
#define _SC_NPROCESSORS_ONLN 503

int access(const char *, int);
unsigned int alarm(unsigned int);
int chdir(const char *);
int chown(const char *, uid_t, gid_t);
int close(int);
int closefrom(int);
int dup(int);
int dup2(int, int);
int dup3(int, int, int);
int execv(const char *, char *const *);
int execve(const char *, char *const *, char *const *);
int execvp(const char *, char *const *);
void _exit(int) __attribute__((__noreturn__));
int fchown(int, uid_t, gid_t);
pid_t fork(void);
int setgid(gid_t);
int setuid(uid_t);
int fsync(int);
int fdatasync(int);
int ftruncate(int, off_t);
char *getcwd(char *, size_t);
int getdtablecount(void);
uid_t geteuid(void);
gid_t getegid(void);
int getentropy(void *, size_t);
gid_t getgid(void);
int getgroups(int, gid_t *);
int getgrouplist(const char *, gid_t, gid_t *, int *);
int initgroups(const char *, gid_t);
int gethostname(char *, size_t);
int getopt(int, char *const *, const char *);
extern char *optarg;
extern int optind, opterr, optopt, optreset;
int getpagesize(void);
int getpeereid(int, uid_t *, gid_t *);
pid_t getpgrp(void);
pid_t getpid(void);
pid_t getppid(void);
pid_t getsid(pid_t);
uid_t getuid(void);
int isatty(int);
int link(const char *, const char *);
off_t lseek(int, off_t, int);
int pause(void);
int pipe(int[2]);
int pipe2(int[2], int);
int pledge(const char *, const char *);
ssize_t pread(int, void *, size_t, off_t);
ssize_t pwrite(int, const void *, size_t, off_t);
ssize_t read(int, void *, size_t);
ssize_t readlink(const char *, char *, size_t);
int rmdir(const char *);
int setpgid(pid_t, pid_t);
pid_t setsid(void);
unsigned int sleep(unsigned int);
int symlink(const char *, const char *);
long sysconf(int);
pid_t tcgetpgrp(int);
int truncate(const char *, off_t);
int unlink(const char *);
int unlinkat(int, const char *, int);
int unveil(const char *, const char *);
ssize_t write(int, const void *, size_t);

#endif /* OPENBSD_UNISTD_H */
