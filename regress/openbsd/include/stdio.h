/* stdio(3). */
#ifndef OPENBSD_STDIO_H
#define OPENBSD_STDIO_H

#include <sys/cdefs.h>
#include <sys/types.h>
#include <stddef.h>

typedef struct {
	int openbsd_fd;
} FILE;
extern FILE openbsd_stdio[3];
#define stdin    (&openbsd_stdio[0])
#define stdout   (&openbsd_stdio[1])
#define stderr   (&openbsd_stdio[2])

#define EOF      (-1)
#define BUFSIZ   1024
#define SEEK_SET 0
#define SEEK_CUR 1
#define SEEK_END 2
#define _IOFBF   0
#define _IOLBF   1
#define _IONBF   2

int printf(const char *, ...) OPENBSD_PRINTF(1, 2);
int fprintf(FILE *, const char *, ...) OPENBSD_PRINTF(2, 3);
int dprintf(int, const char *, ...) OPENBSD_PRINTF(2, 3);
int sprintf(char *, const char *, ...) OPENBSD_PRINTF(2, 3);
int snprintf(char *, size_t, const char *, ...) OPENBSD_PRINTF(3, 4);
int asprintf(char **, const char *, ...) OPENBSD_PRINTF(2, 3);
int vprintf(const char *, openbsd_va_list) OPENBSD_PRINTF(1, 0);
int vfprintf(FILE *, const char *, openbsd_va_list) OPENBSD_PRINTF(2, 0);
int
vsnprintf(char *, size_t, const char *, openbsd_va_list) OPENBSD_PRINTF(3, 0);
int vasprintf(char **, const char *, openbsd_va_list) OPENBSD_PRINTF(2, 0);
int sscanf(const char *, const char *, ...)
    __attribute__((__format__(scanf, 2, 3)));
FILE *fopen(const char *, const char *);
FILE *fdopen(int, const char *);
FILE *open_memstream(char **, size_t *);
FILE *fmemopen(void *, size_t, const char *);
int fclose(FILE *);
int fflush(FILE *);
int fileno(FILE *);
int ferror(FILE *);
int feof(FILE *);
int fputs(const char *, FILE *);
int fputc(int, FILE *);
int putc(int, FILE *);
int putchar(int);
int puts(const char *);
int fgetc(FILE *);
int getc(FILE *);
char *fgets(char *, int, FILE *);
ssize_t getline(char **, size_t *, FILE *);
size_t fread(void *, size_t, size_t, FILE *);
size_t fwrite(const void *, size_t, size_t, FILE *);
int fseeko(FILE *, off_t, int);
off_t ftello(FILE *);
void clearerr(FILE *);
void rewind(FILE *);
int setvbuf(FILE *, char *, int, size_t);
int rename(const char *, const char *);
int remove(const char *);
void perror(const char *);

#endif /* OPENBSD_STDIO_H */
