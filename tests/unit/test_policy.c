/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include "migrate/policy.h"

#define LINK 25000 /* pages a second, about 100 MB/s */
#define SOME 40	   /* rounds in a trace */

#define BELOW	"pause below its target, and shorter after one more round"
#define ENOUGH	"pause below its target, and no round would shorten it"
#define FIXED	"what every pause costs here is over the target; the pages are not"
#define STOPPED "it dirties pages as fast as the link takes them: stopped all the same"
#define ABORTED "it dirties pages as fast as the link takes them: called off"
#define FLOOR	"it dirties pages as fast as the link takes them, even slowed"

/* One move as the policy sees it: what was dirty at the start of each round, and what it says. */
struct trace {
	const char *name;
	uint64_t pages_per_s;
	uint32_t max_downtime_ms, fixed_ms;
	enum config_no_converge on_no_converge; /* 0 = stop */
	uint64_t dirty[SOME], hot[SOME];
	unsigned last; /* the round in which it must decide; all before must be HV_CONTINUE */
	enum hv_decision decision;
	const char *reason;
	uint32_t cpu_percent; /* in the end; 0 = 100 */
};

static const struct trace traces[] = {
	{"idle", LINK, 300, .dirty = {131072, 12}, .last = 1, .decision = HV_LAST, .reason = BELOW},
	{"nothing dirty at all", LINK, 300, .dirty = {131072, 0}, .last = 1, .decision = HV_STOP,
		.reason = ENOUGH},
	{"exactly on target", 1000, 300, .dirty = {131072, 300}, .last = 1, .decision = HV_LAST,
		.reason = BELOW},
	{"one page over target", 1000, 300, .dirty = {131072, 301, 2}, .last = 2,
		.decision = HV_LAST, .reason = BELOW},
	{"converging", LINK, 300, .dirty = {131072, 60000, 27000, 12000, 7000, 900}, .last = 5,
		.decision = HV_LAST, .reason = BELOW},
	{"fixed part eats a part of the target", LINK, 300, 200,
		.dirty = {131072, 7000, 3000, 2400}, .last = 3, .decision = HV_STOP,
		.reason = ENOUGH},
	{"fixed part is over the target: near enough", LINK, 300, 7000, .dirty = {131072, 8000},
		.last = 1, .decision = HV_LAST, .reason = FIXED},
	{"fixed part is over the target: not near yet", LINK, 300, 7000,
		.dirty = {131072, 60000, 8000}, .last = 2, .decision = HV_LAST, .reason = FIXED},
	{"fixed part is over the target and must not be", LINK, 300, 7000, NO_CONVERGE_ABORT,
		.dirty = {131072, 8000}, .last = 1, .decision = HV_ABORT, .reason = FIXED},
	{"hot working set", LINK, 300, .dirty = {131072, 40000, 40100, 39900}, .last = 3,
		.decision = HV_STOP, .reason = STOPPED},
	{"a working set of which half turns hot", LINK, 300, .dirty = {131072, 10000, 9500, 2000},
		.hot = {0, 0, 0, 5000}, .last = 3, .decision = HV_LAST, .reason = BELOW},
	{"only hot pages are left", LINK, 300, .dirty = {131072, 7000, 0}, .hot = {0, 0, 7000},
		.last = 2, .decision = HV_STOP, .reason = ENOUGH},
	{"only hot pages are left, too many", LINK, 300, .dirty = {131072, 20000, 20000, 0},
		.hot = {0, 0, 0, 20000}, .last = 3, .decision = HV_STOP, .reason = STOPPED},
	{"faster than the link", LINK, 300, .dirty = {131072, 131072, 131072, 131072}, .last = 2,
		.decision = HV_STOP, .reason = STOPPED},
	{"faster than the link, called off", LINK, 300, 0, NO_CONVERGE_ABORT,
		.dirty = {131072, 131072, 131072, 131072}, .last = 2, .decision = HV_ABORT,
		.reason = ABORTED},
	{"shrinks by less than a tenth", LINK, 300, .dirty = {100000, 91000, 82000, 74000},
		.last = 2, .decision = HV_STOP, .reason = STOPPED},
	{"a burst, then progress", LINK, 300, .dirty = {131072, 130000, 20000, 1000}, .last = 3,
		.decision = HV_LAST, .reason = BELOW},
	{"link unknown", 0, 300, .dirty = {131072, 50000, 20000, 8000, 8000, 8000}, .last = 5,
		.decision = HV_STOP, .reason = STOPPED},
	{"link unknown, nothing left to send", 0, 300, .dirty = {131072, 0}, .last = 1,
		.decision = HV_STOP, .reason = ENOUGH},
	{"short rounds shorten the pause", LINK, 300,
		.dirty = {131072, 7000, 3500, 1750, 875, 437, 218}, .last = 6, .decision = HV_LAST,
		.reason = BELOW},
	{"not below half of what any pause costs", LINK, 300, 100,
		.dirty = {131072, 10000, 4800, 2400, 1200}, .last = 3, .decision = HV_LAST,
		.reason = BELOW},
	{"a burst meets the short rounds", LINK, 300,
		.dirty = {131072, 7000, 3500, 12000, 6000, 600, 60}, .last = 5, .decision = HV_LAST,
		.reason = BELOW},
	{"a stricter target needs more rounds", LINK, 10, .dirty = {131072, 5000, 2000, 240},
		.last = 3, .decision = HV_LAST, .reason = BELOW},
	{"slowed until it converges", LINK, 300, 0, NO_CONVERGE_THROTTLE,
		.dirty = {131072, 131072, 131072, 60000, 7000, 700}, .last = 5, .decision = HV_LAST,
		.reason = BELOW, .cpu_percent = 40},
	{"slowed to the floor in vain", LINK, 300, 0, NO_CONVERGE_THROTTLE,
		.dirty = {131072, 131072, 131072, 131072, 131072, 131072, 131072}, .last = 6,
		.decision = HV_ABORT, .reason = FLOOR, .cpu_percent = POLICY_CPU_FLOOR},
};

static uint64_t at(const struct trace *t, unsigned round)
{
	return t->dirty[round] + t->hot[round];
}

/* Run a trace; the round in which the policy ends it. */
static unsigned walk(const struct trace *t, struct policy_output *out)
{
	struct policy_input in = {.max_downtime_ms = t->max_downtime_ms,
		.pages_per_s = t->pages_per_s,
		.fixed_ms = t->fixed_ms,
		.cpu_percent = 100,
		.on_no_converge = t->on_no_converge ? t->on_no_converge : NO_CONVERGE_STOP};

	for (;; in.round++) {
		in.dirty_pages = t->dirty[in.round];
		in.hot_pages = t->hot[in.round];
		in.previous_left = in.round ? at(t, in.round - 1) : 0;
		/* The round before took as long as the link needed for it. */
		if (in.round && t->dirty[in.round - 1])
			in.dirty_per_s = at(t, in.round) * t->pages_per_s / t->dirty[in.round - 1];
		*out = policy_decide(&in);
		if (out->decision != HV_CONTINUE || in.round == SOME - 1)
			return in.round;
		in.stalled_rounds = out->stalled_rounds;
		in.cpu_percent = out->cpu_percent;
	}
}

static void test_traces(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(traces); i++) {
		const struct trace *t = &traces[i];
		struct policy_output out;
		unsigned round = walk(t, &out);

		if (round != t->last || out.decision != t->decision)
			fail_msg("%s: decision %d in round %u, not %d in %u (%s)", t->name,
				out.decision, round, t->decision, t->last, out.reason);
		if (strcmp(out.reason, t->reason) != 0)
			fail_msg("%s: because '%s'", t->name, out.reason);
		if (out.cpu_percent != (t->cpu_percent ? t->cpu_percent : 100))
			fail_msg("%s: left with %u %% of its CPU", t->name, out.cpu_percent);
	}
}

/* Moves of the lab's guests between two Xen hosts with a disk on DRBD, from the source's log. */
struct recorded {
	const char *name;
	uint32_t fixed_ms;
	struct {
		uint64_t dirty, dirty_per_s, pages_per_s;
	} row[SOME];
	unsigned promote, last;
	enum hv_decision decision;
	bool no_converge;
};

static const struct recorded recorded[] = {
	{"PV, the first to that host", 0,
		{{32768, 0, 0}, {1352, 141, 3443}, {437, 548, 2454}, {263, 1077, 2314},
			{324, 1636, 2149}, {211, 1076, 2234}, {247, 1247, 2072}},
		4, 6, HV_LAST, false},
	{"PVH, of which any pause takes a second", 1067,
		{{45072, 0, 0}, {1960, 68, 1569}, {433, 160, 1005}, {253, 531, 989},
			{114, 532, 1008}, {123, 627, 971}, {96, 596, 961}, {121, 573, 923},
			{135, 675, 910}, {181, 442, 932}, {189, 697, 911}, {119, 531, 911},
			{101, 623, 901}, {112, 605, 884}, {99, 660, 884}, {137, 640, 854},
			{150, 627, 844}},
		5, 6, HV_LAST, true},
};

static void test_recorded(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(recorded); i++) {
		const struct recorded *r = &recorded[i];
		struct policy_input in = {.fixed_ms = r->fixed_ms,
			.max_downtime_ms = 300,
			.cpu_percent = 100,
			.to_promote = true,
			.on_no_converge = NO_CONVERGE_STOP};
		struct policy_output out;

		for (;; in.round++) {
			in.dirty_pages = r->row[in.round].dirty;
			in.dirty_per_s = r->row[in.round].dirty_per_s;
			in.pages_per_s = r->row[in.round].pages_per_s;
			out = policy_decide(&in);
			if (out.promote != (in.round == r->promote))
				fail_msg(
					"%s: round %u, promote %d", r->name, in.round, out.promote);
			if (out.decision != HV_CONTINUE)
				break;
			in.to_promote &= !out.promote;
			in.previous_left = in.dirty_pages;
			in.stalled_rounds = out.stalled_rounds;
		}
		if (in.round != r->last || out.decision != r->decision ||
			out.no_converge != r->no_converge)
			fail_msg("%s: round %u, decision %d (%s)", r->name, in.round, out.decision,
				out.reason);
	}
}

/* A guest that always shrinks a little, never enough: the number of rounds ends it. */
static void test_round_limit(void **state)
{
	struct trace t = {.pages_per_s = LINK, .max_downtime_ms = 1};
	struct policy_output out;

	(void)state;
	t.dirty[0] = UINT64_C(1) << 40;
	for (unsigned i = 1; i < SOME; i++)
		t.dirty[i] = t.dirty[i - 1] * 8 / 10;
	assert_int_equal(walk(&t, &out), POLICY_MAX_ROUNDS);
	assert_int_equal(out.decision, HV_STOP);
	assert_true(out.no_converge);
	t.on_no_converge = NO_CONVERGE_THROTTLE;
	assert_int_equal(walk(&t, &out), POLICY_MAX_ROUNDS);
	assert_int_equal(out.decision, HV_ABORT);
}

static void test_first_round_always_runs(void **state)
{
	const struct policy_input in = {.dirty_pages = 1,
		.pages_per_s = LINK,
		.max_downtime_ms = 300,
		.stalled_rounds = 9,
		.cpu_percent = 100};
	struct policy_output out = policy_decide(&in);

	(void)state;
	assert_int_equal(out.decision, HV_CONTINUE);
	assert_int_equal(out.stalled_rounds, 0);
	assert_int_equal(out.cpu_percent, 100);
}

static void test_prediction(void **state)
{
	const struct policy_input in = {.round = 1,
		.dirty_pages = 30000,
		.hot_pages = 20000,
		.previous_left = 131072,
		.pages_per_s = LINK,
		.fixed_ms = 70,
		.max_downtime_ms = 300};

	(void)state;
	assert_int_equal(policy_decide(&in).predicted_ms, 2070);
}

/* Pages that stay in the pause anyway count like its fixed part. */
static void test_polish_beside_hot_pages(void **state)
{
	struct policy_input in = {.round = 3,
		.dirty_pages = 3000,
		.previous_left = 9000,
		.dirty_per_s = LINK * 4 / 10,
		.pages_per_s = LINK,
		.max_downtime_ms = 300}; /* 120 ms, of which one more round leaves 48 */

	(void)state;
	in.hot_pages = 2300; /* 92 ms */
	assert_int_equal(policy_decide(&in).decision, HV_CONTINUE);
	in.hot_pages = 2500;
	assert_int_equal(policy_decide(&in).decision, HV_LAST);
	in.hot_pages = 0;
	in.round = POLICY_MAX_ROUNDS - 1;
	assert_int_equal(policy_decide(&in).decision, HV_LAST);
}

/* A guest of bench estimate: it writes the same 7700 pages again and again, faster than it seems.
 */
static void test_polish_only_what_shrinks(void **state)
{
	struct policy_input in = {.round = 1,
		.dirty_pages = 7651,
		.previous_left = 26323,
		.dirty_per_s = 16489,
		.pages_per_s = 56791,
		.max_downtime_ms = 300};

	(void)state;
	assert_int_equal(policy_decide(&in).decision, HV_CONTINUE); /* it may */
	in = (struct policy_input){.round = 2,
		.dirty_pages = 7050,
		.previous_left = 7651,
		.dirty_per_s = 24823,
		.pages_per_s = 36588,
		.max_downtime_ms = 300};
	assert_int_equal(policy_decide(&in).decision, HV_LAST);
	in.previous_left = 9500;
	assert_int_equal(policy_decide(&in).decision, HV_CONTINUE);
	in.dirty_per_s = 30000; /* so another round would leave as many */
	assert_int_equal(policy_decide(&in).decision, HV_STOP);
}

/* The disks become writable there before the guest stops; what it dirties meanwhile gets a round,
 * but for one that is long and would be vain. */
static void test_promote(void **state)
{
	struct policy_input in = {.round = 1,
		.dirty_pages = 12,
		.previous_left = 131072,
		.pages_per_s = LINK,
		.max_downtime_ms = 300,
		.cpu_percent = 100,
		.on_no_converge = NO_CONVERGE_STOP};
	struct policy_output out;

	(void)state;
	assert_int_equal(policy_decide(&in).decision, HV_LAST);
	assert_false(policy_decide(&in).promote);
	in.to_promote = true;
	out = policy_decide(&in);
	assert_int_equal(out.decision, HV_CONTINUE);
	assert_true(out.promote);
	in.dirty_pages = 60000; /* not yet */
	assert_int_equal(policy_decide(&in).decision, HV_CONTINUE);
	assert_false(policy_decide(&in).promote);

	in.dirty_pages = 300; /* a burst: of a round it is said that it would be vain */
	in.dirty_per_s = 3 * LINK;
	out = policy_decide(&in);
	assert_int_equal(out.decision, HV_CONTINUE);
	assert_true(out.promote);

	in.dirty_pages = in.previous_left = 30000; /* 1.2 s a round, for ever */
	in.dirty_per_s = LINK;
	in.stalled_rounds = POLICY_STALL_LIMIT;
	out = policy_decide(&in);
	assert_int_equal(out.decision, HV_STOP);
	assert_true(out.promote && out.no_converge);
	in.fixed_ms = 1200; /* as much again, whatever the pages */
	out = policy_decide(&in);
	assert_int_equal(out.decision, HV_CONTINUE);
	assert_true(out.promote && !out.no_converge);
	in.on_no_converge = NO_CONVERGE_ABORT;
	out = policy_decide(&in);
	assert_int_equal(out.decision, HV_ABORT);
	assert_true(!out.promote && out.no_converge);
}

static void test_slower(void **state)
{
	uint32_t percent = 100;
	unsigned steps = 0;

	(void)state;
	while (policy_slower(percent) < percent) {
		percent = policy_slower(percent);
		steps++;
	}
	assert_int_equal(percent, POLICY_CPU_FLOOR);
	assert_in_range(steps, 2, 10);
}

static struct policy_input any_input(struct test_random *random)
{
	const unsigned shift = 12 + test_random_below(random, 52); /* as many as PFNs have */

	return (struct policy_input){
		.round = test_random_below(random, 40),
		.dirty_pages = test_random_next(random) >> shift,
		.hot_pages = test_random_next(random) >> shift,
		.previous_left = test_random_next(random) >> shift,
		.dirty_per_s = test_random_next(random) >> test_random_below(random, 64),
		.pages_per_s = test_random_next(random) >> test_random_below(random, 64),
		.fixed_ms = test_random_below(random, 3600001),
		.max_downtime_ms = test_random_below(random, 3600001),
		.stalled_rounds = test_random_below(random, 5),
		.cpu_percent = POLICY_CPU_FLOOR + test_random_below(random, 91),
		.to_promote = test_random_below(random, 2),
		.on_no_converge =
			NO_CONVERGE_ABORT + (enum config_no_converge)test_random_below(random, 3),
	};
}

/* Whatever the numbers: it ends, keeps to what the user chose, and never says it is below the
 * target when it is not. */
static void test_any_input(void **state)
{
	struct test_random random = TEST_RANDOM(2);

	(void)state;
	for (int i = 0; i < 200000; i++) {
		const struct policy_input in = any_input(&random);
		struct policy_output out = policy_decide(&in);

		assert_non_null(out.reason);
		assert_in_range(out.cpu_percent, POLICY_CPU_FLOOR, in.cpu_percent);
		if (in.round >= POLICY_MAX_ROUNDS)
			assert_true(out.decision != HV_CONTINUE || out.promote);
		/* No guest stops before the disks are writable, or are about to be. */
		if (out.decision == HV_STOP || out.decision == HV_LAST)
			assert_int_equal(out.promote, in.to_promote);
		assert_false(out.promote && (!in.to_promote || out.decision == HV_LAST));
		if (out.cpu_percent < in.cpu_percent)
			assert_int_equal(in.on_no_converge, NO_CONVERGE_THROTTLE);
		if (in.on_no_converge == NO_CONVERGE_STOP)
			assert_int_not_equal(out.decision, HV_ABORT);
		/* Over the target the user has been told, or it is called off. */
		if (out.decision == HV_STOP || out.decision == HV_LAST)
			assert_true(out.no_converge || out.predicted_ms <= in.max_downtime_ms ||
				    in.pages_per_s == 0);
		/* A round of which it is known that it leaves as much as it sends is not sent. */
		if (out.decision == HV_LAST)
			assert_true(in.dirty_per_s < in.pages_per_s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_traces),
		cmocka_unit_test(test_recorded),
		cmocka_unit_test(test_round_limit),
		cmocka_unit_test(test_first_round_always_runs),
		cmocka_unit_test(test_prediction),
		cmocka_unit_test(test_polish_beside_hot_pages),
		cmocka_unit_test(test_polish_only_what_shrinks),
		cmocka_unit_test(test_promote),
		cmocka_unit_test(test_slower),
		cmocka_unit_test(test_any_input),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
