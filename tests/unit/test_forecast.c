/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include <math.h>

#include "migrate/forecast.h"

#define PAGES 131072u /* 512 MiB */

static double distance(double d)
{
	return d < 0 ? -d : d;
}

/* A guest that writes `per_s` pages a second at random among `set`. */
static double truth(double set, double per_s, double ms)
{
	return set * (1 - exp(-per_s * ms / 1000 / set));
}

static struct hv_watch watched(double set, double per_s)
{
	struct hv_watch w = {.first_pages = PAGES, .total_pages = PAGES, .nr = HV_WATCH_POINTS};

	for (uint32_t i = 0, ms = HV_WATCH_FIRST_MS; i < w.nr; i++, ms *= 2) {
		w.at[i].ms = ms;
		w.at[i].dirty_pages = (uint64_t)(truth(set, per_s, ms) + 0.5);
	}
	return w;
}

static struct forecast_input input(double set, double per_s, double rate)
{
	return (struct forecast_input){
		.watch = watched(set, per_s),
		.all = {rate, 2048},
		.dirty = {rate, 2048},
		.dirty_factor = 1,
		.fixed_ms = 20,
		.rest_ms = 50,
		.rtt_ms = 1,
		.max_downtime_ms = 300,
		.on_no_converge = NO_CONVERGE_STOP,
	};
}

static void test_curve(void **state)
{
	static const double sets[] = {500, 20000, 100000}, rates[] = {10, 3000, 50000};
	static const double times[] = {30, 60, 333, 3000, 5000, 20000, 100000};

	(void)state;
	for (size_t s = 0; s < COUNT(sets); s++)
		for (size_t r = 0; r < COUNT(rates); r++)
			for (size_t t = 0; t < COUNT(times); t++) {
				struct hv_watch w = watched(sets[s], rates[r]);
				double is = forecast_dirty(&w, times[t]);
				double was = truth(sets[s], rates[r], times[t]);

				/* Of a hundred pages no working set can be read. */
				if (times[t] > 3200 && truth(sets[s], rates[r], 3200) < 200)
					continue;
				if (distance(is - was) > was * 0.25 + 20)
					fail_msg("set %.0f, %.0f/s, %.0f ms: %.0f, not %.0f",
						sets[s], rates[r], times[t], is, was);
			}
}

static void test_curve_is_sane(void **state)
{
	struct test_random random = TEST_RANDOM(4);

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct hv_watch w = {.total_pages = test_random_below(&random, 1000000)};
		uint64_t dirty = 0;
		double before = 0;

		w.nr = test_random_below(&random, HV_WATCH_POINTS + 1);
		for (uint32_t p = 0, ms = 0; p < w.nr; p++) {
			ms += test_random_below(&random, 1000); /* two at once may happen */
			dirty += test_random_below(&random, 1000);
			w.at[p].ms = ms;
			w.at[p].dirty_pages = dirty < w.total_pages ? dirty : w.total_pages;
		}
		for (double ms = 0; ms < 100000; ms = ms * 1.5 + 1) {
			double now = forecast_dirty(&w, ms);

			assert_true(now >= before - 1e-6 && now <= (double)w.total_pages + 1e-6);
			before = now;
		}
	}
}

static void test_converges(void **state)
{
	const struct forecast_input in = input(20000, 5000, 25000);
	struct forecast f = forecast_move(&in);

	(void)state;
	assert_true(f.converges);
	assert_int_equal(f.end, HV_LAST);
	assert_int_equal(f.cpu_percent, 100);
	/* 5.2 s for the first round, in which 14600 pages are dirtied, 0.6 s for those, and so on
	 */
	assert_in_range(f.total_ms, 5800, 6200);
	assert_in_range(f.downtime_ms, 20, 120);
	assert_in_range(
		f.wire_bytes, (PAGES + 14000) * UINT64_C(2048), (PAGES + 21000) * UINT64_C(2048));
}

static void test_does_not_converge(void **state)
{
	struct forecast_input in = input(30000, 100000, 25000);
	struct forecast f = forecast_move(&in);

	(void)state;
	assert_false(f.converges);
	assert_int_equal(f.end, HV_STOP);
	assert_in_range(f.downtime_ms, 900, 1300);
	in.on_no_converge = NO_CONVERGE_ABORT;
	assert_int_equal(forecast_move(&in).end, HV_ABORT);
	in.on_no_converge = NO_CONVERGE_THROTTLE;
	f = forecast_move(&in);
	assert_true(f.cpu_percent < 100);
	assert_false(f.converges);
}

static bool converges(struct forecast_input in)
{
	return forecast_move(&in).converges;
}

/* What is said to help does, and half of it does not. */
static void test_help(void **state)
{
	const struct forecast_input in = input(30000, 100000, 25000);
	struct forecast_input with = in;
	struct forecast_help help = forecast_help(&in);

	(void)state;
	assert_int_not_equal(help.max_downtime_ms, 0);
	with.max_downtime_ms = help.max_downtime_ms;
	assert_true(converges(with));
	with.max_downtime_ms /= 2;
	assert_false(converges(with));

	assert_in_range(help.bytes_per_s, UINT64_C(25001) * 2048, UINT64_C(1000000) * 2048);
	with = in;
	with.all.pages_per_s = with.dirty.pages_per_s = (double)help.bytes_per_s / 2048 + 1;
	assert_true(converges(with));
	with.all.pages_per_s = with.dirty.pages_per_s = (double)help.bytes_per_s / 4096;
	assert_false(converges(with));

	assert_in_range(help.cpu_percent, POLICY_CPU_FLOOR, 60);
	with = in;
	with.dirty_factor = help.cpu_percent / 100.0;
	assert_true(converges(with));
}

/* While the guest runs the limit holds; what is left in the pause goes as fast as it can. */
static void test_limit(void **state)
{
	struct forecast_input in = input(3000, 100000, 25000);
	struct forecast f;

	(void)state;
	in.bwlimit = UINT64_C(5000) * 2048;
	f = forecast_move(&in);
	assert_in_range(f.total_ms, PAGES / 5, PAGES / 5 + 2000);
	assert_in_range(f.downtime_ms, 100, 200); /* 3000 pages at 25000 a second and 20 ms */
}

static void test_paused(void **state)
{
	struct forecast_input in = input(3000, 100000, 25000);
	struct forecast f;

	(void)state;
	in.paused = true;
	f = forecast_move(&in);
	assert_int_equal(f.downtime_ms, 20 + PAGES / 25);
	assert_int_equal(f.total_ms, 50 + 20 + PAGES / 25);
	assert_false(f.converges);
	assert_int_equal(f.rounds, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_curve),
		cmocka_unit_test(test_curve_is_sane),
		cmocka_unit_test(test_converges),
		cmocka_unit_test(test_does_not_converge),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_paused),
	};

	return cmocka_run_group_tests_name("forecast", tests, NULL, NULL);
}
