/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal: what was appended is there after a reopen, whatever a crash left behind it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/test.h"

#include "migrate/journal.h"

static const uint8_t uuid[DOMAIN_UUID_LEN] = {1, 2, 3, 4};
static struct config cfg;

static struct journal_entry entry(enum handover_state state, uint64_t term)
{
	struct journal_entry e = {.state = state, .term = term, .name = "web", .peer = "hostb"};

	memset(e.token, (int)term, sizeof(e.token));
	memcpy(e.uuid, uuid, sizeof(e.uuid));
	return e;
}

static void append(struct journal *j, enum handover_state state, uint64_t term)
{
	struct journal_entry e = entry(state, term);

	assert_int_equal(journal_append(j, &e, NULL), 0);
}

static void path_of(char out[static PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/journal/01020304000000000000000000000000", cfg.state_dir);
}

static int setup(void **state)
{
	(void)state;
	snprintf(cfg.state_dir, sizeof(cfg.state_dir), "/tmp/lifeboat-journal-XXXXXX");
	return mkdtemp(cfg.state_dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char path[PATH_MAX + 8];

	(void)state;
	path_of(path);
	unlink(path);
	strcat(path, ".lock");
	unlink(path);
	snprintf(path, sizeof(path), "%s/journal", cfg.state_dir);
	rmdir(path);
	return rmdir(cfg.state_dir);
}

static void test_a_new_one_is_empty(void **state)
{
	struct journal j;

	(void)state;
	assert_int_equal(journal_open(&j, &cfg, uuid, NULL), 0);
	assert_int_equal(j.last.state, HANDOVER_NONE);
	assert_int_equal(j.last.term, 0);
	journal_close(&j);
	journal_close(&j);
}

static void test_the_last_entry_survives(void **state)
{
	struct journal j;

	(void)state;
	assert_int_equal(journal_open(&j, &cfg, uuid, NULL), 0);
	append(&j, HANDOVER_PREP, 1);
	append(&j, HANDOVER_CEDED, 1);
	journal_close(&j);
	assert_int_equal(journal_open(&j, &cfg, uuid, NULL), 0);
	assert_int_equal(j.last.state, HANDOVER_CEDED);
	assert_int_equal(j.last.term, 1);
	assert_string_equal(j.last.name, "web");
	assert_string_equal(j.last.peer, "hostb");
	assert_memory_equal(j.last.uuid, uuid, sizeof(uuid));
	append(&j, HANDOVER_GONE, 1);
	journal_close(&j);
	assert_int_equal(journal_open(&j, &cfg, uuid, NULL), 0);
	assert_int_equal(j.last.state, HANDOVER_GONE);
	journal_close(&j);
}

static void test_one_at_a_time(void **state)
{
	struct journal j, second;
	struct error err = ERROR_INIT;

	(void)state;
	assert_false(journal_is_held(&cfg, uuid)); /* it was never there */
	assert_int_equal(journal_open(&j, &cfg, uuid, NULL), 0);
	assert_true(journal_is_held(&cfg, uuid));
	assert_int_equal(journal_open(&second, &cfg, uuid, &err), -EBUSY);
	assert_non_null(strstr(err.what, "under way"));
	journal_close(&j);
	assert_false(journal_is_held(&cfg, uuid));
	assert_int_equal(journal_open(&second, &cfg, uuid, NULL), 0);
	journal_close(&second);
}

/* A crash may leave any prefix of the last write, or the right length with other bytes. */
static void test_a_torn_write_never_was(void **state)
{
	char path[PATH_MAX];
	struct journal j;

	(void)state;
	path_of(path);
	for (off_t keep = 0; keep < (off_t)JOURNAL_RECORD_LEN; keep++) {
		unlink(path);
		assert_int_equal(journal_open(&j, &cfg, uuid, NULL), 0);
		append(&j, HANDOVER_PREP, 7);
		append(&j, HANDOVER_CEDED, 7);
		journal_close(&j);
		assert_int_equal(truncate(path, (off_t)JOURNAL_RECORD_LEN + keep), 0);
		assert_int_equal(journal_open(&j, &cfg, uuid, NULL), 0);
		assert_int_equal(j.last.state, HANDOVER_PREP);
		append(&j, HANDOVER_ABORTED, 7);
		journal_close(&j);
		assert_int_equal(journal_open(&j, &cfg, uuid, NULL), 0);
		assert_int_equal(j.last.state, HANDOVER_ABORTED);
		journal_close(&j);
	}
}

static void flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void test_every_flipped_byte_is_seen(void **state)
{
	char path[PATH_MAX];
	struct journal j;

	(void)state;
	path_of(path);
	for (off_t at = 0; at < (off_t)JOURNAL_RECORD_LEN; at++) {
		unlink(path);
		assert_int_equal(journal_open(&j, &cfg, uuid, NULL), 0);
		append(&j, HANDOVER_PREP, 7);
		append(&j, HANDOVER_CEDED, 7);
		journal_close(&j);
		flip(path, (off_t)JOURNAL_RECORD_LEN + at);
		assert_int_equal(journal_open(&j, &cfg, uuid, NULL), 0);
		assert_int_equal(j.last.state, HANDOVER_PREP);
		journal_close(&j);
	}
}

/* Something is there and none of it can be read: that is not a new domain. */
static void test_a_ruined_journal_is_no_new_one(void **state)
{
	char path[PATH_MAX];
	struct error err = ERROR_INIT;
	struct journal j;

	(void)state;
	path_of(path);
	assert_int_equal(journal_open(&j, &cfg, uuid, NULL), 0);
	append(&j, HANDOVER_CEDED, 1);
	journal_close(&j);
	flip(path, 100);
	assert_int_equal(journal_open(&j, &cfg, uuid, &err), -EBADMSG);
	assert_non_null(strstr(err.what, "cannot be read"));
}

static void test_it_does_not_grow_for_ever(void **state)
{
	char path[PATH_MAX];
	struct stat st;
	struct journal j;

	(void)state;
	path_of(path);
	for (uint64_t term = 1; term <= 3 * JOURNAL_RECORDS_MAX; term++) {
		assert_int_equal(journal_open(&j, &cfg, uuid, NULL), 0);
		assert_int_equal(j.last.term, term - 1);
		append(&j, HANDOVER_OWNER, term);
		journal_close(&j);
	}
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size <= 2 * (off_t)(JOURNAL_RECORDS_MAX * JOURNAL_RECORD_LEN));
}

static void append_for(
	struct journal *j, enum handover_state state, uint64_t term, const char *peer)
{
	struct journal_entry e = entry(state, term);

	snprintf(e.peer, sizeof(e.peer), "%s", peer);
	assert_int_equal(journal_append(j, &e, NULL), 0);
}

static int answer_to(uint64_t term, struct journal_entry *answer)
{
	struct journal_entry e = entry(HANDOVER_OWNER, term);

	return journal_answer(&cfg, uuid, e.token, answer, NULL);
}

/* A peer that comes back after this host went on, and its journal was compacted more than once. */
static void test_answers_stay(void **state)
{
	struct journal_entry answer;
	struct journal j;

	(void)state;
	assert_int_equal(answer_to(1, &answer), -ENOENT);
	assert_int_equal(journal_open(&j, &cfg, uuid, NULL), 0);
	append_for(&j, HANDOVER_READY, 1, "hosta");
	assert_int_equal(answer_to(1, &answer), -ENOENT);
	append_for(&j, HANDOVER_OWNER, 1, "hosta");
	append_for(&j, HANDOVER_REFUSED, 2, "hostc");
	journal_close(&j);
	for (uint64_t term = 3; term <= 2 * JOURNAL_RECORDS_MAX; term++) {
		assert_int_equal(journal_open(&j, &cfg, uuid, NULL), 0);
		append_for(&j, term % 2 ? HANDOVER_PREP : HANDOVER_OWNER, term, "hostd");
		assert_int_equal(answer_to(1, &answer), 0); /* the lock is not needed */
		journal_close(&j);
		assert_int_equal(answer.state, HANDOVER_OWNER);
		assert_string_equal(answer.peer, "hosta");
		assert_int_equal(answer_to(2, &answer), 0);
		assert_int_equal(answer.state, HANDOVER_REFUSED);
	}
}

/* What an operator's claim made of it is the answer, not what it was before. */
static void test_the_last_answer_counts(void **state)
{
	struct journal_entry answer;
	struct journal j;

	(void)state;
	assert_int_equal(journal_open(&j, &cfg, uuid, NULL), 0);
	append_for(&j, HANDOVER_OWNER, 1, "hosta");
	append_for(&j, HANDOVER_REFUSED, 1, "hosta");
	append_for(&j, HANDOVER_PREP, 2, "hosta");
	journal_close(&j);
	assert_int_equal(answer_to(1, &answer), 0);
	assert_int_equal(answer.state, HANDOVER_REFUSED);
}

static void test_answers_are_bounded(void **state)
{
	struct journal_entry answer;
	char peer[32], path[PATH_MAX];
	struct journal j;
	struct stat st;

	(void)state;
	for (uint64_t i = 0; i < 3 * JOURNAL_RECORDS_MAX; i++) {
		snprintf(peer, sizeof(peer), "host%u", (unsigned)(i % (2 * JOURNAL_ANSWERS_MAX)));
		assert_int_equal(journal_open(&j, &cfg, uuid, NULL), 0);
		append_for(&j, HANDOVER_OWNER, i, peer);
		if (i >= JOURNAL_ANSWERS_MAX)
			assert_int_equal(answer_to(i - JOURNAL_ANSWERS_MAX + 1, &answer), 0);
		journal_close(&j);
	}
	path_of(path);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size <= 2 * (off_t)(JOURNAL_RECORDS_MAX * JOURNAL_RECORD_LEN));
}

static void test_a_full_disk_is_an_error(void **state)
{
	struct journal_entry e = entry(HANDOVER_CEDED, 1);
	struct error err = ERROR_INIT;
	struct journal j;

	(void)state;
	assert_int_equal(journal_open(&j, &cfg, uuid, NULL), 0);
	append(&j, HANDOVER_PREP, 1);
	close(j.fd);
	j.fd = open("/dev/full", O_RDWR);
	assert_true(j.fd >= 0);
	assert_true(journal_append(&j, &e, &err) < 0);
	assert_int_equal(j.last.state, HANDOVER_PREP);
	journal_close(&j);
}

static void test_list(void **state)
{
	struct journal_entry *list;
	struct journal j;
	size_t nr;

	(void)state;
	assert_int_equal(journal_list(&cfg, &list, &nr, NULL), 0);
	assert_int_equal(nr, 0);
	assert_int_equal(journal_open(&j, &cfg, uuid, NULL), 0);
	append(&j, HANDOVER_READY, 4);
	assert_int_equal(journal_list(&cfg, &list, &nr, NULL), 0); /* locked, and still listed */
	assert_int_equal(nr, 1);
	assert_int_equal(list[0].state, HANDOVER_READY);
	free(list);
	journal_close(&j);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_a_new_one_is_empty),
		CASE(test_the_last_entry_survives),
		CASE(test_one_at_a_time),
		CASE(test_a_torn_write_never_was),
		CASE(test_every_flipped_byte_is_seen),
		CASE(test_a_ruined_journal_is_no_new_one),
		CASE(test_it_does_not_grow_for_ever),
		CASE(test_answers_stay),
		CASE(test_the_last_answer_counts),
		CASE(test_answers_are_bounded),
		CASE(test_a_full_disk_is_an_error),
		CASE(test_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
