/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one Xen host tells another of a domain, and that xl knows the features that a fix names. */
#include "test.h"

#include <libxl.h>

#include "hypervisor/cpu.h"
#include "hypervisor/xen_offer.h"

/* What a fix tells the user to write, xl must understand. */
static void test_feature_names(void **state)
{
	libxl_cpuid_policy_list policy = NULL;
	unsigned nr = 0;

	(void)state;
	for (unsigned i = 0; i < CPU_WORDS * 32; i++) {
		char name[CPU_NAME_LEN], option[CPU_NAME_LEN + 4];

		if (!cpu_feature_name(i / 32, i % 32, name))
			continue;
		snprintf(option, sizeof(option), "%s=0", name);
		if (libxl_cpuid_parse_config(&policy, option) != 0)
			fail_msg("libxl does not know %s", name);
		nr++;
	}
	assert_true(nr > 200);
	assert_int_equal(libxl_cpuid_parse_config(&policy, "maxleaf=13"), 0);
	assert_int_not_equal(libxl_cpuid_parse_config(&policy, "nosuch=0"), 0);
	libxl_cpuid_dispose(&policy);
}

static void test_versions(void **state)
{
	static const struct {
		const char *from, *to;
		unsigned severity; /* 0 = nothing */
	} cases[] = {
		{"4.17.7", "4.17.7", 0},
		{"4.17.5", "4.17.7", 0},
		{"4.17.7", "4.17.5", FINDING_WARNING},
		{"4.17.7-pre", "4.17.7", 0},
		{"4.17.7", "4.18.0", FINDING_WARNING},
		{"4.18.0", "4.17.9", FINDING_BLOCKER},
		{"5.0.0", "4.17.7", FINDING_BLOCKER},
		{"4.9.0", "4.17.7", FINDING_WARNING},
		{"unstable", "4.17.7", FINDING_RISK},
		{"", "4.17.7", FINDING_RISK},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct findings found = {0};

		xen_offer_check_version(cases[i].from, cases[i].to, &found);
		assert_int_equal(found.nr, cases[i].severity != 0);
		if (found.nr)
			assert_int_equal(found.list[0].severity, cases[i].severity);
	}
}

static void test_clocks(void **state)
{
	static const struct {
		int64_t there, here;
		const char *words; /* NULL = they agree */
	} cases[] = {
		{1000, 1000, NULL},
		{1000, 1003, NULL},
		{1003, 1000, NULL},
		{1000, 1004, "4 s ahead of"},
		{1004, 1000, "4 s behind"},
		{INT64_MIN, INT64_MAX, "18446744073709551615 s ahead of"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct findings found = {0};

		xen_offer_check_clock(cases[i].there, cases[i].here, &found);
		assert_int_equal(found.nr, cases[i].words != NULL);
		if (found.nr)
			assert_non_null(strstr(found.list[0].what, cases[i].words));
	}
}

static void test_offer(void **state)
{
	struct xen_offer offer = {.xen = "4.17.7", .time = 7, .tsc = {CPU_TSC_NATIVE, 2600000}},
			 got;
	struct error err = ERROR_INIT;
	char *text;

	(void)state;
	offer.libxl = strdup("{\n    \"c_info\": {}\n}");
	offer.cpu.nr_leaves = 1;
	offer.cpu.leaf[0] = (struct cpu_leaf){7, 0, {1, 2, 3, UINT32_MAX}};
	offer.cpu.nr_msrs = 1;
	offer.cpu.msr[0] = (struct cpu_msr){0x10a, UINT64_MAX};
	text = xen_offer_encode(&offer);
	assert_int_equal(xen_offer_decode(text, &got, &err), 0);
	assert_string_equal(got.libxl, offer.libxl);
	assert_string_equal(got.xen, "4.17.7");
	assert_int_equal(got.time, 7);
	assert_memory_equal(&got.tsc, &offer.tsc, sizeof(got.tsc));
	assert_memory_equal(&got.cpu, &offer.cpu, sizeof(got.cpu));
	xen_offer_dispose(&got);
	for (size_t cut = 0; cut < strlen(text); cut++) {
		char *part = strndup(text, cut);

		err = ERROR_INIT;
		assert_int_equal(xen_offer_decode(part, &got, &err), -EINVAL);
		assert_true(err.what[0] && err.fix[0]);
		xen_offer_dispose(&got);
		free(part);
	}
	free(text);
	xen_offer_dispose(&offer);
}

/* Each as it may come from a peer; the whole must be refused. */
static void test_bad_offers(void **state)
{
	static const char *const bad[] = {"[]", "{}",
		"{\"xen\":\"4.17.7\",\"libxl\":\"\",\"time\":0,\"tsc\":{\"mode\":0,\"khz\":0}}",
		"{\"xen\":4,\"libxl\":\"\",\"time\":0,\"tsc\":{\"mode\":0,\"khz\":0},\"cpu\":{\"leaves\":[],\"msrs\":[]}}",
		"{\"xen\":\"4\",\"libxl\":\"\",\"time\":0,\"tsc\":{\"mode\":-1,\"khz\":0},\"cpu\":{\"leaves\":[],\"msrs\":[]}}",
		"{\"xen\":\"4\",\"libxl\":\"\",\"time\":0,\"tsc\":{\"mode\":0,\"khz\":4294967296},\"cpu\":{\"leaves\":[],\"msrs\":[]}}",
		"{\"xen\":\"4\",\"libxl\":\"\",\"time\":0,\"tsc\":{\"mode\":0,\"khz\":0},\"cpu\":[]}",
		"{\"xen\":\"0123456789012345678901234567890123456789012345678901234567890123\","
		"\"libxl\":\"\",\"time\":0,\"tsc\":{\"mode\":0,\"khz\":0},\"cpu\":{\"leaves\":[],\"msrs\":[]}}"};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct xen_offer got;

		if (xen_offer_decode(bad[i], &got, NULL) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		xen_offer_dispose(&got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_feature_names),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_clocks),
		cmocka_unit_test(test_offer),
		cmocka_unit_test(test_bad_offers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
