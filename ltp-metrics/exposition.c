/*
 * The writer of the Prometheus text.  Every family is printed at every
 * scrape, with its HELP and TYPE and all its label values, so that a query
 * finds a zero where nothing happened.  Values are integers, or integers of
 * micro- and milliseconds written as decimal fractions: nothing is rounded.
 */
#include "exposition.h"

#include <event2/buffer.h>

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "metric.h"

struct exposition {
	struct evbuffer *out;
	bool failed; /* out of memory; the rest is not printed */
};

/* A family with a sample for each process. */
struct process_family {
	const char *name;
	const char *type;
	const char *help;
	int64_t (*value)(const struct msg_process *); /* negative: unknown */
	bool us; /* the value is in microseconds, seconds are printed */
};

static void expo_add(struct exposition *, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));

static void
expo_add(struct exposition *x, const char *fmt, ...)
{
	va_list ap;

	if (x->failed)
		return;
	va_start(ap, fmt);
	x->failed = evbuffer_add_vprintf(x->out, fmt, ap) == -1;
	va_end(ap);
}

static void
expo_family(
    struct exposition *x, const char *name, const char *type, const char *help)
{
	expo_add(x, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Seconds, without the zeroes at the end of the fraction. */
static void
expo_seconds(struct exposition *x, uint64_t us)
{
	uint64_t fraction = us % 1000000;
	int digits = 6;

	expo_add(x, "%" PRIu64, us / 1000000);
	if (fraction == 0)
		return;
	for (; fraction % 10 == 0; digits--)
		fraction /= 10;
	expo_add(x, ".%0*" PRIu64, digits, fraction);
}

static void
expo_table(struct exposition *x, const char *type,
    const struct metric_desc *desc, const uint64_t *value, size_t n)
{
	const char *family = "";
	size_t i;

	for (i = 0; i < n; i++) {
		if (strcmp(desc[i].family, family) != 0) {
			family = desc[i].family;
			expo_family(x, family, type, desc[i].help);
		}
		if (desc[i].label == NULL)
			expo_add(x, "%s %" PRIu64 "\n", family, value[i]);
		else
			expo_add(x, "%s{%s=\"%s\"} %" PRIu64 "\n", family,
			    desc[i].label, desc[i].value, value[i]);
	}
}

static void
expo_hist(
    struct exposition *x, const struct metric_desc *desc, const struct hist *h)
{
	uint64_t count = 0;
	size_t i;

	expo_family(x, desc->family, "histogram", desc->help);
	for (i = 0; i < HIST_BUCKETS - 1; i++) {
		count += h->bucket[i];
		expo_add(x, "%s_bucket{le=\"", desc->family);
		expo_seconds(x, hist_bounds_us[i]);
		expo_add(x, "\"} %" PRIu64 "\n", count);
	}
	count += h->bucket[i];
	expo_add(
	    x, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", desc->family, count);
	expo_add(x, "%s_sum ", desc->family);
	expo_seconds(x, h->sum_us);
	expo_add(x, "\n%s_count %" PRIu64 "\n", desc->family, count);
}

static int64_t
process_resident(const struct msg_process *p)
{
	return p->resident_bytes;
}

static int64_t
process_descriptors(const struct msg_process *p)
{
	return p->descriptors;
}

static int64_t
process_cpu(const struct msg_process *p)
{
	return p->cpu_us;
}

static int64_t
process_restarts(const struct msg_process *p)
{
	return p->restarts;
}

static const struct process_family process_families[] = {
	{ "ltp_process_resident_bytes", "gauge",
	    "Memory of the process that is in core.", process_resident, false },
	{ "ltp_process_open_descriptors", "gauge",
	    "Descriptors that the process has open.", process_descriptors,
	    false },
	{ "ltp_process_cpu_seconds_total", "counter",
	    "Processor time of the process, user and system.", process_cpu,
	    true },
	{ "ltp_process_restarts_total", "counter",
	    "How often the process was started anew.", process_restarts,
	    false },
};

#define PROCESS_FAMILIES \
	(sizeof(process_families) / sizeof(process_families[0]))

static void
expo_process_family(struct exposition *x, const struct process_family *f,
    const struct snapshot *s)
{
	const struct msg_process *p;
	int64_t value;
	size_t i;

	expo_family(x, f->name, f->type, f->help);
	for (i = 0; i < s->nprocess; i++) {
		p = &s->process[i];
		if ((value = f->value(p)) < 0)
			continue;
		expo_add(x, "%s{process=\"%s\",slot=\"%" PRIu32 "\"} ", f->name,
		    role_name(p->role), p->slot);
		if (f->us)
			expo_seconds(x, value);
		else
			expo_add(x, "%" PRId64, value);
		expo_add(x, "\n");
	}
}

static void
expo_node(struct exposition *x, const struct snapshot *s, const char *version)
{
	expo_family(x, "ltp_build_info", "gauge",
	    "Always 1; the label tells the version.");
	expo_add(x, "ltp_build_info{version=\"%s\"} 1\n", version);
	expo_family(x, "ltp_uptime_seconds", "gauge",
	    "Time since the node was started.");
	expo_add(x, "ltp_uptime_seconds ");
	expo_seconds(x, s->stat.uptime_ms * 1000);
	expo_add(x, "\n");
	expo_family(x, "ltp_workers_configured", "gauge",
	    "Workers that the configuration asks for.");
	expo_add(x, "ltp_workers_configured %" PRIu32 "\n",
	    s->stat.workers_configured);
}

int
exposition_print(
    struct evbuffer *out, const struct snapshot *s, const char *version)
{
	struct exposition x = { .out = out };
	size_t i;

	expo_node(&x, s, version);
	expo_table(&x, "gauge", gauge_desc, s->stat.gauges, GAUGE__MAX);
	expo_table(&x, "counter", counter_desc, s->stat.counters.n, COUNT__MAX);
	for (i = 0; i < HIST__MAX; i++)
		expo_hist(&x, &hist_desc[i], &s->stat.counters.hist[i]);
	for (i = 0; i < PROCESS_FAMILIES; i++)
		expo_process_family(&x, &process_families[i], s);
	return x.failed ? -1 : 0;
}
