/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The comparison of processors, on recorded policies: tests/unit/cpu/NAME-max.json is the most that
 * Xen 4.17 gives an HVM or PVH guest on that processor, NAME-guest.json what it gives one by
 * default. They were made of the processors' CPUID by libxenctrl and Xen's own masks:
 *
 *   haswell	Xeon E5-2630 v3, of 2014	AVX2
 *   skylake	Xeon Gold 6146, of 2017	AVX-512
 *   icelake	Xeon Gold 6330, of 2021	AVX-512 and more
 */
#include "test.h"

#include "hypervisor/cpu.h"

static struct findings found;

static void load(const char *name, struct cpu_policy *p)
{
	char path[512];
	json_t *json;

	snprintf(path, sizeof(path), TEST_DATA "/cpu/%s.json", name);
	json = json_load_file(path, 0, NULL);
	assert_non_null(json);
	assert_int_equal(cpu_policy_decode(json, p), 0);
	json_decref(json);
}

static const struct findings *compare(const char *guest, const char *most)
{
	static struct cpu_policy g, m;

	load(guest, &g);
	load(most, &m);
	found = (struct findings){0};
	cpu_check(&g, &m, NULL, "web", &found);
	return &found;
}

static void test_onto_its_own_and_newer(void **state)
{
	static const char *const names[] = {"haswell", "skylake", "icelake"};
	char guest[32], most[32];

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++)
		for (size_t k = i; k < COUNT(names); k++) {
			snprintf(guest, sizeof(guest), "%s-guest", names[i]);
			snprintf(most, sizeof(most), "%s-max", names[k]);
			if (compare(guest, most)->nr)
				fail_msg("%s onto %s: %s", guest, most, found.list[0].what);
		}
}

/* Xen itself takes it, and the guest dies of #UD later. */
static void test_avx512_onto_an_older_host(void **state)
{
	(void)state;
	compare("skylake-guest", "haswell-max");
	assert_int_equal(found.nr, 1);
	assert_int_equal(found.list[0].severity, FINDING_BLOCKER);
	assert_string_equal(found.list[0].code, "cpu-features");
	assert_string_equal(found.list[0].what,
		"this host's processor lacks features that web was started with: 3dnowprefetch, "
		"xsavec, xgetbv1, xsaves, rtm, avx512f, avx512dq, rdseed, adx, smap, clflushopt, clwb, "
		"avx512cd, avx512bw, avx512vl, pku");
	assert_string_equal(found.list[0].fix,
		"Start it next time with cpuid = \"host,3dnowprefetch=0,xsavec=0,xgetbv1=0,xsaves=0,"
		"rtm=0,avx512f=0,rdseed=0,adx=0,smap=0,clflushopt=0,clwb=0,pku=0\" in its domain file");
}

static struct cpu_leaf *leaf_of(struct cpu_policy *p, uint32_t leaf, uint32_t subleaf)
{
	for (unsigned i = 0; i < p->nr_leaves; i++)
		if (p->leaf[i].leaf == leaf && p->leaf[i].subleaf == subleaf)
			return &p->leaf[i];
	p->leaf[p->nr_leaves] = (struct cpu_leaf){.leaf = leaf, .subleaf = subleaf};
	return &p->leaf[p->nr_leaves++];
}

/* Started with the line that the fix gives, it fits. What Xen does with that line: */
static void test_the_line_suffices(void **state)
{
	uint32_t words[CPU_WORDS], most[CPU_WORDS], roots[CPU_WORDS];
	struct cpu_policy g, m;
	unsigned nr_roots = 0, nr = 0;

	(void)state;
	load("icelake-guest", &g);
	load("haswell-max", &m);
	cpu_features(&g, words);
	cpu_features(&m, most);
	for (unsigned i = 0; i < CPU_WORDS; i++) {
		roots[i] = words[i] & ~most[i];
		nr += (unsigned)__builtin_popcount(roots[i]);
	}
	cpu_features_roots(roots);
	for (unsigned i = 0; i < CPU_WORDS; i++)
		nr_roots += (unsigned)__builtin_popcount(roots[i]);
	assert_in_range(nr_roots, 1, nr - 5);
	/* Every AVX-512 feature hangs on avx512f, which stays. */
	assert_true(roots[5] >> 16 & 1);
	for (unsigned i = 0; i < CPU_WORDS * 32; i++) {
		char name[CPU_NAME_LEN];

		if (roots[i / 32] >> i % 32 & 1 && cpu_feature_name(i / 32, i % 32, name) &&
			strncmp(name, "avx512", 6) == 0)
			assert_string_equal(name, "avx512f");
	}
}

/* Bits that Xen sets from the host whatever the guest had. */
static void test_folded_bits(void **state)
{
	static const struct {
		uint32_t leaf, subleaf;
		enum cpu_register reg;
		uint32_t bits;
	} cases[] = {
		{1, CPU_NO_SUBLEAF, CPU_EDX, UINT32_C(1) << 28},
		{1, CPU_NO_SUBLEAF, CPU_ECX, UINT32_C(1) << 27 | UINT32_C(1) << 31},
		{0x80000001, CPU_NO_SUBLEAF, CPU_ECX, UINT32_C(1) << 1},
		{0x80000001, CPU_NO_SUBLEAF, CPU_EDX, UINT32_C(0x0183f3ff)},
		{7, 0, CPU_EBX, UINT32_C(1) << 6 | UINT32_C(1) << 13},
		{7, 0, CPU_ECX, UINT32_C(1) << 4},
	};
	struct cpu_policy g, m;

	(void)state;
	load("haswell-guest", &g);
	load("haswell-max", &m);
	found = (struct findings){0};
	for (size_t i = 0; i < COUNT(cases); i++) {
		leaf_of(&g, cases[i].leaf, cases[i].subleaf)->reg[cases[i].reg] |= cases[i].bits;
		leaf_of(&m, cases[i].leaf, cases[i].subleaf)->reg[cases[i].reg] &= ~cases[i].bits;
	}
	cpu_check(&g, &m, NULL, "web", &found);
	assert_int_equal(found.nr, 0);
}

/* Each bit of each word is looked at, and found by its name, unless Xen folds it. */
static void test_every_bit(void **state)
{
	struct cpu_policy g = {0}, m = {0};
	unsigned nr_found = 0;

	(void)state;
	for (unsigned i = 0; i < CPU_WORDS * 32; i++) {
		uint32_t mask[CPU_WORDS];
		char name[CPU_NAME_LEN];

		load("icelake-max", &g);
		m = g;
		memset(mask, 0xff, sizeof(mask));
		mask[i / 32] &= ~(UINT32_C(1) << i % 32);
		found = (struct findings){0};
		cpu_check(&g, &m, mask, "web", &found);
		if (!found.nr)
			continue;
		nr_found++;
		assert_true(cpu_feature_name(i / 32, i % 32, name));
		assert_non_null(strstr(found.list[0].what, name));
		assert_non_null(strstr(found.list[0].fix, name));
	}
	assert_in_range(nr_found, 90, 200);
}

static void test_more_than_one_finding_holds(void **state)
{
	struct cpu_policy g, m = {0};
	unsigned nr = 0;

	(void)state;
	load("icelake-max", &g);
	*leaf_of(&m, 0, CPU_NO_SUBLEAF) = *leaf_of(&g, 0, CPU_NO_SUBLEAF);
	found = (struct findings){0};
	cpu_check(&g, &m, NULL, "web", &found);
	for (unsigned i = 0; i < found.nr; i++) {
		assert_true(strlen(found.list[i].what) < ERROR_TEXT_LEN - 1);
		assert_true(strlen(found.list[i].fix) < ERROR_TEXT_LEN - 1);
		nr += strcmp(found.list[i].code, "cpu-features") == 0;
	}
	assert_in_range(nr, 2, 6);
	assert_non_null(strstr(found.list[0].what, "fpu"));
	assert_non_null(strstr(found.list[nr - 1].what, "arch-caps"));
	assert_non_null(strstr(found.list[nr - 1].fix, "the other features"));
}

static void test_maker(void **state)
{
	struct cpu_policy g, m;

	(void)state;
	load("haswell-guest", &g);
	m = g;
	memcpy(leaf_of(&m, 0, CPU_NO_SUBLEAF)->reg + 1, "AuthcAMDenti", 12);
	found = (struct findings){0};
	cpu_check(&g, &m, NULL, "web", &found);
	assert_int_equal(found.nr, 1);
	assert_string_equal(found.list[0].code, "cpu-vendor");
	assert_string_equal(found.list[0].what,
		"web was started on a processor of GenuineIntel, this host's is of AuthenticAMD");
}

static void test_sizes(void **state)
{
	static const struct {
		uint32_t leaf, subleaf;
		enum cpu_register reg;
		uint32_t value;
		enum finding_severity severity;
		const char *code, *words;
	} cases[] = {
		{0, CPU_NO_SUBLEAF, CPU_EAX, 0x16, FINDING_BLOCKER, "cpu-leaves", "up to 0x16"},
		{7, 0, CPU_EAX, 2, FINDING_BLOCKER, "cpu-leaves", "CPUID 7 up to 0x2"},
		{0x80000000, CPU_NO_SUBLEAF, CPU_EAX, 0x80000021, FINDING_BLOCKER, "cpu-leaves",
			"extended CPUID up to 0x80000021"},
		{0xd, 0, CPU_EAX, 0x207, FINDING_BLOCKER, "cpu-state", "XCR0 0x200"},
		{0xd, 0, CPU_EDX, 1u << 30, FINDING_BLOCKER, "cpu-state",
			"XCR0 0x4000000000000000"},
		{0x80000008, CPU_NO_SUBLEAF, CPU_EAX, 0x3034, FINDING_RISK, "cpu-address",
			"52 bits, this host has 46"},
	};
	struct cpu_policy g, m;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		load("haswell-guest", &g);
		load("haswell-max", &m);
		leaf_of(&g, cases[i].leaf, cases[i].subleaf)->reg[cases[i].reg] = cases[i].value;
		found = (struct findings){0};
		cpu_check(&g, &m, NULL, "web", &found);
		assert_int_equal(found.nr, 1);
		assert_int_equal(found.list[0].severity, cases[i].severity);
		assert_string_equal(found.list[0].code, cases[i].code);
		assert_non_null(strstr(found.list[0].what, cases[i].words));
		/* The other way round there is room. */
		found = (struct findings){0};
		cpu_check(&m, &g, NULL, "web", &found);
		for (unsigned k = 0; k < found.nr; k++)
			assert_string_not_equal(found.list[k].code, cases[i].code);
	}
}

static void test_tsc(void **state)
{
	static const struct {
		uint32_t mode, khz;
		bool itsc;
		unsigned severity; /* 0 = nothing */
	} cases[] = {
		{CPU_TSC_DEFAULT, 2600000, false, 0}, {CPU_TSC_DEFAULT, 2600000, true, 0},
		{CPU_TSC_NATIVE, 2600000, true, 0},
		{CPU_TSC_DEFAULT, 2600001, false, FINDING_WARNING},
		{CPU_TSC_NATIVE, 2100000, false, FINDING_RISK},
		{CPU_TSC_EMULATED, 2100000, true, 0},
		{CPU_TSC_DEFAULT, 2600001, true, FINDING_BLOCKER},
		{CPU_TSC_NATIVE, 2100000, true, FINDING_BLOCKER},
		{CPU_TSC_DEFAULT, 0, true, 0}, /* it is not known */
	};
	struct cpu_policy g;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct cpu_tsc tsc = {.mode = cases[i].mode, .khz = cases[i].khz};

		load("haswell-guest", &g);
		if (cases[i].itsc)
			leaf_of(&g, 0x80000007, CPU_NO_SUBLEAF)->reg[CPU_EDX] |= 1u << 8;
		found = (struct findings){0};
		cpu_check_tsc(&g, &tsc, 2600000, "web", &found);
		assert_int_equal(found.nr, cases[i].severity != 0);
		if (found.nr)
			assert_int_equal(found.list[0].severity, cases[i].severity);
	}
}

static void test_policy_as_json(void **state)
{
	static struct cpu_policy p, got;
	json_t *json;

	(void)state;
	load("icelake-guest", &p);
	json = cpu_policy_encode(&p);
	assert_int_equal(cpu_policy_decode(json, &got), 0);
	assert_memory_equal(&p, &got, sizeof(p));
	json_decref(json);
}

static void test_bad_json(void **state)
{
	static const char *const bad[] = {"{}", "[]", "{\"leaves\": [], \"msrs\": 1}",
		"{\"leaves\": [1], \"msrs\": []}", "{\"leaves\": [\"\"], \"msrs\": []}",
		"{\"leaves\": [\"00000000:ffffffff:0000000d:756e6547:6c65746e:4965\"], \"msrs\": []}",
		"{\"leaves\": [\"00000000:ffffffff:0000000D:756e6547:6c65746e:49656e69\"], \"msrs\": []}",
		"{\"leaves\": [\"00000000:ffffffff:0000000d:756e6547:6c65746e:49656e699\"], \"msrs\": []}",
		"{\"leaves\": [\"00000000-ffffffff-0000000d-756e6547-6c65746e-49656e69\"], \"msrs\": []}",
		"{\"leaves\": [], \"msrs\": [\"000000ce:000000000000000\"]}",
		"{\"leaves\": [], \"msrs\": [\"000000ce:00000000000000000\"]}"};
	static struct cpu_policy p;
	json_t *json, *leaves;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		json = json_loads(bad[i], 0, NULL);
		assert_non_null(json);
		if (cpu_policy_decode(json, &p) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		json_decref(json);
	}
	leaves = json_array();
	for (unsigned i = 0; i <= CPU_LEAVES_MAX; i++)
		json_array_append_new(leaves,
			json_string("00000000:ffffffff:0000000d:756e6547:6c65746e:49656e69"));
	json = json_pack("{s:o, s:[]}", "leaves", leaves, "msrs");
	assert_int_equal(cpu_policy_decode(json, &p), -EINVAL);
	json_array_remove(leaves, 0);
	assert_int_equal(cpu_policy_decode(json, &p), 0);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_onto_its_own_and_newer),
		cmocka_unit_test(test_avx512_onto_an_older_host),
		cmocka_unit_test(test_the_line_suffices),
		cmocka_unit_test(test_folded_bits),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_more_than_one_finding_holds),
		cmocka_unit_test(test_maker),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_tsc),
		cmocka_unit_test(test_policy_as_json),
		cmocka_unit_test(test_bad_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
