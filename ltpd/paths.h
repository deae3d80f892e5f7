/*
 * The directories that the supervisor reaches once it is in its sandbox.
 */
#ifndef PATHS_H
#define PATHS_H

struct conf;
struct paths;

#define PATHS_ERROR_MAX 512

/*
 * Before the sandbox: unveil the directories of the files that the
 * configuration names, of its own (conf_path, NULL: there is none), and of
 * the programs of the children.  Returns NULL with a text when that fails.
 */
struct paths *paths_new(
    const struct conf *, const char *conf_path, char error[PATHS_ERROR_MAX]);
void paths_free(struct paths *);

/*
 * For a reload: a configuration may name no file in a directory that was not
 * unveiled, since it could not be opened.  Returns 0, or -1 with a text.
 */
int paths_check(
    const struct paths *, const struct conf *next, char error[PATHS_ERROR_MAX]);

#endif /* PATHS_H */
