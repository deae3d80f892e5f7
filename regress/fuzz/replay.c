/*
 * A main for where there is no fuzzing engine: runs a target on files, and
 * on the files of directories, once each.
 */
#include <sys/types.h>
#include <sys/stat.h>

#include <err.h>
#include <fts.h>
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

/* So that what one input leaves behind meets the same one each time. */
static int
by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

int
main(int argc, char *argv[])
{
	FTSENT *e;
	FTS *fts;

	if (argc < 2)
		errx(2, "usage: NAME_fuzz file ...");
	fts = fts_open(argv + 1, FTS_LOGICAL | FTS_NOCHDIR, by_name);
	if (fts == NULL)
		err(1, "%s", argv[1]);
	while ((e = fts_read(fts)) != NULL) {
		if (e->fts_level > FTS_ROOTLEVEL && e->fts_name[0] == '.')
			fts_set(fts, e, FTS_SKIP);
		else if (e->fts_info == FTS_F)
			replay_file(
			    e->fts_accpath, (size_t)e->fts_statp->st_size);
		else if (e->fts_info != FTS_D && e->fts_info != FTS_DP)
			errc(1, e->fts_errno, "%s", e->fts_path);
	}
	fts_close(fts);
	fprintf(stderr, "%zu inputs\n", replayed);
	return replayed > 0 ? 0 : 1;
}
