/*
 * The worker's configuration, and whose connection one is behind proxies.
 */
#include "unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"

static struct settings *
trusting(const char *const *nets, size_t n)
{
	struct settings *s = settings_new(1);
	struct msg_conf_worker node = { .trust_proxy = 1, .node_id_len = 1 };
	uint8_t buf[sizeof(node) + 1];
	struct msg_conf_proxy m;
	struct cidr cidr;
	size_t i;

	assert_non_null(s);
	memcpy(buf, &node, sizeof(node));
	buf[sizeof(node)] = 'n';
	assert_int_equal(settings_node(s, buf, sizeof(buf)), 0);
	for (i = 0; i < n; i++) {
		assert_int_equal(cidr_parse(&cidr, nets[i]), 0);
		memcpy(m.ip, cidr.ip, sizeof(m.ip));
		m.bits = cidr.bits;
		assert_int_equal(
		    settings_proxy(s, (const uint8_t *)&m, sizeof(m)), 0);
	}
	return s;
}

static void
the_client_is_the_rightmost_address_that_is_no_proxy(void **state)
{
	static const char *const nets[] = { "127.0.0.0/8", "10.0.0.0/8",
		"fd00::/8" };
	static const struct {
		const char *peer;
		const char *header; /* NULL: none */
		const char *client; /* NULL: refused */
		bool missing;
	} rows[] = {
		{ "192.0.2.1", "198.51.100.7", "192.0.2.1", false },
		{ "127.0.0.1", "198.51.100.7", "198.51.100.7", false },
		{ "127.0.0.1", "203.0.113.5, 198.51.100.7", "198.51.100.7",
		    false },
		{ "127.0.0.1", "203.0.113.5,198.51.100.7,10.1.2.3",
		    "198.51.100.7", false },
		{ "127.0.0.1", "10.0.0.9, 10.1.2.3", "10.0.0.9", false },
		{ "127.0.0.1", "2001:db8::1", "2001:db8::1", false },
		{ "127.0.0.1", "[2001:db8::1]:4711", "2001:db8::1", false },
		{ "127.0.0.1", "[2001:db8::1]", "2001:db8::1", false },
		{ "127.0.0.1", "198.51.100.7:4711", "198.51.100.7", false },
		{ "127.0.0.1", "\t198.51.100.7 ", "198.51.100.7", false },
		{ "fd00::1", "198.51.100.7", "198.51.100.7", false },
		{ "127.0.0.1", NULL, "127.0.0.1", true },
		{ "127.0.0.1", "", "127.0.0.1", true },
		{ "127.0.0.1", "unknown", NULL, false },
		{ "127.0.0.1", "198.51.100.7,", NULL, false },
		{ "127.0.0.1", "nonsense, 10.0.0.1", NULL, false },
		/* what lies left of the client is nobody's business */
		{ "127.0.0.1", "nonsense, 198.51.100.7", "198.51.100.7",
		    false },
		{ "127.0.0.1", "1.2.3.4.5", NULL, false },
		{ "127.0.0.1", ",", NULL, false },
	};
	struct settings *s = trusting(nets, COUNT_OF(nets));
	char text[ADDR_TEXT_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		struct addr peer, client;
		bool missing;
		int rv;

		assert_int_equal(addr_parse_ip(&peer, rows[i].peer), 0);
		rv = settings_client_ip(
		    s, &peer, rows[i].header, &client, &missing);
		if (rows[i].client == NULL) {
			assert_int_equal(rv, -1);
			continue;
		}
		assert_int_equal(rv, 0);
		assert_string_equal(
		    addr_print_ip(&client, text), rows[i].client);
		assert_int_equal(missing, rows[i].missing);
	}
	settings_free(s);
}

static void
without_trust_the_header_is_ignored(void **state)
{
	static const char *const nets[] = { "127.0.0.0/8" };
	struct settings *s = trusting(nets, COUNT_OF(nets));
	struct addr peer, client;
	char text[ADDR_TEXT_MAX];
	bool missing;

	(void)state;
	s->node.trust_proxy = 0;
	assert_int_equal(addr_parse_ip(&peer, "127.0.0.1"), 0);
	assert_int_equal(
	    settings_client_ip(s, &peer, "nonsense", &client, &missing), 0);
	assert_string_equal(addr_print_ip(&client, text), "127.0.0.1");
	settings_free(s);
}

static void
a_record_that_lies_about_its_length_is_refused(void **state)
{
	struct settings *s = settings_new(1);
	struct msg_conf_worker node = { .node_id_len = 5 };

	(void)state;
	assert_int_equal(
	    settings_node(s, (const uint8_t *)&node, sizeof(node)), -1);
	assert_false(s->complete);
	settings_free(s);
}

static void
lists_are_bounded(void **state)
{
	struct settings *s = settings_new(1);
	struct msg_conf_proxy m = { .bits = 8 };
	int i;

	(void)state;
	for (i = 0; i < SETTINGS_LIST_MAX; i++) {
		assert_int_equal(
		    settings_proxy(s, (const uint8_t *)&m, sizeof(m)), 0);
		assert_int_equal(
		    settings_origin(s, (const uint8_t *)"http://a", 8), 0);
	}
	assert_int_equal(settings_proxy(s, (const uint8_t *)&m, sizeof(m)), -1);
	assert_int_equal(
	    settings_origin(s, (const uint8_t *)"http://a", 8), -1);
	m.bits = 129;
	s->nproxies = 0;
	assert_int_equal(settings_proxy(s, (const uint8_t *)&m, sizeof(m)), -1);
	settings_free(s);
}

static void
an_origin_must_be_on_the_list(void **state)
{
	struct settings *s = settings_new(1);

	(void)state;
	assert_false(settings_allows_origin(s, "http://localhost"));
	settings_origin(s, (const uint8_t *)"http://localhost:*", 18);
	assert_true(settings_allows_origin(s, "http://localhost:3000"));
	assert_false(
	    settings_allows_origin(s, "http://localhost.evil.example"));
	settings_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    the_client_is_the_rightmost_address_that_is_no_proxy),
		cmocka_unit_test(without_trust_the_header_is_ignored),
		cmocka_unit_test(
		    a_record_that_lies_about_its_length_is_refused),
		cmocka_unit_test(lists_are_bounded),
		cmocka_unit_test(an_origin_must_be_on_the_list),
	};

	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
