/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two ends that got the same batches agree in whatever order; one page that differs is named. */
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

/* As batch `number` of the first stream. */
static void take(
	struct verify *v, uint64_t number, uint64_t pfn, unsigned type, const uint8_t *page)
{
	struct page_batch batch = {
		.nr = 1, .nr_data = page != NULL, .data = (uint8_t *)(uintptr_t)page};

	batch.entry[0] = pfn | (uint64_t)type << PAGE_TYPE_SHIFT;
	if (!page && type < PAGE_TYPE_BROKEN)
		batch.entry[0] |= PAGE_ZERO;
	verify_batch(v, 0, number, &batch);
}

/* A batch for each page, numbered alike. */
static void take_all(struct verify *v)
{
	for (uint64_t pfn = 0; pfn < PAGES; pfn++)
		take(v, pfn, pfn, 0, memory[pfn]);
}

/* Page `first` and those that follow, on stream `first / 200`. */
static void take_some(struct verify *v, uint64_t first, uint32_t nr)
{
	struct page_batch batch = {.nr = nr, .nr_data = nr, .data = memory[first]};

	for (uint32_t i = 0; i < nr; i++)
		batch.entry[i] = first + i;
	verify_batch(v, (unsigned)(first / 200), first % 200, &batch);
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

static void test_batches_in_any_order(void **state)
{
	(void)state;
	for (unsigned first = 0; first < PAGES; first += 50)
		take_some(&here, first, 50);
	for (unsigned first = PAGES; first; first -= 50)
		take_some(&there, first - 50, 50);
	assert_same();
	assert_int_equal(here.sums.pages, PAGES);
}

static void test_a_batch_in_anothers_stead(void **state)
{
	char what[ERROR_TEXT_LEN];
	struct verify was;

	(void)state;
	take_some(&here, 0, 50);
	was = here;
	take_some(&here, 50, 50);
	take_some(&there, 0, 50);
	take_some(&there, 0, 50);
	assert_int_equal(compare(what), -EBADMSG);
	/* The same pages under another number, or on another stream. */
	for (unsigned i = 0; i < 2; i++) {
		struct page_batch batch = {.nr = 1, .nr_data = 1, .data = memory[9]};

		batch.entry[0] = 9;
		here = there = was;
		verify_batch(&here, 0, 7, &batch);
		verify_batch(&there, i, 7 + !i, &batch);
		assert_named(9);
	}
}

static void test_each_version_counts(void **state)
{
	struct verify was;

	(void)state;
	take_all(&here);
	take_all(&there);
	was = there;
	take(&here, PAGES, 5, 0, memory[1]);
	assert_named(5);
	take(&there, PAGES, 5, 0, memory[1]);
	assert_same();
	assert_int_equal(here.sums.pages, PAGES + 1);
	/* Two versions that came in each other's stead. */
	take(&here, PAGES + 1, 5, 0, memory[2]);
	there = was;
	take(&there, PAGES, 5, 0, memory[2]);
	take(&there, PAGES + 1, 5, 0, memory[1]);
	assert_named(5);
}

static void test_no_contents(void **state)
{
	(void)state;
	take_all(&here);
	take_all(&there);
	take(&here, PAGES, 5, PAGE_TYPE_XTAB, NULL);
	assert_named(5);
	take(&there, PAGES, 5, PAGE_TYPE_XTAB, NULL);
	assert_same();
	assert_int_equal(here.sums.pages, PAGES);
	take(&here, PAGES + 1, 6, PAGE_TYPE_XTAB, NULL);
	take(&there, PAGES + 1, 6, PAGE_TYPE_BROKEN, NULL);
	assert_named(6);
}

/* The codec tells zero pages by a mark, whatever told it of them. */
static void test_zero_pages_are_alike(void **state)
{
	(void)state;
	for (uint64_t pfn = 7; pfn < 10; pfn++) {
		take(&here, pfn, pfn, 0, memory[pfn]);
		take(&there, pfn, pfn, 0, NULL);
	}
	assert_named(9);
	take(&here, 9, 9, 0, NULL);
	take(&there, 9, 9, 0, memory[9]);
	assert_same();
}

static void test_one_page_is_named(void **state)
{
	struct test_random r = TEST_RANDOM(3);
	uint8_t page[PAGE_BYTES];
	struct verify was;

	(void)state;
	take_all(&here);
	take_all(&there);
	was = there;
	for (unsigned i = 0; i < 500; i++) {
		uint64_t pfn = test_random_below(&r, PAGES);
		struct verify_sums sent = here.sums;

		memcpy(page, memory[pfn], sizeof(page));
		page[test_random_below(&r, PAGE_BYTES)] ^=
			(uint8_t)(1u << test_random_below(&r, 8));
		take(&here, PAGES, pfn, 0, memory[pfn]);
		take(&there, PAGES, pfn, 0, page);
		assert_named(pfn);
		here.sums = sent;
		there = was;
		assert_same();
	}
	/* High up, as a PVH guest's last pages are. */
	take(&here, PAGES, 0xfeffc, 0, memory[1]);
	take(&there, PAGES, 0xfeffc, 0, memory[2]);
	assert_named(0xfeffc);
}

static void test_a_lost_page_is_named(void **state)
{
	(void)state;
	take_all(&here);
	for (uint64_t pfn = 0; pfn < PAGES; pfn++)
		if (pfn != 123)
			take(&there, pfn, pfn, 0, memory[pfn]);
	assert_named(123);
	/* The last one. */
	take(&there, 123, 123, 0, memory[123]);
	take(&here, PAGES, 1 << 20, 0, memory[1]);
	assert_named(1 << 20);
	take(&there, PAGES, 1 << 20, 0, memory[1]);
	assert_same();
	/* Or one that came twice. */
	take(&there, 123, 123, 0, memory[123]);
	assert_named(123);
}

static void test_place_and_type_count(void **state)
{
	char what[ERROR_TEXT_LEN];
	struct verify was;

	(void)state;
	take_all(&here);
	take_all(&there);
	was = there;
	take(&here, PAGES, 20, 0, memory[20]);
	take(&there, PAGES, 20, 1, memory[20]);
	assert_named(20);
	/* Two pages in each other's place. */
	here = there = was;
	take(&here, PAGES, 30, 0, memory[30]);
	take(&here, PAGES, 31, 0, memory[31]);
	take(&there, PAGES, 30, 0, memory[31]);
	take(&there, PAGES, 31, 0, memory[30]);
	assert_int_equal(compare(what), -EBADMSG);
	assert_non_null(strstr(what, "more than one page of g"));
}

/* As many, at places of the same sum and of the same sum of squares: 1 + 2 + 6 = 0 + 4 + 5. */
static void test_pages_alike_in_other_places(void **state)
{
	struct page_batch batch = {.nr = 7, .nr_data = 4};
	uint8_t same[4][PAGE_BYTES];
	char what[ERROR_TEXT_LEN];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		memcpy(same[i], memory[1], PAGE_BYTES);
	batch.data = same[0];
	for (unsigned i = 0; i < 7; i++)
		batch.entry[i] = 100 - i + (0x46 >> i & 1 ? PAGE_ZERO : 0);
	verify_batch(&here, 0, 1, &batch);
	for (unsigned i = 0; i < 7; i++)
		batch.entry[i] = 100 - i + (0x31 >> i & 1 ? PAGE_ZERO : 0);
	verify_batch(&there, 0, 1, &batch);
	assert_int_equal(compare(what), -EBADMSG);
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
	struct verify was;

	(void)state;
	take_all(&here);
	was = here;
	for (unsigned i = 0; i < 500; i++) {
		unsigned nr = 2 + test_random_below(&r, 3),
			 first = test_random_below(&r, PAGES / 4);

		here = there = was;
		for (unsigned n = 0; n < nr; n++) {
			uint64_t pfn = first + n * (1 + test_random_below(&r, PAGES / 8));

			memcpy(page, memory[pfn], sizeof(page));
			page[n] ^= (uint8_t)(1 + i % 255);
			take(&here, PAGES, pfn, 0, memory[pfn]);
			take(&there, PAGES, pfn, 0, page);
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
}

static void test_another_key(void **state)
{
	static const uint8_t other[8] = "public!";
	char what[ERROR_TEXT_LEN];

	(void)state;
	verify_init(&there, other);
	take_all(&here);
	take_all(&there);
	assert_int_equal(compare(what), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_batches_in_any_order, setup),
		cmocka_unit_test_setup(test_a_batch_in_anothers_stead, setup),
		cmocka_unit_test_setup(test_each_version_counts, setup),
		cmocka_unit_test_setup(test_no_contents, setup),
		cmocka_unit_test_setup(test_zero_pages_are_alike, setup),
		cmocka_unit_test_setup(test_one_page_is_named, setup),
		cmocka_unit_test_setup(test_a_lost_page_is_named, setup),
		cmocka_unit_test_setup(test_place_and_type_count, setup),
		cmocka_unit_test_setup(test_pages_alike_in_other_places, setup),
		cmocka_unit_test_setup(test_several_are_not_taken_for_one, setup),
		cmocka_unit_test_setup(test_sums_of_no_page, setup),
		cmocka_unit_test_setup(test_another_key, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
