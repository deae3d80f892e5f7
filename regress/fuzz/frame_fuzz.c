/*
 * One LTP message, all the way: what it is taken for, beside what jansson
 * reads, the replies, and its line in the audit log.  The input is a byte of
 * settings and the text.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chain.h"
#include "frame.h"
#include "fuzz.h"
#include "number.h"
#include "oracle.h"
#include "trace.h"

#include "ltpctl/canon.h"

static struct json *scanner;

static void
check_double(double value)
{
	char text[NUMBER_TEXT_MAX + 1], *end;
	struct str s = { text, 0 };
	double back;

	if (!isfinite(value))
		return;
	end = number_put_double(text, value);
	s.len = (size_t)(end - text);
	FUZZ_ASSERT(s.len < sizeof(text));
	*end = '\0';
	FUZZ_ASSERT(strpbrk(text, ".e") != NULL);
	FUZZ_ASSERT(strtod(text, NULL) == value);
	FUZZ_ASSERT(number_get_double(s.p, s.len, &back) && back == value);
	FUZZ_ASSERT(signbit(back) == signbit(value));
}

/* A member that is good is what jansson read. */
static void
check_string(const struct json_t *o, const char *name, const struct str *s)
{
	const struct json_t *v = oracle_member(o, name);
	const char *text;
	size_t len;

	if (oracle_is_object(v))
		v = oracle_member(v, "Custom");
	text = oracle_string(v, &len);
	FUZZ_ASSERT(text != NULL && len == s->len);
	FUZZ_ASSERT(memcmp(text, s->p, len) == 0);
}

/* v is NULL when jansson gave up; to it -0 is 0. */
static void
check_real(const struct json_t *v, double value)
{
	FUZZ_ASSERT(v == NULL || oracle_real(v) == value);
}

static void
check_frame(const struct frame *f, const struct json_t *o)
{
	const struct {
		unsigned field;
		const char *name;
		const struct str *value;
	} strings[] = {
		{ FIELD_CLIENT_ID, "client_id", &f->client_id },
		{ FIELD_SESSION_ID, "session_id", &f->session_id },
		{ FIELD_SESSION_TAG, "session_tag", &f->session_tag },
		{ FIELD_CLIENT_LABEL, "client_label", &f->client_label },
		{ FIELD_AUTH_TOKEN, "auth_token", &f->auth_token },
		{ FIELD_API_KEY, "api_key", &f->api_key },
		{ FIELD_HINT, "hint_sector", &f->hint_sector },
	};
	unsigned good = f->present & ~f->bad;
	int64_t timestamp;
	size_t i;

	FUZZ_ASSERT((f->bad & ~f->present) == 0);
	for (i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		if ((good & strings[i].field) == 0)
			continue;
		FUZZ_ASSERT(strings[i].value->len <= AUTH_KEY_MAX);
		if (o != NULL)
			check_string(o, strings[i].name, strings[i].value);
	}
	if ((good & FIELD_TIMESTAMP) != 0) {
		FUZZ_ASSERT(number_get_int64(
		    f->timestamp.p, f->timestamp.len, &timestamp));
		FUZZ_ASSERT(o == NULL || oracle_integer(oracle_member(
					     o, "timestamp_ms")) == timestamp);
	}
	if ((good & FIELD_MOMENTUM) != 0) {
		FUZZ_ASSERT(isfinite(f->focus_momentum));
		check_double(f->focus_momentum);
		check_real(
		    oracle_member(o, "focus_momentum"), f->focus_momentum);
	}
	if ((good & FIELD_TIME) != 0) {
		FUZZ_ASSERT(f->direction != DIRECTION_NONE);
		check_double(f->strength);
		check_real(oracle_member(oracle_member(o, "time_orientation"),
			       "strength"),
		    f->strength);
	}
}

/* ---- replies ---- */

static void
check_reply(
    const char *text, size_t len, const char *name, const struct str *value)
{
	struct json_t *o;

	FUZZ_ASSERT(len < FRAME_REPLY_MAX);
	FUZZ_ASSERT(oracle_read(text, len, false, &o) == ORACLE_GOOD);
	check_string(o, name, value);
	oracle_free(o);
}

static void
check_replies(const struct frame *f, enum conf_dialect dialect)
{
	const struct orientation o = { (f->present & FIELD_MOMENTUM) != 0,
		f->focus_momentum, f->direction, f->strength };
	const struct str *id =
	    dialect == DIALECT_CLIENT ? &f->client_id : &f->session_id;
	const char *name =
	    dialect == DIALECT_CLIENT ? "client_id" : "session_id";
	char out[FRAME_REPLY_MAX];

	if (id->len == 0)
		return;
	if (f->timestamp.len > 0)
		check_reply(out,
		    frame_print_heartbeat_ack(out, dialect, id, &f->timestamp),
		    name, id);
	check_reply(
	    out, frame_print_suggestion(out, dialect, id, &o), name, id);
	check_reply(out, frame_print_hello_ack(out, id, id), "node_id", id);
}

/* ---- the audit log ---- */

static void
check_audit(const struct trace *t)
{
	static struct chain chain;
	char out[AUDIT_FRAME_MAX], line[CHAIN_LINE_MAX];
	struct msg_audit_record r = {
		.timestamp_ms = 5, .direction = AUDIT_IN, .session_id_len = 1
	};
	struct chain_line l;
	size_t before, len, env, env_len;

	if (chain.sha256 == NULL)
		FUZZ_ASSERT(chain_init(&chain) == 0);
	len = trace_print(out, t, &before);
	FUZZ_ASSERT(len <= AUDIT_FRAME_MAX && before <= len);
	r.before_len = (uint16_t)before;
	r.after_len = (uint16_t)(len - before);
	FUZZ_ASSERT(chain_accepts(&r, "7", out, out + before));
	len = chain_append(&chain, line, &r, "7", out, out + before);
	FUZZ_ASSERT(len > 0 && len <= sizeof(line) && line[len - 1] == '\n');
	FUZZ_ASSERT(chain_parse(line, len - 1, &l));
	FUZZ_ASSERT(chain_check_hash(&chain, &l) == 1);
	FUZZ_ASSERT(canon_check(l.frame, l.frame_len, &env, &env_len) == NULL);
	FUZZ_ASSERT(env_len > 0);
}

static void
check_traces(
    const struct frame *f, enum conf_dialect dialect, bool named, bool hash)
{
	const struct orientation o = { (f->present & FIELD_MOMENTUM) != 0,
		f->focus_momentum, f->direction, f->strength };
	const struct str *id =
	    dialect == DIALECT_CLIENT ? &f->client_id : &f->session_id;
	const char *own = dialect == DIALECT_SESSION ? "own" : "";
	static const char proven[] = "id of a key \"\\\xc3\xa9";
	const struct str name = { proven, sizeof(proven) - 1 };
	const struct str *identity = named ? &name : NULL;
	char sector[ROUTE_SECTOR_MAX];
	struct trace t;

	trace_init(&t, identity, hash);
	trace_of_message(&t, dialect, f, own);
	check_audit(&t);
	trace_init(&t, identity, hash);
	trace_of_message(&t, dialect, f, "own");
	trace_of_remote(&t, f, "own");
	check_audit(&t);
	if (id->len == 0)
		return;
	if (f->timestamp.len > 0) {
		trace_init(&t, identity, hash);
		trace_of_heartbeat_ack(&t, dialect, id, &f->timestamp);
		check_audit(&t);
	}
	trace_init(&t, identity, hash);
	trace_of_suggestion(&t, dialect, id, &o, sector);
	check_audit(&t);
	trace_init(&t, identity, hash);
	trace_of_hello_ack(&t, id, own);
	check_audit(&t);
	trace_init(&t, identity, hash);
	trace_of_error(&t, *own != '\0' ? "INVALID" : NULL, "invalid message",
	    named ? "dist.replay_detected" : NULL);
	check_audit(&t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz in = { data, len };
	uint8_t flags = fuzz_u8(&in);
	enum oracle_verdict verdict;
	enum conf_dialect d;
	struct frame f;
	double value;
	char *text;
	struct json_t *o;
	size_t n;

	if (scanner == NULL)
		FUZZ_ASSERT((scanner = json_new()) != NULL);
	n = in.left;
	verdict = oracle_read(in.p, n, false, &o);
	text = fuzz_text(&in);
	if (n >= sizeof(value)) {
		memcpy(&value, text, sizeof(value));
		check_double(value);
	}
	if (frame_parse(scanner, text, n, &f)) {
		check_frame(&f, o);
		for (d = DIALECT_CLIENT; d <= DIALECT_SESSION; d++) {
			if (!frame_valid(&f, d))
				continue;
			FUZZ_ASSERT(frame_fields(d, f.type) != 0);
			FUZZ_ASSERT(frame_type_name(f.type) != NULL);
			check_replies(&f, d);
			check_traces(&f, d, flags & 1, (flags & 2) != 0);
		}
		frame_dialect(&f);
	} else
		FUZZ_ASSERT(!oracle_is_object(o) ||
			    oracle_excuse(data + 1, n, false, verdict) != NULL);
	free(text);
	oracle_free(o);
	return 0;
}
