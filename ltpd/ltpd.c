/*
 * ltpd: the command line, the configuration, and the way into the
 * background.  What runs then is parent.c.
 */
#include "config.h"

#include <sys/resource.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auditlog.h"
#include "child.h"
#include "conf.h"
#include "control.h"
#include "hooks.h"
#include "keyfile.h"
#include "keys.h"
#include "listener.h"
#include "log.h"
#include "logfile.h"
#include "notify.h"
#include "parent.h"
#include "paths.h"
#include "reload.h"
#include "sandbox.h"
#include "tlsfiles.h"
#include "tokens.h"
#include "trial.h"

#define LTPD_DEFS_MAX 64

#define ERROR_SERVES(size)                         \
	_Static_assert(RELOAD_ERROR_MAX >= (size), \
	    "one buffer serves all errors of a start")

ERROR_SERVES(CONF_ERROR_MAX);
ERROR_SERVES(KEYFILE_ERROR_MAX);
ERROR_SERVES(AUDITLOG_ERROR_MAX);
ERROR_SERVES(PATHS_ERROR_MAX);
ERROR_SERVES(TLSFILES_ERROR_MAX);
ERROR_SERVES(TOKENS_ERROR_MAX);
ERROR_SERVES(CONTROL_ERROR_MAX);

static _Noreturn void
usage(void)
{
	fprintf(stderr, "usage: ltpd [-dhnVv] [-D name=value] [-f file]\n");
	exit(2);
}

static _Noreturn void
help(void)
{
	printf("usage: ltpd [-dhnVv] [-D name=value] [-f file]\n"
	       "  -D name=value  set a keyword of ltpd.conf(5), over the file\n"
	       "  -d             stay in the foreground, log on stderr\n"
	       "  -f file        read this configuration\n"
	       "  -n             check the configuration; twice: print it\n"
	       "  -V             print the version and what is built in\n"
	       "  -v             log more; twice: everything\n");
	exit(0);
}

static _Noreturn void
version(void)
{
	printf("ltpd %s\n", LTPD_VERSION);
	printf("sandbox: %s\n", LTPD_SANDBOX);
	if (hooks_text() != NULL)
		printf("regress hooks: %s\n", hooks_text());
#ifdef LTPD_DISTRIBUTED
	printf("remote listeners: built in\n");
#else
	printf("remote listeners: not built in\n");
#endif
	printf("jwt: not built in\n");
	printf("audit log: built in\n");
	printf("broker: not built in\n");
	exit(0);
}

static void
parse_options(int argc, char *argv[], struct options *o)
{
	int ch;

	while ((ch = getopt(argc, argv, "D:df:hnVv")) != -1) {
		switch (ch) {
		case 'D':
			if (o->ndefs == LTPD_DEFS_MAX)
				usage();
			o->defs[o->ndefs++] = optarg;
			break;
		case 'd':
			o->debug = true;
			break;
		case 'f':
			o->conf_path = optarg;
			break;
		case 'h':
			help();
		case 'n':
			o->check++;
			break;
		case 'V':
			version();
		case 'v':
			o->verbose++;
			break;
		default:
			usage();
		}
	}
	if (optind != argc)
		usage();
}

/* Configuration and keys, or a line on stderr and exit. */
static void
load(struct parent *p)
{
	char error[RELOAD_ERROR_MAX];

	p->env = conf_env_take();
	if (p->env == NULL)
		fatal("environment");
	p->conf = conf_load(
	    p->opts->conf_path, p->env, p->opts->defs, p->opts->ndefs, error);
	if (p->conf == NULL)
		fatalx("%s", error);
	/* Before the secrets are wiped. */
	if (p->conf->audit_log_file != NULL &&
	    (p->auditlog = auditlog_new(p->conf, error)) == NULL)
		fatalx("%s", error);
	if ((p->tokens = tokens_read(p->conf, NULL, error)) == NULL)
		fatalx("%s", error);
	p->base_keys = keys_read_base(p->conf, NULL, error);
	conf_env_forget(p->env);
	if (p->base_keys != NULL)
		p->keys = keys_read_file(p->conf, p->base_keys, error);
	if (p->keys == NULL)
		fatalx("%s", error);
	tokens_forget_variable(p->tokens);
	if (p->conf->distributed.enabled && p->conf->distributed.tls.enabled &&
	    (p->tls = tlsfiles_read(p->conf, error)) == NULL)
		fatalx("%s", error);
}

static _Noreturn void
check(const struct parent *p)
{
	char error[TRIAL_ERROR_MAX];

	if (p->tls != NULL && trial_of_tls(p->conf, p->tls, error) == -1)
		fatalx("%s", error);
	if (p->opts->check > 1)
		conf_print(p->conf, stdout);
	else
		fprintf(stderr, "configuration OK\n");
	exit(fflush(stdout) == 0 ? 0 : 1);
}

static void
set_log_level(const struct parent *p)
{
	if (p->opts->verbose > 1)
		log_set_level(LEVEL_TRACE);
	else if (p->opts->verbose == 1)
		log_set_level(LEVEL_DEBUG);
	else
		log_set_level(p->conf->log_level);
}

/* Every connection is a descriptor: use what the limit allows. */
static void
raise_descriptor_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
}

/* Who reads the configuration again may be in another directory. */
static void
stay_found(struct options *o)
{
	char *path, *dir;

	if (o->conf_path == NULL || o->conf_path[0] == '/')
		return;
	if ((dir = getcwd(NULL, 0)) == NULL ||
	    asprintf(&path, "%s/%s", dir, o->conf_path) == -1)
		fatal("%s", o->conf_path);
	free(dir);
	o->conf_path = path;
}

/*
 * Go into the background.  The caller of ltpd waits until the node is up,
 * so that its exit status tells; the returned descriptor is where to say so.
 */
static int
background(void)
{
	int pipefd[2], null;
	char up;

	if (pipe2(pipefd, O_CLOEXEC) == -1)
		fatal("pipe");
	switch (fork()) {
	case -1:
		fatal("fork");
	case 0:
		break;
	default:
		close(pipefd[1]);
		_exit(read(pipefd[0], &up, 1) == 1 ? 0 : 1);
	}
	close(pipefd[0]);
	if (setsid() == -1 || chdir("/") == -1)
		fatal("cannot become a daemon");
	if ((null = open("/dev/null", O_RDWR)) == -1)
		fatal("/dev/null");
	/* stderr stays until the node is up, for what children cannot log. */
	if (dup2(null, STDIN_FILENO) == -1 || dup2(null, STDOUT_FILENO) == -1)
		fatal("/dev/null");
	if (null > STDERR_FILENO)
		close(null);
	return pipefd[1];
}

/*
 * What is done once and not after it: open the control socket, and shut the
 * supervisor in.
 */
static void
confine(struct parent *p)
{
	char error[RELOAD_ERROR_MAX];
	const char *demand = "both", *why;
	int saved;

	if (hooks_text() != NULL)
		log_warnx("ltpd: built with regress hooks, for tests alone");
	if (p->conf->sandbox != NULL)
		demand = p->conf->sandbox;
	else if (p->conf->landlock_optional)
		demand = "landlock-optional";
	if (sandbox_demand(demand) == -1)
		fatalx("sandbox: no such mode: %s", demand);
	p->control = control_open(
	    p->conf->control_socket, p->conf->control_group, error);
	if (p->control == NULL)
		fatalx("%s", error);
	p->paths = paths_new(p->conf, p->opts->conf_path, error);
	if (p->paths == NULL) {
		control_free(p->control);
		fatalx("sandbox: %s", error);
	}
	if (sandbox_enter(ROLE_PARENT, &why) == -1) {
		saved = errno;
		control_free(p->control);
		errno = saved;
		fatal("sandbox: %s", why);
	}
}

int
main(int argc, char *argv[])
{
	static char *defs[LTPD_DEFS_MAX];
	struct options opts = { .defs = defs };
	struct parent p = { .opts = &opts, .ready_fd = -1 };
	char error[LISTENER_ERROR_MAX];

	if (sandbox_harden(0) == -1)
		fatal("cannot harden the process");
	log_init("ltpd", LEVEL_INFO);
	parse_options(argc, argv, &opts);
	if (getuid() == 0 || geteuid() == 0)
		fatalx("refuses to run as root: start it as a user of its own");
	if (child_paths_init(argv[0]) == -1)
		fatal("cannot start");
	notify_init();
	if (opts.check == 0)
		stay_found(&opts);
	load(&p);
	if (opts.check > 0)
		check(&p);
	set_log_level(&p);
	raise_descriptor_limit();
	if ((p.listener = listener_open(p.conf, error)) == NULL)
		fatalx("%s", error);
	/* A service manager that is told needs no background. */
	if (!opts.debug && !notify_expected())
		p.ready_fd = background();
	if (logfile_open(p.conf->log_file, opts.debug) == -1)
		fatal("log_file: %s",
		    p.conf->log_file == NULL ? "syslog" : p.conf->log_file);
	logfile_echo(!opts.debug);
	logfile_set_json(p.conf->log_format == LOG_FORMAT_JSON);
	confine(&p);
	return parent_run(&p);
}
