/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include "migrate/pace.h"

#define MS INT64_C(1000000)

static void test_no_limit(void **state)
{
	struct pace p = {0};

	(void)state;
	assert_int_equal(pace_allow(&p, 1 << 20, 5), 1 << 20);
	pace_spent(&p, 1 << 20);
	assert_int_equal(pace_wait_ms(&p, 1 << 20), 0);
	pace_set(&p, 1000000, 0);
	pace_set(&p, 0, 0);
	assert_int_equal(pace_allow(&p, 1 << 20, 0), 1 << 20);
}

/*
 * A sender that takes all it may, asks again when it is told to, and is sometimes late or early.
 * Whatever it wants at a time, over each second it gets the rate and at most a burst above it.
 */
static void test_rate_holds(void **state)
{
	static const uint64_t rates[] = {
		128u << 10, 1000000, 12500000, 125000000, UINT64_C(1) << 40};
	struct test_random random = TEST_RANDOM(3);

	(void)state;
	for (size_t i = 0; i < COUNT(rates); i++) {
		const int64_t seconds = 20, start = 1234567890123;
		uint64_t sent = 0, least, most;
		struct pace p;
		int64_t now = start;

		pace_set(&p, rates[i], now);
		while (now < start + seconds * 1000 * MS) {
			size_t want = 1 + test_random_below(&random, 1 << 20), got;

			got = pace_allow(&p, want, now);
			assert_true(got <= want);
			pace_spent(&p, got);
			sent += got;
			if (got < want)
				now += pace_wait_ms(&p, want - got) * MS;
			now += test_random_below(&random, 100000); /* the machine's own doing */
		}
		most = rates[i] * (uint64_t)seconds + rates[i] / 20 + 65536;
		least = rates[i] / 100 * 95 * (uint64_t)seconds;
		if (sent > most)
			fail_msg("%llu a second: %llu sent", (unsigned long long)rates[i],
				(unsigned long long)sent);
		/* The fastest one is faster than this sender. */
		if (i + 1 < COUNT(rates) && sent < least)
			fail_msg("%llu a second: only %llu sent", (unsigned long long)rates[i],
				(unsigned long long)sent);
	}
}

static void test_idle_time_is_not_saved_up(void **state)
{
	struct pace p;

	(void)state;
	pace_set(&p, 10000000, 0);
	assert_int_equal(pace_allow(&p, 1 << 30, 3600 * 1000 * MS), 10000000 / 20);
}

static void test_the_rest_of_a_frame(void **state)
{
	struct pace p;

	(void)state;
	pace_set(&p, 1000000, 0);
	assert_int_equal(pace_allow(&p, 100, 0), 0);
	assert_in_range(pace_wait_ms(&p, 100), 1, 20);
	assert_int_equal(pace_allow(&p, 100, 1 * MS), 100);  /* no need to wait for a whole piece */
	assert_int_equal(pace_allow(&p, 100, -5 * MS), 100); /* the clock does not run backwards */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_rate_holds),
		cmocka_unit_test(test_idle_time_is_not_saved_up),
		cmocka_unit_test(test_the_rest_of_a_frame),
	};

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
