/*
 * jansson's opinion.
 */
#include "oracle.h"

#include <jansson.h>

enum oracle_verdict
oracle_read(const void *text, size_t len, struct json_t **out)
{
	json_error_t error;

	*out = json_loadb(text, len,
	    JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (*out != NULL)
		return ORACLE_GOOD;
	switch (json_error_code(&error)) {
	case json_error_numeric_overflow:
	case json_error_null_byte_in_key:
		return ORACLE_CANNOT;
	default:
		return ORACLE_BAD;
	}
}

void
oracle_free(struct json_t *o)
{
	json_decref(o);
}

bool
oracle_is_object(const struct json_t *o)
{
	return json_is_object(o);
}

const struct json_t *
oracle_member(const struct json_t *o, const char *name)
{
	return json_object_get(o, name);
}

const char *
oracle_string(const struct json_t *o, size_t *len)
{
	*len = json_string_length(o);
	return json_string_value(o);
}

int64_t
oracle_integer(const struct json_t *o)
{
	return json_integer_value(o);
}
