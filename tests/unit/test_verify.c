/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two ends that got the same pages agree however these came; one page that differs is named. */
#include "test.h"

#include "migrate/verify.h"

#define PAGES 600u

static const uint8_t token[8] = "secret!";
static uint8_t memory[PAGES][PAGE_BYTES];
static struct verify here, there;

static int setup(void **state)
{
	struct test_random r = TEST_RANDOM(1);

	(void)state;
	test_random_fill(&r, memory, sizeof(memory));
	memset(memory[7], 0, PAGE_BYTES);
	memset(memory[8], 0, PAGE_BYTES);
	verify_init(&here, token);
	verify_init(&there, token);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	verify_dispose(&here);
	verify_dispose(&there);
	return 0;
}

static void take(struct verify *v, uint64_t pfn, unsigned type, const uint8_t *page)
{
	struct page_batch batch = {
		.nr = 1, .nr_data = page != NULL, .data = (uint8_t *)(uintptr_t)page};

	batch.entry[0] = pfn | (uint64_t)type << PAGE_TYPE_SHIFT;
	if (!page && type < PAGE_TYPE_BROKEN)
		batch.entry[0] |= PAGE_ZERO;
	assert_int_equal(verify_batch(v, &batch), 0);
}

static void take_all(struct verify *v)
{
	for (uint64_t pfn = 0; pfn < PAGES; pfn++)
		take(v, pfn, 0, memory[pfn]);
}

static int compare(char what[static ERROR_TEXT_LEN])
{
	struct error err = ERROR_INIT;
	int rc = verify_compare(&there, &here.sums, "g", &err);

	memcpy(what, err.what, ERROR_TEXT_LEN);
	return rc;
}

static void assert_same(void)
{
	char what[ERROR_TEXT_LEN];

	assert_int_equal(compare(what), 0);
}

static void assert_named(uint64_t pfn)
{
	char what[ERROR_TEXT_LEN], want[64];

	assert_int_equal(compare(what), -EBADMSG);
	snprintf(want, sizeof(want), "page 0x%llx of g arrived other", (unsigned long long)pfn);
	assert_non_null(strstr(what, want));
}

static void test_order_and_batches(void **state)
{
	struct page_batch batch = {.nr = 200, .nr_data = 200};

	(void)state;
	take_all(&here);
	/* In batches, from the end. */
	for (unsigned first = PAGES; first; first -= 200) {
		batch.data = memory[first - 200];
		for (uint64_t i = 0; i < 200; i++)
			batch.entry[i] = first - 200 + i;
		assert_int_equal(verify_batch(&there, &batch), 0);
	}
	assert_same();
	assert_int_equal(here.sums.pages, PAGES);
}

static void test_the_last_version_counts(void **state)
{
	struct test_random r = TEST_RANDOM(2);

	(void)state;
	take_all(&here);
	for (unsigned i = 0; i < 2000; i++)
		take(&there, test_random_below(&r, PAGES), 0, memory[test_random_below(&r, PAGES)]);
	take_all(&there);
	assert_same();
	/* Ballooned out, and in again. */
	take(&here, 5, PAGE_TYPE_XTAB, NULL);
	assert_named(5);
	take(&there, 5, PAGE_TYPE_XTAB, NULL);
	assert_same();
	assert_int_equal(here.sums.pages, PAGES - 1);
	take(&here, 5, 0, memory[5]);
	take(&there, 5, 0, memory[5]);
	assert_same();
}

/* The codec tells zero pages by a mark, whatever told it of them. */
static void test_zero_pages_are_alike(void **state)
{
	(void)state;
	take_all(&here);
	take_all(&there);
	take(&there, 7, 0, NULL);
	take(&there, 8, 0, NULL);
	assert_same();
	take(&there, 9, 0, NULL);
	assert_named(9);
}

static void test_one_page_is_named(void **state)
{
	struct test_random r = TEST_RANDOM(3);
	uint8_t page[PAGE_BYTES];

	(void)state;
	take_all(&here);
	take_all(&there);
	for (unsigned i = 0; i < 500; i++) {
		uint64_t pfn = test_random_below(&r, PAGES);

		memcpy(page, memory[pfn], sizeof(page));
		page[test_random_below(&r, PAGE_BYTES)] ^=
			(uint8_t)(1u << test_random_below(&r, 8));
		take(&there, pfn, 0, page);
		assert_named(pfn);
		take(&there, pfn, 0, memory[pfn]);
		assert_same();
	}
	/* High up, as a PVH guest's last pages are. */
	take(&here, 0xfeffc, 0, memory[1]);
	take(&there, 0xfeffc, 0, memory[2]);
	assert_named(0xfeffc);
}

static void test_a_lost_page_is_named(void **state)
{
	(void)state;
	take_all(&here);
	for (uint64_t pfn = 0; pfn < PAGES; pfn++)
		if (pfn != 123)
			take(&there, pfn, 0, memory[pfn]);
	assert_named(123);
}

static void test_place_and_type_count(void **state)
{
	char what[ERROR_TEXT_LEN];

	(void)state;
	take_all(&here);
	take_all(&there);
	take(&there, 20, 1, memory[20]);
	assert_named(20);
	take(&there, 20, 0, memory[20]);
	/* Two pages in each other's place, also two zero pages' neighbours. */
	take(&there, 30, 0, memory[31]);
	take(&there, 31, 0, memory[30]);
	assert_int_equal(compare(what), -EBADMSG);
	assert_non_null(strstr(what, "more than one page of g"));
}

static void assert_several(const struct verify_sums *theirs)
{
	struct error err = ERROR_INIT;

	assert_int_equal(verify_compare(&there, theirs, "g", &err), -EBADMSG);
	assert_non_null(strstr(err.what, "more than one page of g"));
}

static void test_several_are_not_taken_for_one(void **state)
{
	struct test_random r = TEST_RANDOM(4);
	uint8_t page[PAGE_BYTES];

	(void)state;
	take_all(&here);
	for (unsigned i = 0; i < 500; i++) {
		unsigned nr = 2 + test_random_below(&r, 3),
			 first = test_random_below(&r, PAGES / 4);

		take_all(&there);
		for (unsigned n = 0; n < nr; n++) {
			uint64_t pfn = first + n * (1 + test_random_below(&r, PAGES / 8));

			memcpy(page, memory[pfn], sizeof(page));
			page[n] ^= (uint8_t)(1 + i % 255);
			take(&there, pfn, 0, page);
		}
		/* Apart by n, so at least two of them are not the same one. */
		assert_several(&here.sums);
	}
}

/* Each of the three sums, and the count, is looked at; sums that no page explains name none. */
static void test_sums_of_no_page(void **state)
{
	struct verify_sums sums;

	(void)state;
	take_all(&here);
	take_all(&there);
	for (unsigned i = 0; i < VERIFY_SUMS; i++) {
		sums = here.sums;
		sums.sum[i] = (sums.sum[i] + 5) % VERIFY_PRIME;
		if (i == 0)
			continue; /* a difference of page 0, which has no place in the others */
		assert_several(&sums);
	}
	sums = here.sums;
	sums.sum[0] = (sums.sum[0] + 5) % VERIFY_PRIME;
	assert_int_equal(verify_compare(&there, &sums, "g", NULL), -EBADMSG);
	sums = here.sums;
	sums.pages++;
	assert_several(&sums);
	/* Page 7, were it not for the third sum. */
	sums = here.sums;
	sums.sum[0] = (sums.sum[0] + 1) % VERIFY_PRIME;
	sums.sum[1] = (sums.sum[1] + 7) % VERIFY_PRIME;
	sums.sum[2] = (sums.sum[2] + 50) % VERIFY_PRIME;
	assert_several(&sums);
	/* As page 2^40 would differ, which this domain does not have. */
	sums = here.sums;
	sums.sum[0] = (sums.sum[0] + 1) % VERIFY_PRIME;
	sums.sum[1] = (sums.sum[1] + (UINT64_C(1) << 40)) % VERIFY_PRIME;
	sums.sum[2] = (sums.sum[2] + (UINT64_C(1) << 19)) % VERIFY_PRIME; /* 2^80 = 2^19 */
	assert_several(&sums);
}

static void test_another_key(void **state)
{
	static const uint8_t other[8] = "public!";
	char what[ERROR_TEXT_LEN];

	(void)state;
	verify_dispose(&there);
	verify_init(&there, other);
	take_all(&here);
	take_all(&there);
	assert_int_equal(compare(what), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order_and_batches, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_last_version_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zero_pages_are_alike, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_page_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_lost_page_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(test_place_and_type_count, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_several_are_not_taken_for_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sums_of_no_page, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_key, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
