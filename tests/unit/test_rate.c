/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include "base/rate.h"

static void test_good(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes_per_s;
	} cases[] = {
		{"0", 0},
		{"100M", UINT64_C(100) << 20},
		{"100MiB", UINT64_C(100) << 20},
		{"100MB", 100000000},
		{"100mb", 100000000},
		{"800mbit", 100000000},
		{"1Gbit", 125000000},
		{"1.5m", 3u << 19},
		{"128K", 128u << 10},
		{"1024G", UINT64_C(1) << 40},
		{".5g", UINT64_C(1) << 29},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint64_t rate = 1;

		if (rate_parse(cases[i].text, &rate) || rate != cases[i].bytes_per_s)
			fail_msg("%s: %llu", cases[i].text, (unsigned long long)rate);
	}
}

static void test_bad(void **state)
{
	static const char *const cases[] = {"", "100", "M", "-1M", "+1M", " 1M", "1 M", "1Mb/s",
		"0x10M", "infM", "nanM", "1e3M", "1..2M", "00", "1T", "127K", "1025G", "100 MB"};
	uint64_t rate;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		if (rate_parse(cases[i], &rate) == 0 || rate != 0)
			fail_msg("'%s' was taken for %llu", cases[i], (unsigned long long)rate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};

	return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
