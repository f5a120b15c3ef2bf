/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include "base/findings.h"

static struct findings f, other;

static int setup(void **state)
{
	(void)state;
	f = other = (struct findings){0};
	return 0;
}

static void add(struct findings *to, enum finding_severity severity, const char *code)
{
	findings_add(to, severity, code, "Do something", "%s is wrong", code);
}

static void test_what_stops(void **state)
{
	static const struct {
		enum finding_severity severity[3];
		const char *stop, *stop_forced; /* the code of the finding, NULL = goes on */
	} cases[] = {
		{{0}, NULL, NULL},
		{{FINDING_WARNING}, NULL, NULL},
		{{FINDING_WARNING, FINDING_RISK}, "1", NULL},
		{{FINDING_RISK, FINDING_RISK}, "0", NULL},
		{{FINDING_WARNING, FINDING_BLOCKER}, "1", "1"},
		{{FINDING_RISK, FINDING_WARNING, FINDING_BLOCKER}, "2", "2"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		setup(state);
		for (unsigned k = 0; k < 3 && cases[i].severity[k]; k++)
			add(&f, cases[i].severity[k], (char[]){(char)('0' + k), '\0'});
		for (unsigned force = 0; force < 2; force++) {
			const struct finding *stop = findings_stop(&f, force);
			const char *want = force ? cases[i].stop_forced : cases[i].stop;

			assert_int_equal(!stop, !want);
			if (want)
				assert_string_equal(stop->code, want);
		}
	}
}

static void test_order(void **state)
{
	(void)state;
	add(&f, FINDING_WARNING, "a");
	add(&f, FINDING_BLOCKER, "b");
	add(&f, FINDING_RISK, "c");
	add(&f, FINDING_BLOCKER, "d");
	add(&f, FINDING_WARNING, "e");
	findings_sort(&f);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(f.list[i].code[0], "bdcae"[i]);
	assert_int_equal(findings_count(&f, FINDING_BLOCKER), 2);
	assert_int_equal(findings_count(&f, FINDING_RISK), 1);
	assert_int_equal(findings_count(&f, FINDING_WARNING), 2);
}

static void test_each_has_a_fix(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	findings_add(&f, FINDING_RISK, "a", NULL, "a");
	findings_fix(&f, "Do %d things", 3);
	findings_add(&f, FINDING_RISK, "b", "", "b");
	error_set(&err, -EIO, NULL, "c is wrong");
	findings_add_error(&f, FINDING_BLOCKER, "c", &err);
	assert_string_equal(f.list[0].fix, "Do 3 things");
	assert_non_null(strstr(f.list[1].fix, "log"));
	assert_non_null(strstr(f.list[2].fix, "log"));
	assert_string_equal(f.list[2].what, "c is wrong");
}

static void test_merge(void **state)
{
	(void)state;
	add(&f, FINDING_BLOCKER, "type");
	add(&other, FINDING_BLOCKER, "type"); /* the other host says the same of the same guest */
	add(&other, FINDING_RISK, "memory");
	add(&other, FINDING_RISK, "memory"); /* two of its own are two */
	findings_merge(&f, &other, "hostb");
	assert_int_equal(f.nr, 3);
	assert_string_equal(f.list[0].host, "");
	assert_string_equal(f.list[1].code, "memory");
	assert_string_equal(f.list[2].host, "hostb");
}

/* A full list never hides that it cannot work. */
static void test_full(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FINDINGS_MAX; i++)
		add(&f, i < 3 ? FINDING_RISK : FINDING_WARNING, "w");
	add(&f, FINDING_WARNING, "lost");
	findings_fix(&f, "of nobody");
	add(&f, FINDING_BLOCKER, "kept");
	findings_fix(&f, "of this one");
	assert_int_equal(f.nr, FINDINGS_MAX);
	assert_int_equal(f.dropped, 2);
	assert_string_equal(findings_stop(&f, true)->code, "kept");
	assert_string_equal(findings_stop(&f, true)->fix, "of this one");
	for (unsigned i = 0; i < FINDINGS_MAX; i++)
		assert_string_not_equal(f.list[i].fix, "of nobody");
	for (unsigned i = 0; i < 2 * FINDINGS_MAX; i++)
		add(&f, FINDING_BLOCKER, "b");
	assert_int_equal(findings_count(&f, FINDING_BLOCKER), FINDINGS_MAX);
}

static void test_error(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	add(&f, FINDING_RISK, "risk");
	assert_int_equal(findings_error(&f, -EOPNOTSUPP, &err), 0);
	add(&f, FINDING_BLOCKER, "first");
	add(&f, FINDING_BLOCKER, "second");
	assert_int_equal(findings_error(&f, -EOPNOTSUPP, &err), -EOPNOTSUPP);
	assert_string_equal(err.what, "first is wrong");
	assert_string_equal(err.fix, "Do something");
	assert_int_equal(findings_error(&f, -EOPNOTSUPP, NULL), -EOPNOTSUPP);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(finding_severity_name(FINDING_BLOCKER), "blocker");
	assert_string_equal(finding_severity_name(FINDING_RISK), "risk");
	assert_string_equal(finding_severity_name(FINDING_WARNING), "warning");
	assert_string_equal(finding_severity_name((enum finding_severity)9), "unknown");
}

static void test_drop(void **state)
{
	(void)state;
	f = (struct findings){0};
	findings_add(&f, FINDING_BLOCKER, "one", "fix", "first");
	findings_add(&f, FINDING_WARNING, "two", "fix", "second");
	findings_add(&f, FINDING_RISK, "one", "fix", "third");
	findings_drop(&f, "none");
	assert_int_equal(f.nr, 3);
	findings_drop(&f, "one");
	assert_int_equal(f.nr, 1);
	assert_string_equal(f.list[0].what, "second");
	findings_fix(&f, "nobody's");
	assert_string_equal(f.list[0].fix, "fix");
	assert_null(findings_stop(&f, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_what_stops, setup),
		cmocka_unit_test_setup(test_order, setup),
		cmocka_unit_test_setup(test_each_has_a_fix, setup),
		cmocka_unit_test_setup(test_merge, setup),
		cmocka_unit_test_setup(test_full, setup),
		cmocka_unit_test_setup(test_error, setup),
		cmocka_unit_test(test_drop),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
