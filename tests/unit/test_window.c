/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A source and a destination with links between them that are lost at any time: each record arrives
 * once, in order, with its page, and no more is kept than the window.
 */
#include "test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "migrate/window.h"

#define PATIENCE deadline_in(5000)

static struct window window;
static struct record rec;
static int link_ends[2];
static struct lane far;	 /* as lifeboat-wire has it */
static uint64_t arrived; /* at the destination */

static void new_link(void)
{
	int fds[LANE_FDS];
	size_t nr = LANE_FDS;
	uint8_t first;

	fd_close(&link_ends[0]);
	fd_close(&link_ends[1]);
	lane_dispose(&far);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link_ends), 0);
	assert_int_equal(window_pass(&window, link_ends[0], PATIENCE), 0);
	assert_int_equal(io_recv_fds(link_ends[1], &first, 1, fds, &nr), 1);
	assert_int_equal(nr, LANE_FDS);
	/* The rest of the header, then the body. */
	assert_int_equal(io_read_exact(link_ends[1], rec.body,
				 RECORD_HEADER_LEN - 1 + LANE_BODY_LEN, PATIENCE),
		0);
	assert_int_equal(lane_adopt(&far, fds, rec.body + RECORD_HEADER_LEN - 1), 0);
}

static int setup(void **state)
{
	(void)state;
	link_ends[0] = link_ends[1] = -1;
	far = LANE_INIT;
	arrived = 0;
	assert_int_equal(record_init(&rec), 0);
	assert_int_equal(window_open(&window), 0);
	new_link();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	window_close(&window);
	window_close(&window);
	lane_dispose(&far);
	record_dispose(&rec);
	fd_close(&link_ends[0]);
	fd_close(&link_ends[1]);
	return 0;
}

/* The nth record: each third one is small, the others are a page with its number all over. */
static void say(uint64_t n)
{
	struct page_batch batch = {.nr = 1, .nr_data = 1};

	assert_true(window_has_room(&window));
	if (n % 3 == 0) {
		assert_int_equal(
			window_say(&window, link_ends[0], RECORD_HEAD, &n, sizeof(n), PATIENCE), 0);
		return;
	}
	batch.entry[0] = n;
	batch.data = window_room(&window);
	memset(batch.data, (int)(n & 0xff), PAGE_BYTES);
	assert_int_equal(window_say_pages(&window, link_ends[0], &batch, PATIENCE), 0);
}

/* What lifeboat-wire would read next. */
static void hear(void)
{
	struct page_batch batch;
	uint64_t n;

	assert_int_equal(record_read(link_ends[1], &rec, PATIENCE), 0);
	if (rec.type == RECORD_HEAD) {
		memcpy(&n, rec.body, sizeof(n));
		assert_int_equal(n, arrived++);
		return;
	}
	assert_int_equal(rec.type, RECORD_SLOT);
	assert_true(record_get_slot(&rec, &batch));
	assert_int_equal(batch.entry[0], arrived);
	assert_true(test_all(lane_slot(&far), PAGE_BYTES, (uint8_t)(arrived & 0xff)));
	lane_step(&far);
	arrived++;
}

static int applied(uint64_t count)
{
	rec.len = (uint32_t)record_put_applied(rec.body, RECORD_BODY_MAX, count);
	return window_applied(&window, &rec);
}

static void test_any_interleaving(void **state)
{
	struct test_random r = TEST_RANDOM(5);
	uint64_t told = 0; /* of what arrived the source knows so much */

	(void)state;
	for (unsigned step = 0; step < 20000; step++) {
		uint32_t what = test_random_below(&r, 100);

		if (what < 45 && window_has_room(&window)) {
			say(window.said);
		} else if (what < 85 && arrived < window.said) {
			hear();
		} else if (what < 97) {
			told += test_random_below(&r, (uint32_t)(arrived - told) + 1);
			assert_int_equal(applied(told), 0);
		} else {
			/* Lost, with all that was on its way; JOINED tells what has arrived. */
			told = arrived;
			assert_int_equal(applied(told), 0);
			new_link();
		}
		assert_true(window.lane.in_use <= WINDOW_SLOTS);
		assert_true(window.said - window.applied <= WINDOW_MAX);
	}
	while (arrived < window.said)
		hear();
	assert_int_equal(applied(arrived), 0);
	assert_int_equal(window.lane.in_use, 0);
	assert_true(arrived > 5000);
}

static void test_it_fills_up(void **state)
{
	uint64_t slots = 0;

	(void)state;
	while (window_has_room(&window)) {
		slots += window.said % 3 != 0;
		say(window.said);
	}
	assert_int_equal(slots, WINDOW_SLOTS);
	assert_int_equal(applied(1), 0); /* a small one: no slot */
	assert_false(window_has_room(&window));
	assert_int_equal(applied(2), 0);
	assert_true(window_has_room(&window));
}

static void test_words_that_cannot_be(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++)
		say(window.said);
	assert_int_equal(applied(6), -EPROTO);
	assert_int_equal(applied(UINT64_MAX), -EPROTO);
	assert_int_equal(applied(3), 0);
	assert_int_equal(applied(3), 0);
	assert_int_equal(applied(2), -EPROTO);
	rec.len = 7;
	assert_int_equal(window_applied(&window, &rec), -EPROTO);
	assert_int_equal(window.applied, 3);
}

/* Nobody reads it: the record is kept all the same, for another link. */
static void test_a_write_that_fails(void **state)
{
	uint64_t n = 0;

	(void)state;
	fd_close(&link_ends[1]);
	assert_int_not_equal(
		window_say(&window, link_ends[0], RECORD_HEAD, &n, sizeof(n), PATIENCE), 0);
	assert_int_equal(window.said, 1);
	new_link();
	hear();
	assert_int_equal(arrived, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_any_interleaving, setup, teardown),
		cmocka_unit_test_setup_teardown(test_it_fills_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_words_that_cannot_be, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_write_that_fails, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
