/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include "migrate/adapt.h"

#define PAGES 256u

/* What a page takes of our time and then of the link's, and how many batches went each way. */
struct world {
	int64_t cpu_ns[ADAPT_WAYS], link_ns[ADAPT_WAYS];
	bool engine_waits;
	unsigned gone[ADAPT_WAYS];
};

static const struct world fast = {
	.cpu_ns = {6000, 5500, 2000}, .link_ns = {100, 110, 300}, .engine_waits = true};

static enum adapt_way one(struct adapt *a, struct world *w, uint32_t pages)
{
	static int64_t now_ns;
	enum adapt_way way = adapt_begin(a, pages, w->engine_waits, now_ns);

	now_ns += (w->cpu_ns[way] + w->link_ns[way]) * pages;
	adapt_end(a, w->link_ns[way] * pages, now_ns);
	w->gone[way]++;
	return way;
}

/* `nr` batches in that world; how many of them went that way. */
static unsigned gone(enum adapt_way way, struct adapt *a, struct world w, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		one(a, &w, PAGES);
	return w.gone[way];
}

static unsigned raw_of(struct adapt *a, struct world w, unsigned nr)
{
	return gone(ADAPT_RAW, a, w, nr);
}

/* One that has been in the fast world for a while. */
static struct adapt experienced(void)
{
	struct adapt a = {0};

	raw_of(&a, fast, 64);
	return a;
}

static void test_compressed_until_more_is_known(void **state)
{
	struct adapt a = {0};

	(void)state;
	assert_int_equal(gone(ADAPT_COMPRESS, &a, fast, 2), 2);
	assert_int_equal(gone(ADAPT_HASTE, &a, fast, 2), 2);
	assert_int_equal(gone(ADAPT_RAW, &a, fast, 2), 2);
}

/* But for a retry in 32; and raw must take a third less, else bytes decide. */
static void test_the_faster_way_is_taken(void **state)
{
	struct adapt a = experienced(), b = {0};
	struct world close = fast;

	(void)state;
	assert_in_range(raw_of(&a, fast, 320), 308, 311);
	close.cpu_ns[ADAPT_RAW] = 3800;
	raw_of(&b, close, 64);
	assert_in_range(raw_of(&b, close, 320), 4, 6);
	close.cpu_ns[ADAPT_RAW] = 3700;
	raw_of(&b, close, 320); /* each way is tried once in 64 */
	assert_in_range(raw_of(&b, close, 320), 308, 311);
}

/* Raw pages out of a slow host, however much sooner: no more than a gigabit link would carry. */
static void test_raw_pages_are_for_fast_links(void **state)
{
	struct world slow = {
		.cpu_ns = {99000, 98000, 32500}, .link_ns = {100, 110, 300}, .engine_waits = true};
	struct adapt a = {0}, b = {0};

	(void)state;
	raw_of(&a, slow, 64);
	assert_in_range(raw_of(&a, slow, 320), 4, 6);
	slow.cpu_ns[ADAPT_RAW] = 32400;
	raw_of(&b, slow, 64);
	assert_in_range(raw_of(&b, slow, 320), 308, 311);
}

/* Where raw pages are not worth it: by an eighth, or they are compressed well. */
static void test_haste(void **state)
{
	struct world slow = fast;
	struct adapt a = {0};

	(void)state;
	slow.cpu_ns[ADAPT_RAW] = 5800;
	gone(ADAPT_HASTE, &a, slow, 64);
	assert_in_range(gone(ADAPT_HASTE, &a, slow, 320), 4, 6);
	slow.cpu_ns[ADAPT_HASTE] = 5200;
	gone(ADAPT_HASTE, &a, slow, 320);
	assert_in_range(gone(ADAPT_HASTE, &a, slow, 320), 308, 311);
	slow.engine_waits = false; /* nobody waits for it, but the processor is not ours alone */
	assert_in_range(gone(ADAPT_HASTE, &a, slow, 320), 308, 311);
	slow.engine_waits = true;
	slow.link_ns[ADAPT_COMPRESS] = 8000;
	slow.link_ns[ADAPT_HASTE] = 9000;
	assert_in_range(gone(ADAPT_COMPRESS, &a, slow, 40), 38, 40);
	assert_int_equal(gone(ADAPT_COMPRESS, &a, slow, 320), 320);
}

static void test_contents_change(void **state)
{
	struct adapt a = experienced();
	struct world zeros = fast;

	(void)state;
	zeros.cpu_ns[ADAPT_COMPRESS] = 500;
	/* A retry shows it, and a few more when the old figure weighs too much. */
	assert_in_range(raw_of(&a, zeros, 400), 1, 200);
	assert_in_range(raw_of(&a, zeros, 320), 4, 6);
	assert_in_range(raw_of(&a, fast, 400), 200, 400);
	assert_in_range(raw_of(&a, fast, 320), 308, 311);
}

/* What is compressed has to wait: not one raw batch more, whatever was known before. */
static void test_bytes_count_when_the_link_is_full(void **state)
{
	struct adapt a = experienced(), b = {0};
	struct world full = fast;

	(void)state;
	full.link_ns[ADAPT_COMPRESS] = 20000;
	full.link_ns[ADAPT_RAW] = 50000;
	assert_in_range(raw_of(&a, full, 4), 1, 2);
	assert_int_equal(raw_of(&a, full, 320), 0);
	assert_int_equal(raw_of(&b, full, 320), 0);
}

/* A link that takes what is compressed, but not more. */
static void test_raw_pages_may_take_longer(void **state)
{
	struct world half = fast;
	struct adapt a = {0};

	(void)state;
	half.link_ns[ADAPT_RAW] = 8000;
	/* That the first one waits says enough. */
	assert_int_equal(raw_of(&a, half, 20), 1);
	assert_in_range(raw_of(&a, half, 320), 4, 6);
}

static void test_time_that_is_there_anyway(void **state)
{
	struct adapt a = experienced();
	struct world slow = fast;

	(void)state;
	slow.engine_waits = false;
	assert_int_equal(raw_of(&a, slow, 320), 0);
}

static void test_who_limits_bytes_wants_few(void **state)
{
	struct adapt a = experienced();

	(void)state;
	a.bytes_are_dear = true;
	assert_int_equal(raw_of(&a, fast, 320), 0);
}

/* The first raw batch touches memory that nothing has touched yet. */
static void test_the_first_try_of_a_way_counts_little(void **state)
{
	struct world cold = fast;
	struct adapt a = {0};

	(void)state;
	cold.cpu_ns[ADAPT_RAW] = 100000;
	assert_int_equal(raw_of(&a, cold, 5), 1);
	assert_int_equal(raw_of(&a, fast, 20), 20);
}

static void test_small_batches_and_other_frames_teach_nothing(void **state)
{
	struct world lies = {
		.cpu_ns = {1, 1, 100000}, .link_ns = {100000, 1, 1}, .engine_waits = true};
	struct adapt a = experienced(), before = a;

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		one(&a, &lies, 3);
		adapt_end(&a, 1000000, 1); /* a frame without pages */
	}
	assert_memory_equal(a.cost, before.cost, sizeof(a.cost));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compressed_until_more_is_known),
		cmocka_unit_test(test_the_faster_way_is_taken),
		cmocka_unit_test(test_raw_pages_are_for_fast_links),
		cmocka_unit_test(test_haste),
		cmocka_unit_test(test_contents_change),
		cmocka_unit_test(test_bytes_count_when_the_link_is_full),
		cmocka_unit_test(test_raw_pages_may_take_longer),
		cmocka_unit_test(test_time_that_is_there_anyway),
		cmocka_unit_test(test_who_limits_bytes_wants_few),
		cmocka_unit_test(test_the_first_try_of_a_way_counts_little),
		cmocka_unit_test(test_small_batches_and_other_frames_teach_nothing),
	};

	return cmocka_run_group_tests_name("adapt", tests, NULL, NULL);
}
