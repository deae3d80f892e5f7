/*
 * For the tests of keyedit.c: a directory with key files, and a system that
 * fails, or is used by somebody else, when it suits the test.
 */
#ifndef KEYEDIT_STAGE_H
#define KEYEDIT_STAGE_H

#include <sys/stat.h>

#include <stdbool.h>
#include <stdint.h>

#include "keyedit.h"

#define SECRET "correct-horse-battery"
#define OLD    "{\"b\": \"" SECRET "\", \"a\": \"2\"}"

/* Calls are named as they are written, and "fsync directory". */
struct system_stage {
	struct {
		const char *call; /* fails once */
		int after; /* so many that do not */
		int how; /* errno */
	} broken;
	struct {
		const char *call; /* somebody acts once before it */
		void (*act)(void);
	} meanwhile;
	size_t write_max; /* bytes that one write takes, 0: all */
	int64_t clock_ahead; /* seconds */
	int entropy; /* each byte, -1: the real one */
	bool pretend_root;
};

extern struct system_stage stage;
extern char error[KEYFILE_ERROR_MAX]; /* of the last change */

/* Of a group of tests. */
int stage_set_up(void **state);
int stage_strike(void **state);

/* Files in the directory, by their name in it; texts end with a NUL. */
const char *path_of(const char *name);
void write_file(const char *name, const char *text, mode_t mode);
/* Another file takes its place, as ltpctl or a deployment would do it. */
void put_file(const char *name, const char *text);
void assert_file(const char *name, const char *expected);
struct stat stat_of(const char *name);
/* How many files a directory has. */
unsigned files_in(const char *name);
/* An empty one. */
void make_directory(const char *name);
/* In a file that is good. */
size_t count_keys(const char *name);
/*
 * As orchestrators mount secrets, two links in one directory: mount/keys.json
 * to ..data/keys.json, ..data to ..1, and to ..2 when it is turned.
 */
void make_mount(void);
void turn_mount(void);

/* One change; key may be NULL.  0 or -1 with error. */
int apply(enum keyedit_op, const char *name, const char *id, const char *key);
void
must_apply(enum keyedit_op, const char *name, const char *id, const char *key);
/* The error is about that file, and tells no secret. */
void assert_error(const char *name, const char *why);
/* Every change fails with the error of ltpd, and changes nothing. */
void must_refuse(const char *name);

#endif /* KEYEDIT_STAGE_H */
