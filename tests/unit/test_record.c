/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "migrate/record.h"

/* Each kind of body with fields: filled, put, got, compared. */
struct body_kind {
	const char *name;
	size_t (*put)(void *buf, size_t size);
	bool (*get)(const struct record *rec);	/* any body */
	bool (*same)(const struct record *rec); /* and it says what `put` said */
};

static const char json[] = "{\"name\": \"g\"}";

static size_t offer_put(void *buf, size_t size)
{
	struct record_offer offer = {.version = 1,
		.flags = OFFER_CHECK_ONLY,
		.backend = "embedded",
		.name = "g",
		.json = json,
		.json_len = sizeof(json) - 1};

	memset(offer.uuid, 0xab, sizeof(offer.uuid));
	memset(offer.token, 0xcd, sizeof(offer.token));
	offer.term = UINT64_C(0x1122334455667788);
	return record_put_offer(buf, size, &offer);
}

static bool offer_get(const struct record *rec)
{
	struct record_offer offer;

	return record_get_offer(rec, &offer);
}

static bool offer_same(const struct record *rec)
{
	struct record_offer offer;

	return record_get_offer(rec, &offer) && offer.version == 1 &&
	       offer.flags == OFFER_CHECK_ONLY && strcmp(offer.backend, "embedded") == 0 &&
	       strcmp(offer.name, "g") == 0 && test_all(offer.uuid, sizeof(offer.uuid), 0xab) &&
	       test_all(offer.token, sizeof(offer.token), 0xcd) &&
	       offer.term == UINT64_C(0x1122334455667788) && offer.json_len == sizeof(json) - 1 &&
	       memcmp(offer.json, json, offer.json_len) == 0;
}

static size_t reason_put(void *buf, size_t size)
{
	const struct error why = {.rc = -ENOMEM, .what = "no memory", .fix = ""};

	return record_put_reason(buf, size, &why);
}

static bool reason_get(const struct record *rec)
{
	struct error why = ERROR_INIT;

	return record_get_reason(rec, &why);
}

static bool reason_same(const struct record *rec)
{
	struct error why = ERROR_INIT;

	return record_get_reason(rec, &why) && why.rc == -EREMOTEIO &&
	       strcmp(why.what, "no memory") == 0 && why.fix[0] == '\0';
}

static size_t round_put(void *buf, size_t size)
{
	return record_put_round(buf, size, &(struct record_round){7, UINT64_C(1) << 40});
}

static bool round_get(const struct record *rec)
{
	struct record_round round;

	return record_get_round(rec, &round);
}

static bool round_same(const struct record *rec)
{
	struct record_round round;

	return record_get_round(rec, &round) && round.round == 7 &&
	       round.pages == UINT64_C(1) << 40;
}

static size_t stats_put(void *buf, size_t size)
{
	return record_put_stats(buf, size, &(struct record_stats){1, UINT64_MAX});
}

static bool stats_get(const struct record *rec)
{
	struct record_stats stats;

	return record_get_stats(rec, &stats);
}

static bool stats_same(const struct record *rec)
{
	struct record_stats stats;

	return record_get_stats(rec, &stats) && stats.bytes_out == 1 &&
	       stats.bytes_in == UINT64_MAX;
}

static size_t done_put(void *buf, size_t size)
{
	return record_put_done(buf, size, &(struct record_done){3, 4, 5});
}

static bool done_get(const struct record *rec)
{
	struct record_done done;

	return record_get_done(rec, &done);
}

static bool done_same(const struct record *rec)
{
	struct record_done done;

	return record_get_done(rec, &done) && done.finish_us == 3 && done.activate_us == 4 &&
	       done.verify_us == 5;
}

static size_t applied_put(void *buf, size_t size)
{
	return record_put_applied(buf, size, 77);
}

static bool applied_get(const struct record *rec)
{
	uint64_t count;

	return record_get_applied(rec, &count);
}

static bool applied_same(const struct record *rec)
{
	uint64_t count;

	return record_get_applied(rec, &count) && count == 77;
}

static size_t quiesced_put(void *buf, size_t size)
{
	return record_put_quiesced(buf, size, &(struct verify_sums){6, {7, 0, VERIFY_PRIME - 1}});
}

static bool quiesced_get(const struct record *rec)
{
	struct verify_sums sums;

	return record_get_quiesced(rec, &sums);
}

static bool quiesced_same(const struct record *rec)
{
	struct verify_sums sums;

	return record_get_quiesced(rec, &sums) && sums.pages == 6 && sums.sum[0] == 7 &&
	       sums.sum[1] == 0 && sums.sum[2] == VERIFY_PRIME - 1;
}

static size_t link_put(void *buf, size_t size)
{
	return record_put_link(buf, size, &(struct record_link){"hosta", "AES-256-GCM"});
}

static bool link_get(const struct record *rec)
{
	struct record_link link;

	return record_get_link(rec, &link);
}

static bool link_same(const struct record *rec)
{
	struct record_link link;

	return record_get_link(rec, &link) && strcmp(link.peer, "hosta") == 0 &&
	       strcmp(link.cipher, "AES-256-GCM") == 0;
}

static size_t accept_put(void *buf, size_t size)
{
	return record_put_accept(buf, size, 7);
}

static bool accept_get(const struct record *rec)
{
	uint64_t term;

	return record_get_accept(rec, &term);
}

static bool accept_same(const struct record *rec)
{
	uint64_t term;

	return record_get_accept(rec, &term) && term == 7;
}

static size_t resolve_put(void *buf, size_t size)
{
	struct record_resolve resolve = {.ceded = true, .term = 0x0123456789abcdef};

	memset(resolve.uuid, 0xab, sizeof(resolve.uuid));
	memset(resolve.token, 0xcd, sizeof(resolve.token));
	return record_put_resolve(buf, size, &resolve);
}

static bool resolve_get(const struct record *rec)
{
	struct record_resolve resolve;

	return record_get_resolve(rec, &resolve);
}

static bool resolve_same(const struct record *rec)
{
	struct record_resolve resolve;

	return record_get_resolve(rec, &resolve) && resolve.ceded &&
	       resolve.term == 0x0123456789abcdef &&
	       test_all(resolve.uuid, sizeof(resolve.uuid), 0xab) &&
	       test_all(resolve.token, sizeof(resolve.token), 0xcd);
}

static size_t join_put(void *buf, size_t size)
{
	struct record_resolve join = {.stream = 7, .term = 0x0123456789abcdef};

	memset(join.uuid, 0xab, sizeof(join.uuid));
	memset(join.token, 0xcd, sizeof(join.token));
	return record_put_join(buf, size, &join);
}

static bool join_get(const struct record *rec)
{
	struct record_resolve join;

	return record_get_join(rec, &join);
}

static bool join_same(const struct record *rec)
{
	struct record_resolve join;

	return record_get_join(rec, &join) && join.stream == 7 && !join.ceded &&
	       join.term == 0x0123456789abcdef && test_all(join.uuid, sizeof(join.uuid), 0xab) &&
	       test_all(join.token, sizeof(join.token), 0xcd);
}

static size_t findings_put(void *buf, size_t size)
{
	struct findings found = {0};

	findings_add(&found, FINDING_RISK, "kernel", "Copy it", "no kernel");
	findings_add(&found, FINDING_BLOCKER, "memory", "Make room", "no room");
	return record_put_findings(buf, size, &found);
}

static bool findings_get(const struct record *rec)
{
	struct findings found;

	return record_get_findings(rec, &found);
}

static bool same_finding(const struct finding *f, enum finding_severity severity, const char *code,
	const char *what, const char *fix)
{
	return f->severity == severity && strcmp(f->code, code) == 0 &&
	       strcmp(f->what, what) == 0 && strcmp(f->fix, fix) == 0 && !f->host[0];
}

static bool findings_same(const struct record *rec)
{
	struct findings found;

	return record_get_findings(rec, &found) && found.nr == 2 &&
	       same_finding(&found.list[0], FINDING_RISK, "kernel", "no kernel", "Copy it") &&
	       same_finding(&found.list[1], FINDING_BLOCKER, "memory", "no room", "Make room");
}

static size_t probed_put(void *buf, size_t size)
{
	struct record_probed probed = {.nr = 2};

	probed.vif[0].sent = true;
	probed.vif[0].mtu = 1500;
	return record_put_probed(buf, size, &probed);
}

static bool probed_get(const struct record *rec)
{
	struct record_probed probed;

	return record_get_probed(rec, &probed);
}

static bool probed_same(const struct record *rec)
{
	struct record_probed probed;

	return record_get_probed(rec, &probed) && probed.nr == 2 && probed.vif[0].sent &&
	       probed.vif[0].mtu == 1500 && !probed.vif[1].sent && probed.vif[1].mtu == 0;
}

static size_t place_put(void *buf, size_t size)
{
	return record_put_place(buf, size,
		&(struct record_place){.state = 1,
			.forwarding_ms = 2,
			.reachable_ms = 3,
			.frames = 4,
			.what = "seen"});
}

static bool place_get(const struct record *rec)
{
	struct record_place place;

	return record_get_place(rec, &place);
}

static bool place_same(const struct record *rec)
{
	struct record_place place;

	return record_get_place(rec, &place) && place.state == 1 && place.forwarding_ms == 2 &&
	       place.reachable_ms == 3 && place.frames == 4 && strcmp(place.what, "seen") == 0;
}

static const struct body_kind kinds[] = {
	{"OFFER", offer_put, offer_get, offer_same},
	{"ACCEPT", accept_put, accept_get, accept_same},
	{"RESOLVE", resolve_put, resolve_get, resolve_same},
	{"JOIN", join_put, join_get, join_same},
	{"REFUSED", reason_put, reason_get, reason_same},
	{"ROUND", round_put, round_get, round_same},
	{"STATS", stats_put, stats_get, stats_same},
	{"QUIESCED", quiesced_put, quiesced_get, quiesced_same},
	{"APPLIED", applied_put, applied_get, applied_same},
	{"DONE", done_put, done_get, done_same},
	{"LINK_UP", link_put, link_get, link_same},
	{"FINDINGS", findings_put, findings_get, findings_same},
	{"PROBED", probed_put, probed_get, probed_same},
	{"PLACE", place_put, place_get, place_same},
};

static bool with_body(const struct body_kind *kind, const uint8_t *body, size_t len, bool same)
{
	struct record rec = {.len = (uint32_t)len, .body = test_exact_copy(body, len)};
	bool ok = same ? kind->same(&rec) : kind->get(&rec);

	free(rec.body);
	return ok;
}

static void test_bodies_round_trip(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		uint8_t buf[256];
		size_t len = kinds[i].put(buf, sizeof(buf));

		assert_true(len > 0 && with_body(&kinds[i], buf, len, true));
		/* No room: nothing is written beyond it and nothing is returned. */
		for (size_t size = 0; size < len; size++) {
			uint8_t *small = test_exact_copy(buf, size);

			assert_int_equal(kinds[i].put(small, size), 0);
			free(small);
		}
	}
}

static void test_bodies_cut_or_extended(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		uint8_t buf[260] = {0};
		size_t len = kinds[i].put(buf, sizeof(buf));

		for (size_t cut = 0; cut < len; cut++)
			if (with_body(&kinds[i], buf, cut, false))
				fail_msg("%s of %zu bytes accepted, cut to %zu", kinds[i].name, len,
					cut);
		for (size_t more = 1; more < 4; more++)
			if (with_body(&kinds[i], buf, len + more, false))
				fail_msg(
					"%s accepted with %zu bytes after it", kinds[i].name, more);
	}
}

/* Whatever byte changes: AddressSanitizer sees no overrun, and texts stay printable. */
static void test_bodies_changed(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		uint8_t buf[256];
		size_t len = kinds[i].put(buf, sizeof(buf));

		for (size_t at = 0; at < len; at++)
			for (unsigned flip = 1; flip < 256; flip++) {
				buf[at] ^= (uint8_t)flip;
				if (with_body(&kinds[i], buf, len, true))
					fail_msg("%s: byte %zu does not matter", kinds[i].name, at);
				buf[at] ^= (uint8_t)flip;
			}
	}
}

static void test_offer_limits(void **state)
{
	struct record_offer offer = {.version = 1, .json = "{\0}", .json_len = 3}, got;
	uint8_t buf[256];
	struct record rec = {.body = buf};

	(void)state;
	rec.len = (uint32_t)record_put_offer(buf, sizeof(buf), &offer);
	assert_false(
		record_get_offer(&rec, &got)); /* strings end at a NUL: what follows would hide */
	offer.json_len = 0;
	rec.len = (uint32_t)record_put_offer(buf, sizeof(buf), &offer);
	assert_true(record_get_offer(&rec, &got));
	memset(offer.name, 'x', sizeof(offer.name) - 1);
	rec.len = (uint32_t)record_put_offer(buf, sizeof(buf), &offer);
	assert_true(record_get_offer(&rec, &got));
	assert_int_equal(strlen(got.name), DOMAIN_NAME_LEN - 1);
	buf[8 + 2] = DOMAIN_NAME_LEN; /* after version, flags and an empty backend: one longer */
	assert_false(record_get_offer(&rec, &got));
}

/* A peer's text goes to terminals, logs and JSON. */
static void test_reason_is_cleaned(void **state)
{
	struct error why = {.what = "a\x1b[2J\nb\x7f\xc3\xa9~ !", .fix = "\x01"}, got = ERROR_INIT;
	uint8_t buf[2 * ERROR_TEXT_LEN + 8];
	struct record rec = {.body = buf};

	(void)state;
	rec.len = (uint32_t)record_put_reason(buf, sizeof(buf), &why);
	assert_true(record_get_reason(&rec, &got));
	assert_string_equal(got.what, "a?[2J?b???~ !");
	assert_string_equal(got.fix, "?");
	/* An unreadable one leaves room for the error that says so. */
	got = ERROR_INIT;
	rec.len--;
	assert_false(record_get_reason(&rec, &got));
	error_set(&got, -EPROTO, NULL, "unreadable");
	assert_string_equal(got.what, "unreadable");
}

static uint32_t put_full(uint8_t *buf, struct findings *found)
{
	char text[ERROR_TEXT_LEN];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	*found = (struct findings){0};
	for (unsigned i = 0; i < FINDINGS_MAX; i++)
		findings_add(found, FINDING_WARNING, "12345678901234567890123", text, "%s", text);
	return (uint32_t)record_put_findings(buf, RECORD_FINDINGS_MAX, found);
}

static void test_findings_limits(void **state)
{
	static uint8_t buf[RECORD_FINDINGS_MAX];
	static struct findings found, got;
	struct record rec = {.body = buf};

	(void)state;
	rec.len = put_full(buf, &found);
	assert_true(rec.len > 0 && record_get_findings(&rec, &got));
	assert_int_equal(got.nr, FINDINGS_MAX);
	buf[0] = FINDINGS_MAX + 1;
	assert_false(record_get_findings(&rec, &got));
	buf[0] = 0; /* none is said by silence */
	rec.len = 4;
	assert_false(record_get_findings(&rec, &got));
	/* A severity of no meaning, a text that is missing, one that would reach a terminal. */
	for (uint8_t severity = 0; severity < 6; severity++) {
		found.nr = 1;
		found.list[0].severity = (enum finding_severity)severity;
		rec.len = (uint32_t)record_put_findings(buf, sizeof(buf), &found);
		assert_int_equal(record_get_findings(&rec, &got), severity >= 1 && severity <= 3);
	}
	found.list[0].severity = FINDING_RISK;
	strcpy(found.list[0].what, "a\x1b[2J");
	rec.len = (uint32_t)record_put_findings(buf, sizeof(buf), &found);
	assert_true(record_get_findings(&rec, &got));
	assert_string_equal(got.list[0].what, "a?[2J");
	found.list[0].fix[0] = '\0';
	rec.len = (uint32_t)record_put_findings(buf, sizeof(buf), &found);
	assert_false(record_get_findings(&rec, &got));
}

static void test_header(void **state)
{
	uint8_t head[RECORD_HEADER_LEN];
	uint32_t type, len;

	(void)state;
	record_header_put(head, 0x01020304, RECORD_BODY_MAX);
	assert_memory_equal(head, "\x04\x03\x02\x01\x00\x10\x10\x00", 8);
	assert_true(record_header_get(head, &type, &len));
	assert_int_equal(type, 0x01020304);
	assert_int_equal(len, RECORD_BODY_MAX);
	record_header_put(head, 1, RECORD_BODY_MAX + 1);
	assert_false(record_header_get(head, &type, &len));
	record_header_put(head, 1, UINT32_MAX);
	assert_false(record_header_get(head, &type, &len));
}

/* Who may say what, in full; docs/wire-format.md has the same table. */
static void test_bad_network_bodies(void **state)
{
	uint8_t body[64] = {9};
	struct record rec = {.body = body, .len = 4 + 9 * 8};
	struct record_probed probed;
	struct record_place place;

	(void)state;
	rec.len = 4 + 8;
	body[0] = 1;
	assert_true(record_get_probed(&rec, &probed));
	body[4] = 2;
	assert_false(record_get_probed(&rec, &probed));
	rec.len =
		(uint32_t)record_put_place(body, sizeof(body), &(struct record_place){.state = 5});
	assert_true(record_get_place(&rec, &place));
	body[0] = 6;
	assert_false(record_get_place(&rec, &place));
	body[0] = 0;
	assert_false(record_get_place(&rec, &place));
}

static void test_who_says_what(void **state)
{
	/* clang-format off */
	static const struct { const char *name; enum record_role from; } want[] = {
		[1] = {"OFFER", ROLE_SOURCE}, [2] = {"ACCEPT", ROLE_DESTINATION},
		[3] = {"REFUSED", ROLE_DESTINATION}, [4] = {"HEAD", ROLE_SOURCE},
		[5] = {"PAGES", ROLE_SOURCE}, [6] = {"TAIL", ROLE_SOURCE}, [7] = {"ROUND", ROLE_SOURCE},
		[8] = {"APPLIED", ROLE_DESTINATION}, [9] = {"QUIESCED", ROLE_SOURCE},
		[10] = {"READY", ROLE_DESTINATION}, [11] = {"GO", ROLE_SOURCE},
		[12] = {"DONE", ROLE_DESTINATION}, [13] = {"GONE", ROLE_SOURCE},
		[14] = {"CLOSED", ROLE_DESTINATION}, [15] = {"ABORT", ROLE_SOURCE},
		[16] = {"RESOLVE", ROLE_SOURCE}, [17] = {"UNKNOWN", ROLE_DESTINATION},
		[18] = {"FINDINGS", ROLE_DESTINATION}, [19] = {"PROBE", ROLE_DESTINATION},
		[20] = {"PROBED", ROLE_SOURCE}, [21] = {"ADDRESSES", ROLE_SOURCE},
		[22] = {"PLACE", ROLE_DESTINATION}, [23] = {"JOIN", ROLE_SOURCE},
		[24] = {"JOINED", ROLE_DESTINATION}, [25] = {"SUSPENDING", ROLE_SOURCE},
	};
	/* clang-format on */

	(void)state;
	assert_int_equal(RECORD_TYPE_END, COUNT(want));
	for (uint32_t type = 0; type < 0x1100; type++) {
		bool known = type > 0 && type < COUNT(want);

		assert_int_equal(record_allowed_from(ROLE_SOURCE, type),
			known && want[type].from == ROLE_SOURCE);
		assert_int_equal(record_allowed_from(ROLE_DESTINATION, type),
			known && want[type].from == ROLE_DESTINATION);
		assert_string_equal(
			record_type_name(type), known ? want[type].name : "a local kind");
	}
	assert_false(record_allowed_from(ROLE_SOURCE, UINT32_MAX));
}

static void test_over_a_socket(void **state)
{
	static uint8_t body[RECORD_BODY_MAX];
	struct test_random random = TEST_RANDOM(3);
	struct record rec;
	int pair[2], status = -1;
	pid_t child;

	(void)state;
	test_random_fill(&random, body, sizeof(body));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(record_init(&rec), 0);
	child = fork();
	if (child == 0)
		_exit(record_write(pair[0], RECORD_GO, NULL, 0, deadline_in(5000)) ||
			record_write(pair[0], RECORD_HEAD, body, sizeof(body), deadline_in(5000)) ||
			record_write(pair[0], RECORD_HEAD, body, sizeof(body) + 1, 0) !=
				-EMSGSIZE ||
			io_write_all(pair[0], "\x04\0\0\0\x01\x10\x10\0", 8, deadline_in(5000)));
	assert_int_equal(record_read(pair[1], &rec, deadline_in(5000)), 0);
	assert_int_equal(rec.type, RECORD_GO);
	assert_int_equal(rec.len, 0);
	assert_int_equal(record_read(pair[1], &rec, deadline_in(5000)), 0);
	assert_int_equal(rec.type, RECORD_HEAD);
	assert_int_equal(rec.len, RECORD_BODY_MAX);
	assert_memory_equal(rec.body, body, sizeof(body));
	assert_int_equal(
		record_read(pair[1], &rec, deadline_in(5000)), -EPROTO); /* one byte too long */
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(record_read(pair[1], &rec, deadline_in(50)), -ETIMEDOUT);
	close(pair[0]);
	assert_int_equal(record_read(pair[1], &rec, deadline_in(50)), -EPIPE);
	close(pair[1]);
	record_dispose(&rec);
	record_dispose(&rec);
}

static void fill_batch(struct test_random *random, struct page_batch *batch, uint8_t *data)
{
	static const uint8_t types[] = {0, 1, 2, 3, 4, 9, 10, 11, 12, 13, 14, 15};

	batch->nr = 1 + test_random_below(random, PAGE_BATCH_MAX);
	batch->nr_data = 0;
	batch->data = data;
	for (uint32_t i = 0; i < batch->nr; i++) {
		batch->entry[i] = (uint64_t)types[test_random_below(random, COUNT(types))]
					  << PAGE_TYPE_SHIFT |
				  (test_random_next(random) & PAGE_PFN_MASK);
		if (page_has_data(batch->entry[i]))
			memset(data + PAGE_BYTES * (size_t)batch->nr_data++, (int)i, PAGE_BYTES);
	}
}

static void test_local_pages(void **state)
{
	struct test_random random = TEST_RANDOM(4);
	static uint8_t data[PAGE_BATCH_MAX * PAGE_BYTES];
	static struct page_batch batch, got;
	struct record rec;
	int pair[2];

	(void)state;
	assert_int_equal(record_init(&rec), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	for (int pass = 0; pass < 20; pass++) {
		pid_t child;

		fill_batch(&random, &batch, data);
		child = fork();
		if (child == 0)
			_exit(record_write_pages(pair[0], &batch, deadline_in(5000)) ? 1 : 0);
		assert_int_equal(record_read(pair[1], &rec, deadline_in(5000)), 0);
		waitpid(child, NULL, 0);
		assert_int_equal(rec.type, RECORD_PAGES);
		assert_true(record_get_pages(&rec, &got));
		assert_int_equal(got.nr, batch.nr);
		assert_int_equal(got.nr_data, batch.nr_data);
		assert_memory_equal(got.entry, batch.entry, 8 * (size_t)batch.nr);
		assert_memory_equal(got.data, data, PAGE_BYTES * (size_t)batch.nr_data);
		rec.len--;
		assert_false(record_get_pages(&rec, &got));
		rec.len += 2;
		assert_false(record_get_pages(&rec, &got));
	}
	batch.nr = PAGE_BATCH_MAX + 1;
	assert_int_equal(record_write_pages(pair[0], &batch, deadline_in(50)), -EMSGSIZE);
	close(pair[0]);
	close(pair[1]);
	record_dispose(&rec);
}

static void test_bad_local_pages(void **state)
{
	static const struct {
		uint32_t nr, nr_data;
		uint64_t entry;
	} bad[] = {
		{0, 0, 0},
		{PAGE_BATCH_MAX + 1, 1, 0},
		{UINT32_MAX, 1, 0},
		{1, 0, 0},				 /* contents missing */
		{1, 1, UINT64_C(15) << PAGE_TYPE_SHIFT}, /* contents too many */
		{1, 2, 0},
		{1, 1, UINT64_C(5) << PAGE_TYPE_SHIFT},
		{1, 1, UINT64_C(8) << PAGE_TYPE_SHIFT},
		{1, 1, PAGE_ZERO}, /* it is not in the data */
		{1, 0, PAGE_ZERO | UINT64_C(15) << PAGE_TYPE_SHIFT},
		{1, 1, UINT64_C(1) << 53},
		{1, 1, UINT64_C(1) << 59},
	};
	static uint8_t body[16 + 2 * PAGE_BYTES];
	struct page_batch batch;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct wire_writer w = wire_writer(body, sizeof(body));
		struct record rec = {.body = body};

		wire_put_u32(&w, bad[i].nr);
		wire_put_u32(&w, bad[i].nr_data);
		wire_put_u64(&w, bad[i].entry);
		for (uint32_t pages = 0; pages < 3; pages++) {
			rec.len = 16 + pages * PAGE_BYTES;
			assert_false(record_get_pages(&rec, &batch));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bodies_round_trip),
		cmocka_unit_test(test_bodies_cut_or_extended),
		cmocka_unit_test(test_bodies_changed),
		cmocka_unit_test(test_offer_limits),
		cmocka_unit_test(test_reason_is_cleaned),
		cmocka_unit_test(test_findings_limits),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_bad_network_bodies),
		cmocka_unit_test(test_who_says_what),
		cmocka_unit_test(test_over_a_socket),
		cmocka_unit_test(test_local_pages),
		cmocka_unit_test(test_bad_local_pages),
	};

	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
