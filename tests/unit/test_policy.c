/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include "migrate/policy.h"

#define LINK 25000 /* pages a second, about 100 MB/s */

/* One move as the policy sees it: what was dirty at the start of each round, and what it says. */
struct trace {
	const char *name;
	uint64_t pages_per_s;
	uint32_t max_downtime_ms;
	uint64_t dirty[40];
	unsigned last; /* the round in which it must say HV_LAST; all before must be HV_CONTINUE */
	const char *reason;
};

static const struct trace traces[] = {
	{"idle", LINK, 300, {131072, 12}, 1, "pause below its target"},
	{"nothing dirty at all", LINK, 300, {131072, 0}, 1, "pause below its target"},
	{"exactly on target", 1000, 300, {131072, 300}, 1, "pause below its target"},
	{"one page over target", 1000, 300, {131072, 301, 200}, 2, "pause below its target"},
	{"converging", LINK, 300, {131072, 60000, 27000, 12000, 7000}, 4, "pause below its target"},
	{"hot working set", LINK, 300, {131072, 40000, 40100, 39900, 40050}, 4,
		"the guest dirties pages as fast as the link takes them"},
	{"faster than the link", LINK, 300, {131072, 131072, 131072, 131072}, 3,
		"the guest dirties pages as fast as the link takes them"},
	{"shrinks by less than a tenth", LINK, 300, {100000, 91000, 82000, 74000}, 3,
		"the guest dirties pages as fast as the link takes them"},
	{"a stall, then progress, then stalls again", LINK, 300,
		{131072, 130000, 130000, 90000, 90000, 89000, 88000}, 6,
		"the guest dirties pages as fast as the link takes them"},
	{"link unknown", 0, 300, {131072, 50000, 20000, 8000, 8000, 8000, 8000}, 6,
		"the guest dirties pages as fast as the link takes them"},
	{"link unknown, nothing left to send", 0, 300, {131072, 0}, 1, "pause below its target"},
	{"a stricter target needs more rounds", LINK, 10, {131072, 5000, 2000, 240}, 3,
		"pause below its target"},
};

/* Run a trace; the round in which the policy ends it. */
static unsigned walk(const struct trace *t, struct policy_output *out)
{
	struct policy_input in = {
		.max_downtime_ms = t->max_downtime_ms, .pages_per_s = t->pages_per_s};

	for (;; in.round++) {
		in.dirty_pages = t->dirty[in.round];
		in.previous_dirty = in.round ? t->dirty[in.round - 1] : 0;
		*out = policy_decide(&in);
		if (out->decision != HV_CONTINUE || in.round == COUNT(t->dirty) - 1)
			return in.round;
		in.stalled_rounds = out->stalled_rounds;
	}
}

static void test_traces(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(traces); i++) {
		struct policy_output out;
		unsigned round = walk(&traces[i], &out);

		if (round != traces[i].last || out.decision != HV_LAST)
			fail_msg("%s: decision %d in round %u, not the last in %u (%s)",
				traces[i].name, out.decision, round, traces[i].last, out.reason);
		if (strcmp(out.reason, traces[i].reason) != 0)
			fail_msg("%s: because '%s'", traces[i].name, out.reason);
	}
}

/* A guest that always shrinks a little, never enough: the number of rounds ends it. */
static void test_round_limit(void **state)
{
	struct trace t = {.pages_per_s = LINK, .max_downtime_ms = 1};
	struct policy_output out;

	(void)state;
	t.dirty[0] = UINT64_C(1) << 40;
	for (unsigned i = 1; i < COUNT(t.dirty); i++)
		t.dirty[i] = t.dirty[i - 1] * 8 / 10;
	assert_int_equal(walk(&t, &out), POLICY_MAX_ROUNDS);
	assert_int_equal(out.decision, HV_LAST);
	assert_string_equal(out.reason, "enough rounds");
}

static void test_first_round_always_runs(void **state)
{
	const struct policy_input in = {
		.dirty_pages = 1, .pages_per_s = LINK, .max_downtime_ms = 300, .stalled_rounds = 9};
	struct policy_output out = policy_decide(&in);

	(void)state;
	assert_int_equal(out.decision, HV_CONTINUE);
	assert_int_equal(out.stalled_rounds, 0);
}

static void test_prediction(void **state)
{
	const struct policy_input in = {.round = 1,
		.dirty_pages = 50000,
		.previous_dirty = 131072,
		.pages_per_s = LINK,
		.max_downtime_ms = 300};

	(void)state;
	assert_int_equal(policy_decide(&in).predicted_ms, 2000);
}

/* Whatever the numbers: it answers, names a reason, never aborts, and goes on at most to the limit.
 */
static void test_any_input(void **state)
{
	struct test_random random = TEST_RANDOM(2);

	(void)state;
	for (int i = 0; i < 200000; i++) {
		const unsigned shift =
			12 + test_random_below(&random, 52); /* as many as PFNs have */
		const struct policy_input in = {
			.round = test_random_below(&random, 40),
			.dirty_pages = test_random_next(&random) >> shift,
			.previous_dirty = test_random_next(&random) >> shift,
			.pages_per_s = test_random_next(&random) >> test_random_below(&random, 64),
			.max_downtime_ms = test_random_below(&random, 3600001),
			.stalled_rounds = test_random_below(&random, 5),
		};
		struct policy_output out = policy_decide(&in);

		assert_non_null(out.reason);
		if (in.round >= POLICY_MAX_ROUNDS)
			assert_int_equal(out.decision, HV_LAST);
		else
			assert_true(out.decision == HV_LAST || out.decision == HV_CONTINUE);
		/* More than the link can send within the target is never called "below its target".
		 */
		if (in.round && in.pages_per_s && strcmp(out.reason, "pause below its target") == 0)
			assert_true(
				in.dirty_pages / in.pages_per_s <= in.max_downtime_ms / 1000 + 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_traces),
		cmocka_unit_test(test_round_limit),
		cmocka_unit_test(test_first_round_always_runs),
		cmocka_unit_test(test_prediction),
		cmocka_unit_test(test_any_input),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
