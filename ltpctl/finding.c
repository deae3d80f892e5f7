/*
 * Findings: how several remarks become one, and how they are printed.
 */
#include <stdarg.h>
#include <string.h>

#include "finding.h"
#include "output.h"
#include "output_json.h"

#define SEPARATOR "; "

static const struct {
	const char *name;
	const char *mark;
} statuses[] = {
	[FINDING_OK] = { "ok", "[OK]" },
	[FINDING_WARNING] = { "warning", "[WARN]" },
	[FINDING_ERROR] = { "error", "[ERR]" },
};

static void
finding_add(struct finding *, enum finding_status, const char *advice,
    const char *fmt, va_list) __attribute__((__format__(printf, 4, 0)));

static void
finding_add(struct finding *f, enum finding_status status, const char *advice,
    const char *fmt, va_list ap)
{
	size_t len;

	if (status == FINDING_OK && f->status != FINDING_OK)
		return;
	if (f->status == FINDING_OK && status != FINDING_OK)
		f->detail[0] = '\0';
	if (status > f->status)
		f->status = status;
	if (f->detail[0] != '\0')
		strlcat(f->detail, SEPARATOR, sizeof(f->detail));
	len = strlen(f->detail);
	vsnprintf(f->detail + len, sizeof(f->detail) - len, fmt, ap);
	/* The same thing may have to be done about many. */
	if (advice == NULL || strstr(f->advice, advice) != NULL)
		return;
	if (f->advice[0] != '\0')
		strlcat(f->advice, SEPARATOR, sizeof(f->advice));
	strlcat(f->advice, advice, sizeof(f->advice));
}

void
finding_ok(struct finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	finding_add(f, FINDING_OK, NULL, fmt, ap);
	va_end(ap);
}

void
finding_warn(struct finding *f, const char *advice, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	finding_add(f, FINDING_WARNING, advice, fmt, ap);
	va_end(ap);
}

void
finding_error(struct finding *f, const char *advice, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	finding_add(f, FINDING_ERROR, advice, fmt, ap);
	va_end(ap);
}

const char *
finding_status_name(enum finding_status status)
{
	return statuses[status].name;
}

void
finding_print(const struct finding *f, const char *name, FILE *fp)
{
	struct bytes b = { f->detail, strlen(f->detail) };

	fprintf(fp, "%s %s", statuses[f->status].mark, name);
	if (b.len > 0) {
		fputs(" - ", fp);
		output_put_line(fp, &b);
	}
	fputc('\n', fp);
	if (f->status == FINDING_OK || f->advice[0] == '\0')
		return;
	b.p = f->advice;
	b.len = strlen(f->advice);
	fputs("    ", fp);
	output_put_line(fp, &b);
	fputc('\n', fp);
}

struct json_t *
finding_json(const struct finding *f, const char *name)
{
	json_t *o = output_json_object();

	output_json_str(o, "name", name);
	output_json_str(o, "status", finding_status_name(f->status));
	if (f->detail[0] != '\0')
		output_json_str(o, "detail", f->detail);
	if (f->status != FINDING_OK && f->advice[0] != '\0')
		output_json_str(o, "recommendation", f->advice);
	return o;
}
