/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "migrate/link.h"

static int pair[2];
static struct record rec;

static int setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) || record_init(&rec);
}

static int teardown(void **state)
{
	(void)state;
	fd_close(&pair[0]);
	fd_close(&pair[1]);
	record_dispose(&rec);
	return 0;
}

static size_t full_setup(struct link_setup *setup, uint8_t *buf, size_t size)
{
	struct test_random random = TEST_RANDOM(20);

	memset(setup, 0, sizeof(*setup));
	setup->role = ROLE_DESTINATION;
	test_random_fill(&random, setup->secret, sizeof(setup->secret));
	strcpy(setup->user, "nobody");
	setup->nr_peers = CONFIG_PEERS_MAX;
	for (unsigned i = 0; i < CONFIG_PEERS_MAX; i++) {
		snprintf(setup->peer[i].name, HOST_NAME_LEN, "host%u", i);
		test_random_fill(&random, setup->peer[i].key, HOST_KEY_LEN);
	}
	return link_put_setup(buf, size, setup);
}

static bool get_setup(const uint8_t *body, size_t len, struct link_setup *got)
{
	struct record r = {
		.type = RECORD_SETUP, .len = (uint32_t)len, .body = test_exact_copy(body, len)};
	bool ok;

	memset(got, 0, sizeof(*got));
	ok = link_get_setup(&r, got);
	free(r.body);
	return ok;
}

static void test_setup_round_trip(void **state)
{
	static struct link_setup sent, got;
	uint8_t buf[2048];
	size_t len = full_setup(&sent, buf, sizeof(buf));

	(void)state;
	assert_true(len > 0);
	assert_true(get_setup(buf, len, &got));
	assert_memory_equal(&got, &sent, sizeof(got));
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *small = malloc(cut ? cut : 1);

		assert_false(get_setup(buf, cut, &got));
		assert_int_equal(link_put_setup(small, cut, &sent), 0);
		free(small);
	}
	buf[len] = 0;
	assert_false(get_setup(buf, len + 1, &got));
}

static void test_setup_rules(void **state)
{
	static struct link_setup sent, got;
	uint8_t buf[2048];

	(void)state;
	for (uint32_t role = 0; role < 5; role++)
		for (uint32_t nr = 0; nr < 4; nr++) {
			bool good = role == ROLE_DESTINATION || (role == ROLE_SOURCE && nr == 1);

			full_setup(&sent, buf, sizeof(buf));
			sent.role = (enum record_role)role;
			sent.nr_peers = nr;
			assert_int_equal(
				get_setup(buf, link_put_setup(buf, sizeof(buf), &sent), &got),
				good);
		}
	/* One peer more than there is room for, even with all the bytes there. */
	full_setup(&sent, buf, sizeof(buf));
	buf[4 + 32 + 2 + 6] = CONFIG_PEERS_MAX + 1;
	assert_false(get_setup(buf, sizeof(buf), &got));
}

static void say(uint32_t type, const void *body, size_t len)
{
	assert_int_equal(record_write(pair[0], type, body, len, deadline_in(1000)), 0);
}

static void test_stats_are_taken_aside(void **state)
{
	struct record_stats stats = {0};
	struct error err = ERROR_INIT;
	uint8_t body[32];
	size_t len = record_put_stats(body, sizeof(body), &(struct record_stats){5, 6});

	(void)state;
	say(RECORD_STATS, body, len);
	say(RECORD_STATS, body, len);
	say(RECORD_READY, NULL, 0);
	assert_int_equal(link_read(pair[1], &rec, &stats, deadline_in(1000), &err), 0);
	assert_int_equal(rec.type, RECORD_READY);
	assert_int_equal(stats.bytes_out, 5);
	assert_int_equal(stats.bytes_in, 6);
	say(RECORD_STATS, body, len);
	say(RECORD_READY, NULL, 0);
	assert_int_equal(link_read(pair[1], &rec, NULL, deadline_in(1000), &err), 0);
	say(RECORD_STATS, body, len - 1);
	assert_int_equal(link_read(pair[1], &rec, NULL, deadline_in(1000), &err), -EPROTO);
}

/* What ended it, with the reason as the other side gave it. */
static void test_ends(void **state)
{
	static const struct {
		uint32_t type;
		int rc;
	} cases[] = {{RECORD_LINK_DOWN, -ECONNRESET}, {RECORD_REFUSED, -EREMOTEIO},
		{RECORD_UNKNOWN, -EAGAIN}};
	uint8_t body[2 * ERROR_TEXT_LEN];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct error why = ERROR_INIT, err = ERROR_INIT;
		size_t len;

		error_set(&why, -ENOMEM, "Add some", "no memory");
		len = record_put_reason(body, sizeof(body), &why);
		say(cases[i].type, body, len);
		assert_int_equal(
			link_read(pair[1], &rec, NULL, deadline_in(1000), &err), cases[i].rc);
		assert_int_equal(err.rc, cases[i].rc);
		assert_string_equal(err.what, "no memory");
		assert_string_equal(err.fix, "Add some");
		/* A first error stays, and no place for one is fine too. */
		err = ERROR_INIT;
		error_set(&err, -EIO, NULL, "first");
		say(cases[i].type, body, len);
		assert_int_equal(
			link_read(pair[1], &rec, NULL, deadline_in(1000), &err), cases[i].rc);
		assert_string_equal(err.what, "first");
		say(cases[i].type, body, len);
		assert_int_equal(
			link_read(pair[1], &rec, NULL, deadline_in(1000), NULL), cases[i].rc);
		/* A reason that cannot be read is not an empty sentence. */
		err = ERROR_INIT;
		say(cases[i].type, "\xff\xff", 2);
		assert_int_equal(link_read(pair[1], &rec, NULL, deadline_in(1000), &err), -EPROTO);
		assert_string_not_equal(err.what, "");
	}
}

static void test_silence_and_death(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(link_read(pair[1], &rec, NULL, deadline_in(50), &err), -ETIMEDOUT);
	assert_non_null(strstr(err.what, "no answer"));
	err = ERROR_INIT;
	fd_close(&pair[0]);
	assert_int_equal(link_read(pair[1], &rec, NULL, deadline_in(50), &err), -ECONNRESET);
	assert_non_null(strstr(err.what, "lifeboat-wire has gone"));
}

static void test_expect(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	say(RECORD_READY, NULL, 0);
	assert_int_equal(
		link_expect(pair[1], &rec, RECORD_READY, NULL, deadline_in(1000), &err), 0);
	say(RECORD_DONE, NULL, 0);
	assert_int_equal(
		link_expect(pair[1], &rec, RECORD_READY, NULL, deadline_in(1000), &err), -EPROTO);
	assert_non_null(strstr(err.what, "sent DONE where READY was due"));
}

static void test_connect(void **state)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct config_peer peer = {.name = "hostb", .address = "127.0.0.1"};
	struct error err = ERROR_INIT;
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), net;

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	peer.port = ntohs(sa.sin_port);
	assert_int_equal(link_connect(&peer, &err), -ECONNREFUSED);
	assert_non_null(strstr(err.what, "cannot reach hostb at 127.0.0.1 port"));
	assert_non_null(strstr(err.fix, "lifeboatd runs there"));
	assert_int_equal(listen(fd, 1), 0);
	err = ERROR_INIT;
	net = link_connect(&peer, &err);
	assert_true(net >= 0);
	close(net);
	close(fd);
	strcpy(peer.address, "host.invalid");
	err = ERROR_INIT;
	assert_int_equal(link_connect(&peer, &err), -EHOSTUNREACH);
	assert_non_null(strstr(err.what, "cannot find an address for hostb"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_setup_round_trip),
		cmocka_unit_test(test_setup_rules),
		cmocka_unit_test_setup_teardown(test_stats_are_taken_aside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_silence_and_death, setup, teardown),
		cmocka_unit_test_setup_teardown(test_expect, setup, teardown),
		cmocka_unit_test(test_connect),
	};

	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
