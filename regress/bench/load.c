/*
 * A load generator for benchmarks: one thread, epoll, and a check of every
 * byte that comes back.  It prints one line of JSON, and exits 1 as soon as
 * something is wrong.
 */
#include "load.h"

#include <sys/epoll.h>
#include <sys/resource.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conn.h"
#include "tlsclient.h"

#define LOAD_DRAIN       (10 * LOAD_SECOND)
#define LOAD_SPARE_FILES 64 /* besides connections */

static const struct mode modes[] = {
	{ "closed", closed_run, NULL, closed_replied },
	{ "open", open_run, NULL, open_replied },
	{ "connect", connect_run, connect_greeted, NULL },
	{ "hold", hold_run, NULL, NULL },
};

struct options {
	const char *node_id, *api_key, *key_id;
	const char *token_file, *tls_version, *certificate;
	bool resume;
	char token[TARGET_BYTES_MAX];
};

static void __attribute__((noreturn)) usage(void)
{
	fprintf(stderr,
	    "usage: load [options] mode target port\n"
	    "mode:   closed | open | connect | hold\n"
	    "target: floor | echo | ltp | remote | nats, on 127.0.0.1\n"
	    "  -a file remote: the token\n"
	    "  -b      closed: measure till the server is at rest again, for\n"
	    "          one that works on behind its replies\n"
	    "  -C file TLS: the only certificate to accept\n"
	    "  -c n    connections (64)\n"
	    "  -d n    closed: messages on their way per connection (1)\n"
	    "  -f n    connections being greeted at a time (64)\n"
	    "  -i id   ltp: id of the node (bench)\n"
	    "  -k key  ltp: API key\n"
	    "  -n id   ltp: id of that key, which replies then have\n"
	    "  -p pids account the processor time of these, as 12,34\n"
	    "  -R      TLS: resume sessions by ticket\n"
	    "  -r n    open: messages a second, all connections (10000)\n"
	    "  -s n    source addresses (1)\n"
	    "  -T v    speak TLS of this version, 1.2 or 1.3\n"
	    "  -t n    seconds to measure (1)\n"
	    "  -w n    seconds before that (0.2)\n");
	exit(2);
}

uint64_t
load_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * LOAD_SECOND + (uint64_t)ts.tv_nsec;
}

/* ---- what the modes share ---- */

void
load_measure(struct load *l)
{
	histogram_reset(&l->latency);
	histogram_reset(&l->lag);
	l->messages = 0;
	l->measuring = true;
	if (cpu_start(&l->cpu) == -1)
		err(1, "a process of the server has gone");
	l->begin = load_now();
}

void
load_measured(struct load *l)
{
	l->measuring = false;
	if (l->elapsed == 0)
		l->elapsed = load_now() - l->begin;
	if (cpu_stop(&l->cpu) == -1)
		err(1, "a process of the server has gone");
}

void
load_open_all(struct load *l)
{
	l->conns = calloc(l->connections, sizeof(*l->conns));
	if (l->conns == NULL)
		err(1, NULL);
	while (l->greeted < l->connections) {
		while (l->opened < l->connections &&
		       l->opened - l->greeted < l->in_flight)
			l->conns[l->opened] = conn_open(l, l->opened);
		conn_wait(l, -1);
	}
}

void
load_drain(struct load *l)
{
	uint64_t end = load_now() + LOAD_DRAIN;

	l->stopping = true;
	while (l->received < l->sent) {
		if (load_now() > end)
			errx(1, "%llu of %llu replies never came",
			    (unsigned long long)(l->sent - l->received),
			    (unsigned long long)l->sent);
		conn_wait(l, 10);
	}
}

void
load_settle(struct load *l)
{
	if (cpu_settle(&l->cpu) == -1)
		err(1, "the server does not come to rest");
}

/* ---- options ---- */

static unsigned
number(const char *text, unsigned min, unsigned max)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || value < min ||
	    value > max)
		errx(2, "%s: not a number from %u to %u", text, min, max);
	return (unsigned)value;
}

static double
seconds(const char *text)
{
	char *end;
	double value;

	value = strtod(text, &end);
	if (end == text || *end != '\0' || !(value >= 0 && value <= 86400))
		errx(2, "%s: not a number of seconds", text);
	return value;
}

static void
load_option_remote(struct options *o, int letter, const char *value)
{
	switch (letter) {
	case 'a':
		o->token_file = value;
		break;
	case 'C':
		o->certificate = value;
		break;
	case 'R':
		o->resume = true;
		break;
	case 'T':
		o->tls_version = value;
		break;
	default:
		usage();
	}
}

static void
load_option(struct load *l, struct options *o, int letter, const char *value)
{
	switch (letter) {
	case 'b':
		l->behind = true;
		break;
	case 'c':
		l->connections = number(value, 1, TARGET_CLIENTS / 2);
		break;
	case 'd':
		l->depth = number(value, 1, 4096);
		break;
	case 'f':
		l->in_flight = number(value, 1, 65536);
		break;
	case 'i':
		o->node_id = value;
		break;
	case 'k':
		o->api_key = value;
		break;
	case 'n':
		o->key_id = value;
		break;
	case 'p':
		if (cpu_parse(&l->cpu, value) == -1)
			err(2, "processes %s", value);
		break;
	case 'r':
		l->rate = number(value, 1, 100000000);
		break;
	case 's':
		l->sources = number(value, 1, 250);
		break;
	case 't':
		l->seconds = seconds(value);
		break;
	case 'w':
		l->warm_up = seconds(value);
		break;
	default:
		load_option_remote(o, letter, value);
	}
}

/* The first line of a file, so that it is in no list of processes. */
static void
load_token(struct options *o)
{
	FILE *f = fopen(o->token_file, "r");

	if (f == NULL || fgets(o->token, sizeof(o->token), f) == NULL)
		err(2, "%s", o->token_file);
	fclose(f);
	o->token[strcspn(o->token, "\n")] = '\0';
	o->api_key = o->token;
}

static void
load_arguments(struct load *l, struct options *o, char **argv)
{
	size_t i;

	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(argv[0], modes[i].name) == 0)
			l->mode = &modes[i];
	}
	if (l->mode == NULL)
		errx(2, "%s: no such mode", argv[0]);
	l->target_name = argv[1];
	if (o->token_file != NULL)
		load_token(o);
	if (o->tls_version != NULL)
		l->tls =
		    tlsclient_new(o->tls_version, o->certificate, o->resume);
	else if (o->certificate != NULL || o->resume)
		usage();
	if (target_init(
		&l->target, argv[1], o->node_id, o->api_key, o->key_id) == -1)
		errx(2, "%s: no such target, or a name is too long", argv[1]);
	l->server.sin_family = AF_INET;
	l->server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l->server.sin_port = htons((uint16_t)number(argv[2], 1, UINT16_MAX));
}

/* A descriptor for each connection. */
static void
load_limit(const struct load *l)
{
	rlim_t need = l->connections + LOAD_SPARE_FILES;
	struct rlimit rl;

	if (l->mode->run == connect_run)
		need = l->in_flight + LOAD_SPARE_FILES;
	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		err(1, "RLIMIT_NOFILE");
	if (rl.rlim_cur >= need)
		return;
	rl.rlim_cur = need;
	if (rl.rlim_max < need)
		rl.rlim_max = need;
	if (setrlimit(RLIMIT_NOFILE, &rl) == -1)
		err(1, "RLIMIT_NOFILE %llu", (unsigned long long)need);
}

/* ---- the result ---- */

static double
microseconds(const struct histogram *h, double q)
{
	return (double)histogram_quantile(h, q) / 1000;
}

static uint64_t
load_own_cpu(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * LOAD_SECOND + (uint64_t)ts.tv_nsec;
}

static void
load_print(const struct load *l)
{
	double elapsed = (double)l->elapsed / LOAD_SECOND;
	size_t i;

	printf("{\"mode\":\"%s\",\"target\":\"%s\",\"connections\":%u,"
	       "\"depth\":%u,\"sent\":%llu,\"messages\":%llu,"
	       "\"seconds\":%.6f,\"rate\":%.1f,",
	    l->mode->name, l->target_name, l->connections, l->depth,
	    (unsigned long long)l->sent, (unsigned long long)l->messages,
	    elapsed, elapsed > 0 ? (double)l->messages / elapsed : 0);
	printf("\"p50_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f,"
	       "\"max_us\":%.2f,\"lag_p99_us\":%.2f,",
	    microseconds(&l->latency, 0.5), microseconds(&l->latency, 0.99),
	    microseconds(&l->latency, 0.999), (double)l->latency.max / 1000,
	    microseconds(&l->lag, 0.99));
	if (l->tls != NULL)
		printf("\"handshakes\":%llu,\"resumed\":%llu,",
		    (unsigned long long)tlsclient_full(l->tls),
		    (unsigned long long)tlsclient_resumed(l->tls));
	printf("\"client_cpu_ns\":%llu,\"cpu_ns\":%llu,\"cpu_each_ns\":[",
	    (unsigned long long)load_own_cpu(),
	    (unsigned long long)cpu_sum(&l->cpu));
	for (i = 0; i < l->cpu.count; i++)
		printf("%s%llu", i > 0 ? "," : "",
		    (unsigned long long)l->cpu.used[i]);
	printf("]}\n");
}

int
main(int argc, char **argv)
{
	struct load load = {
		.connections = 64,
		.depth = 1,
		.in_flight = 64,
		.sources = 1,
		.rate = 10000,
		.seconds = 1,
		.warm_up = 0.2,
	};
	struct options options = { .node_id = "bench" };
	int c;

	while ((c = getopt(argc, argv, "a:bC:c:d:f:i:k:n:p:Rr:s:T:t:w:")) != -1)
		load_option(&load, &options, c, optarg);
	if (argc - optind != 3)
		usage();
	load_arguments(&load, &options, argv + optind);
	load_limit(&load);
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (load.epoll == -1)
		err(1, "epoll_create1");
	load.mode->run(&load);
	load_print(&load);
	if (fflush(stdout) == EOF)
		err(1, "standard output");
	return 0;
}
