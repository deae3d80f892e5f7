/*
 * addr.c: text and socket addresses, and what policy asks of them.
 */
#include "unit.h"

#include <netinet/in.h>

#include <stdbool.h>
#include <string.h>

#include "addr.h"

static struct addr
must_parse(const char *text)
{
	struct addr addr;

	if (addr_parse(&addr, text) == -1)
		fail_msg("%s is refused", text);
	return addr;
}

static struct addr
must_parse_ip(const char *text)
{
	struct addr addr;

	if (addr_parse_ip(&addr, text) == -1)
		fail_msg("%s is refused", text);
	return addr;
}

static void
addresses_print_in_their_shortest_form(void **state)
{
	static const struct {
		const char *text;
		const char *printed;
	} rows[] = {
		{ "127.0.0.1:7070", "127.0.0.1:7070" },
		{ "0.0.0.0:1", "0.0.0.0:1" },
		{ "255.255.255.255:65535", "255.255.255.255:65535" },
		{ "[::1]:7070", "[::1]:7070" },
		{ "[::]:80", "[::]:80" },
		{ "[0:0:0:0:0:0:0:1]:7070", "[::1]:7070" },
		{ "[2001:DB8::A]:443", "[2001:db8::a]:443" },
		{ "[::ffff:10.0.0.1]:80", "10.0.0.1:80" },
		{ "[::ffff:a00:1]:80", "10.0.0.1:80" },
		{ "10.0.0.1:0080", "10.0.0.1:80" },
	};
	char buf[ADDR_TEXT_MAX];
	struct addr addr;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		addr = must_parse(rows[i].text);
		assert_string_equal(addr_print(&addr, buf), rows[i].printed);
	}
}

static void
what_is_no_address_with_a_port_is_refused(void **state)
{
	static const char *const rows[] = { "", ":", "127.0.0.1",
		"127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
		"127.0.0.1:99999999999999999999", "127.0.0.1:-1",
		"127.0.0.1:+1", "127.0.0.1: 1", "127.0.0.1:80 ",
		"127.0.0.1:0x50", "127.0.0.1:http", " 127.0.0.1:80", "127.1:80",
		"127.0.0.01:80", "2130706433:80", "256.0.0.1:80",
		"localhost:80", "*:80", ":80", "::1:80", "[::1]",
		"[::1]:", "[::1:80", "::1]:80", "[]:80", "[", "[:80", "]:80",
		"[127.0.0.1]:80", "[::1]80", "[::1] :80", "[[::1]]:80",
		"[fe80::1%lo]:80", "[::1]]:80",
		"[1111:2222:3333:4444:5555:6666:7777:8888:9999]:80",
		"[0000000000000000000000000000000000000000000000000::1]:80" };
	struct addr addr;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		if (addr_parse(&addr, rows[i]) == 0)
			fail_msg("'%s' is taken", rows[i]);
	}
}

static void
an_address_without_a_port_has_no_brackets(void **state)
{
	static const char *const bad[] = { "", "[::1]", "1.2.3.4:80", "1.2.3",
		"1.2.3.4 ", " 1.2.3.4", "1.2.3.4,5.6.7.8", "::1%lo", "::g",
		"unknown", "_hidden" };
	char buf[ADDR_TEXT_MAX];
	struct addr addr;
	size_t i;

	(void)state;
	addr = must_parse_ip("192.0.2.1");
	assert_string_equal(addr_print_ip(&addr, buf), "192.0.2.1");
	assert_int_equal(addr.port, 0);
	addr = must_parse_ip("2001:db8:0:0::1");
	assert_string_equal(addr_print_ip(&addr, buf), "2001:db8::1");
	addr = must_parse_ip("::ffff:192.0.2.1");
	assert_string_equal(addr_print_ip(&addr, buf), "192.0.2.1");
	for (i = 0; i < COUNT_OF(bad); i++) {
		if (addr_parse_ip(&addr, bad[i]) == 0)
			fail_msg("'%s' is taken", bad[i]);
	}
}

static void
the_longest_address_fits(void **state)
{
	char buf[ADDR_TEXT_MAX];
	struct addr addr;

	(void)state;
	addr = must_parse("[1111:2222:3333:4444:5555:6666:7777:8888]:65535");
	assert_string_equal(addr_print(&addr, buf),
	    "[1111:2222:3333:4444:5555:6666:7777:8888]:65535");
}

static void
networks_contain_what_they_cover(void **state)
{
	static const struct {
		const char *cidr;
		const char *ip;
		bool inside;
	} rows[] = {
		{ "10.0.0.0/8", "10.255.255.255", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "10.0.0.0/8", "::ffff:10.1.2.3", true },
		{ "10.0.0.0/8", "::10.1.2.3", false },
		{ "10.1.2.3/8", "10.9.9.9", true },
		{ "192.0.2.128/25", "192.0.2.128", true },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "192.0.2.1/32", "192.0.2.2", false },
		{ "192.0.2.0/31", "192.0.2.1", true },
		{ "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "2001:db8::1", true },
		{ "::/0", "203.0.113.9", true },
		{ "fd00::/8", "fdff::1", true },
		{ "fd00::/8", "fe00::1", false },
		{ "::1", "::1", true },
		{ "::1/128", "::2", false },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::1", false },
		{ "::ffff:10.0.0.0/104", "10.200.0.1", true },
		{ "::ffff:10.0.0.0/104", "11.0.0.1", false },
		{ "127.0.0.0/8", "::1", false },
	};
	struct cidr cidr;
	struct addr addr;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(cidr_parse(&cidr, rows[i].cidr), 0);
		addr = must_parse_ip(rows[i].ip);
		if (cidr_contains(&cidr, &addr) != rows[i].inside)
			fail_msg("%s in %s", rows[i].ip, rows[i].cidr);
	}
}

static void
what_is_no_network_is_refused(void **state)
{
	static const char *const rows[] = { "", "/", "/8", "10.0.0.0/",
		"10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8 ",
		"10.0.0.0/8/8", "10.0.0.0/255.0.0.0", "10/8", "fd00::/129",
		"[fd00::]/8", "10.0.0.0:80/8", "all" };
	struct cidr cidr;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		if (cidr_parse(&cidr, rows[i]) == 0)
			fail_msg("'%s' is taken", rows[i]);
	}
}

static void
loopback_is_decided_on_the_parsed_address(void **state)
{
	static const struct {
		const char *ip;
		bool loopback;
	} rows[] = {
		{ "127.0.0.1", true },
		{ "127.255.255.254", true },
		{ "::1", true },
		{ "0:0:0:0:0:0:0:1", true },
		{ "::ffff:127.0.0.1", true },
		{ "0.0.0.0", false },
		{ "::", false },
		{ "0:0:0:0:0:0:0:0", false },
		{ "10.0.0.0", false },
		{ "126.255.255.255", false },
		{ "128.0.0.1", false },
		{ "::ffff:10.0.0.1", false },
		{ "::127.0.0.1", false },
		{ "fe80::1", false },
		{ "1::1", false },
	};
	struct addr addr;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		addr = must_parse_ip(rows[i].ip);
		if (addr_is_loopback(&addr) != rows[i].loopback)
			fail_msg("%s", rows[i].ip);
	}
}

static void
limits_count_ipv4_whole_and_ipv6_by_64_bits(void **state)
{
	uint8_t a[16], b[16];
	struct addr addr;

	(void)state;
	addr = must_parse_ip("2001:db8:1:2:3:4:5:6");
	addr_limit_key(&addr, a);
	addr = must_parse_ip("2001:db8:1:2:ffff::1");
	addr_limit_key(&addr, b);
	assert_memory_equal(a, b, sizeof(a));
	addr = must_parse_ip("2001:db8:1:3:3:4:5:6");
	addr_limit_key(&addr, b);
	assert_memory_not_equal(a, b, sizeof(a));

	addr = must_parse_ip("192.0.2.1");
	addr_limit_key(&addr, a);
	addr = must_parse_ip("::ffff:192.0.2.1");
	addr_limit_key(&addr, b);
	assert_memory_equal(a, b, sizeof(a));
	addr = must_parse_ip("192.0.2.2");
	addr_limit_key(&addr, b);
	assert_memory_not_equal(a, b, sizeof(a));

	/* ::1 and 0.0.0.0 are not the same to them. */
	addr = must_parse_ip("::1");
	addr_limit_key(&addr, a);
	addr = must_parse_ip("0.0.0.0");
	addr_limit_key(&addr, b);
	assert_memory_not_equal(a, b, sizeof(a));
}

static void
socket_addresses_go_both_ways(void **state)
{
	static const struct {
		const char *text;
		int family;
		socklen_t len;
	} rows[] = {
		{ "192.0.2.1:7070", AF_INET, sizeof(struct sockaddr_in) },
		{ "[2001:db8::1]:7070", AF_INET6, sizeof(struct sockaddr_in6) },
		{ "[::ffff:192.0.2.1]:7070", AF_INET,
		    sizeof(struct sockaddr_in) },
	};
	struct sockaddr_storage ss;
	struct addr addr, back;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		addr = must_parse(rows[i].text);
		assert_int_equal(addr_to_sockaddr(&addr, &ss), rows[i].len);
		assert_int_equal(ss.ss_family, rows[i].family);
		assert_int_equal(
		    addr_from_sockaddr(&back, (const struct sockaddr *)&ss), 0);
		assert_memory_equal(back.ip, addr.ip, sizeof(addr.ip));
		assert_int_equal(back.port, 7070);
	}
}

static void
a_mapped_peer_is_an_ipv4_address(void **state)
{
	struct sockaddr_in6 sin6;
	struct sockaddr_storage ss;
	char buf[ADDR_TEXT_MAX];
	struct addr addr;

	(void)state;
	memset(&sin6, 0, sizeof(sin6));
	sin6.sin6_family = AF_INET6;
	sin6.sin6_port = htons(1234);
	memset(sin6.sin6_addr.s6_addr + 10, 0xff, 2);
	memcpy(sin6.sin6_addr.s6_addr + 12, "\x0a\x00\x00\x01", 4);
	memset(&ss, 0, sizeof(ss));
	memcpy(&ss, &sin6, sizeof(sin6));
	assert_int_equal(
	    addr_from_sockaddr(&addr, (const struct sockaddr *)&ss), 0);
	assert_string_equal(addr_print(&addr, buf), "10.0.0.1:1234");
}

static void
a_unix_socket_has_no_address(void **state)
{
	struct sockaddr_storage ss;
	struct addr addr;

	(void)state;
	memset(&ss, 0, sizeof(ss));
	ss.ss_family = AF_UNIX;
	assert_int_equal(
	    addr_from_sockaddr(&addr, (const struct sockaddr *)&ss), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_print_in_their_shortest_form),
		cmocka_unit_test(what_is_no_address_with_a_port_is_refused),
		cmocka_unit_test(an_address_without_a_port_has_no_brackets),
		cmocka_unit_test(the_longest_address_fits),
		cmocka_unit_test(networks_contain_what_they_cover),
		cmocka_unit_test(what_is_no_network_is_refused),
		cmocka_unit_test(loopback_is_decided_on_the_parsed_address),
		cmocka_unit_test(limits_count_ipv4_whole_and_ipv6_by_64_bits),
		cmocka_unit_test(socket_addresses_go_both_ways),
		cmocka_unit_test(a_mapped_peer_is_an_ipv4_address),
		cmocka_unit_test(a_unix_socket_has_no_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
