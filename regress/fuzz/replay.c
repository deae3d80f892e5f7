/*
 * A main for where there is no fuzzing engine: runs a target on files, and
 * on the files of directories, once each.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <err.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static size_t replayed;

static void
replay_file(const char *path, size_t size)
{
	uint8_t *data;
	FILE *fp;
	size_t n;

	/* Exactly as large as it is, so that a byte beyond is seen. */
	if ((fp = fopen(path, "rb")) == NULL ||
	    (data = malloc(size > 0 ? size : 1)) == NULL)
		err(1, "%s", path);
	n = fread(data, 1, size, fp);
	fclose(fp);
	/* What is running when it dies. */
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(data, n);
	free(data);
	replayed++;
}

static void
replay_path(const char *path)
{
	char below[PATH_MAX];
	struct dirent *e;
	struct stat st;
	DIR *dir;

	if (stat(path, &st) == -1)
		err(1, "%s", path);
	if (!S_ISDIR(st.st_mode)) {
		replay_file(path, (size_t)st.st_size);
		return;
	}
	if ((dir = opendir(path)) == NULL)
		err(1, "%s", path);
	while ((e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, e->d_name);
		replay_path(below);
	}
	closedir(dir);
}

int
main(int argc, char *argv[])
{
	int i;

	for (i = 1; i < argc; i++)
		replay_path(argv[i]);
	fprintf(stderr, "%zu inputs\n", replayed);
	return replayed > 0 ? 0 : 1;
}
