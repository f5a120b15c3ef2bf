/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include "migrate/codec.h"

#define TABLE_AT(nr) (8 + 8 * (size_t)(nr)) /* where the descriptors begin */

static uint8_t data[PAGE_BATCH_MAX * PAGE_BYTES];
static uint8_t wire[RECORD_BODY_MAX], local[PAGE_BATCH_MAX * PAGE_BYTES + 16384];
static struct page_batch batch, got;
static struct codec sender, receiver;

static int fresh(void **state)
{
	(void)state;
	codec_dispose(&sender);
	codec_dispose(&receiver);
	return 0;
}

/* The pages that memory is made of: empty, text and tables, noise, and the odd corners. */
static void fill_page(struct test_random *random, uint8_t *page)
{
	memset(page, 0, PAGE_BYTES);
	switch (test_random_below(random, 6)) {
	case 0: /* zero */
		break;
	case 1: /* zero but for one byte, anywhere */
		page[test_random_below(random, PAGE_BYTES)] = 1;
		break;
	case 2: /* compressible */
		for (unsigned i = 0; i < PAGE_BYTES; i++)
			page[i] = (uint8_t)(i / 16);
		break;
	case 3: /* noise, then nothing: about at the limit of what compression gains */
		test_random_fill(random, page, PAGE_BYTES - test_random_below(random, 64));
		break;
	case 4:
		memset(page, (int)test_random_below(random, 256), PAGE_BYTES);
		break;
	default:
		test_random_fill(random, page, PAGE_BYTES);
	}
}

static void fill_batch(struct test_random *random, uint32_t nr)
{
	static const uint8_t types[] = {0, 1, 2, 3, 4, 9, 10, 11, 12, 13, 14, 15};

	batch = (struct page_batch){.nr = nr, .data = data};
	for (uint32_t i = 0; i < nr; i++) {
		batch.entry[i] = (uint64_t)types[test_random_below(random, COUNT(types))]
					 << PAGE_TYPE_SHIFT |
				 (test_random_next(random) & PAGE_PFN_MASK);
		if (page_has_data(batch.entry[i]))
			fill_page(random, data + PAGE_BYTES * (size_t)batch.nr_data++);
	}
}

/* Decode from a buffer that ends exactly where it may be touched last. 1 or -EBADMSG. */
static int decode(const uint8_t *body, size_t len)
{
	uint8_t *exact = test_exact_copy(body, len);
	int rc = codec_decode(&receiver, exact, len, &got, local);

	free(exact);
	if (rc)
		assert_int_equal(rc, -EBADMSG);
	return rc ? rc : 1;
}

/* A decoded body is one that the engine accepts. */
static void check_valid(int decoded)
{
	static struct page_batch again;
	uint8_t body[RECORD_SLOT_MAX];
	struct record rec = {.type = RECORD_SLOT, .body = body};

	assert_int_equal(decoded, 1);
	rec.len = (uint32_t)record_put_slot(body, sizeof(body), &got);
	assert_true(record_get_slot(&rec, &again));
	assert_ptr_equal(got.data, local);
}

/* What was decoded into `got` is `batch`: its zero pages are marked and nowhere else. */
static void check_same(void)
{
	const uint8_t *was = data, *is = local;

	assert_int_equal(got.nr, batch.nr);
	for (uint32_t i = 0; i < batch.nr; i++) {
		assert_int_equal(got.entry[i] & ~PAGE_ZERO, batch.entry[i]);
		if (!page_has_data(batch.entry[i]))
			continue;
		assert_int_equal(!page_has_data(got.entry[i]), test_all(was, PAGE_BYTES, 0));
		if (page_has_data(got.entry[i])) {
			assert_memory_equal(is, was, PAGE_BYTES);
			is += PAGE_BYTES;
		}
		was += PAGE_BYTES;
	}
	assert_int_equal(is - local, PAGE_BYTES * (size_t)got.nr_data);
}

/* The same batch with its zero pages marked, as an engine may say it. */
static size_t encode_marked(uint8_t *out)
{
	static uint8_t marked_data[PAGE_BATCH_MAX * PAGE_BYTES];
	static struct page_batch marked;
	const uint8_t *from = data;

	marked = batch;
	marked.nr_data = 0;
	marked.data = marked_data;
	for (uint32_t i = 0; i < batch.nr; i++) {
		if (!page_has_data(batch.entry[i]))
			continue;
		if (test_all(from, PAGE_BYTES, 0))
			marked.entry[i] |= PAGE_ZERO;
		else
			memcpy(marked_data + PAGE_BYTES * (size_t)marked.nr_data++, from,
				PAGE_BYTES);
		from += PAGE_BYTES;
	}
	return codec_encode(&sender, &marked, out, RECORD_BODY_MAX);
}

static void test_round_trip(void **state)
{
	struct test_random random = TEST_RANDOM(5);

	(void)state;
	for (int pass = 0; pass < 150; pass++) {
		size_t len;

		fill_batch(&random,
			pass ? 1 + test_random_below(&random, PAGE_BATCH_MAX) : PAGE_BATCH_MAX);
		len = codec_encode(&sender, &batch, wire, sizeof(wire));
		assert_true(len > 0);
		check_valid(decode(wire, len));
		check_same();
		assert_int_equal(encode_marked(local), len);
		assert_memory_equal(local, wire, len);
	}
}

static void one_page(const void *contents)
{
	batch = (struct page_batch){.nr = 1, .nr_data = 1, .entry = {0x1234}, .data = data};
	memcpy(data, contents, PAGE_BYTES);
}

/* Each kind where it belongs, and the sizes that docs/wire-format.md promises. */
static void test_kinds(void **state)
{
	struct test_random random = TEST_RANDOM(6);
	uint8_t page[PAGE_BYTES] = {0};
	size_t len;

	(void)state;
	one_page(page);
	assert_int_equal(codec_encode(&sender, &batch, wire, sizeof(wire)), 20);
	assert_memory_equal(wire, "\1\0\0\0\0\0\0\0\x34\x12\0\0\0\0\0\0\1\0\0\0", 20);
	page[4095] = 1;
	one_page(page);
	len = codec_encode(&sender, &batch, wire, sizeof(wire));
	assert_true(len > 20 && len < 100);
	assert_int_equal(wire[16], PAGE_KIND_LZ4);
	assert_int_equal(wire[18] | wire[19] << 8, len - 20);
	test_random_fill(&random, page, sizeof(page));
	one_page(page);
	assert_int_equal(codec_encode(&sender, &batch, wire, sizeof(wire)), 20 + PAGE_BYTES);
	assert_memory_equal(wire + 16, "\2\0\0\x10", 4);
	assert_memory_equal(wire + 20, page, PAGE_BYTES);
	batch = (struct page_batch){.nr = 1, .entry = {UINT64_C(0xf) << PAGE_TYPE_SHIFT}};
	assert_int_equal(codec_encode(&sender, &batch, wire, sizeof(wire)), 16);
}

/* The worst batch there is fits, and in less room encode gives up instead of overrunning. */
static void test_room(void **state)
{
	struct test_random random = TEST_RANDOM(7);
	size_t len;

	(void)state;
	fill_batch(&random, 3);
	for (uint32_t i = 0; i < 3; i++)
		batch.entry[i] = i;
	batch.nr_data = 3;
	memset(data, 0, PAGE_BYTES);
	memset(data + PAGE_BYTES, 7, PAGE_BYTES);
	test_random_fill(&random, data + 2 * (size_t)PAGE_BYTES, PAGE_BYTES);
	len = codec_encode(&sender, &batch, wire, sizeof(wire));
	for (size_t size = 0; size < len; size++) {
		uint8_t *small = malloc(size ? size : 1);

		assert_int_equal(codec_encode(&sender, &batch, small, size), 0);
		free(small);
	}
	batch = (struct page_batch){.nr = PAGE_BATCH_MAX, .nr_data = PAGE_BATCH_MAX, .data = data};
	test_random_fill(&random, data, sizeof(data));
	len = codec_encode(&sender, &batch, wire, sizeof(wire));
	assert_int_equal(len, 8 + (8 + 4 + PAGE_BYTES) * (size_t)PAGE_BATCH_MAX);
	check_valid(decode(wire, len));
	batch.nr = PAGE_BATCH_MAX + 1;
	assert_int_equal(codec_encode(&sender, &batch, wire, sizeof(wire)), 0);
	batch.nr = 1;
	batch.nr_data = 2;
	assert_int_equal(codec_encode(&sender, &batch, wire, sizeof(wire)), 0);
}

/* Three pages, one of each kind: every truncation and every changed byte is refused or harmless. */
static size_t small_batch(void)
{
	struct test_random random = TEST_RANDOM(8);

	batch = (struct page_batch){.nr = 4, .nr_data = 3, .data = data};
	batch.entry[0] = 1;
	batch.entry[1] = UINT64_C(0xe) << PAGE_TYPE_SHIFT | 2;
	batch.entry[2] = UINT64_C(0x9) << PAGE_TYPE_SHIFT | 3;
	batch.entry[3] = 4;
	memset(data, 0, sizeof(data));
	for (unsigned i = 0; i < PAGE_BYTES; i += 8)
		data[PAGE_BYTES + i] = (uint8_t)i;
	test_random_fill(&random, data + 2 * (size_t)PAGE_BYTES, PAGE_BYTES);
	return codec_encode(&sender, &batch, wire, sizeof(wire));
}

static void test_truncated(void **state)
{
	size_t len = small_batch();

	(void)state;
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(decode(wire, cut), -EBADMSG);
	assert_true(decode(wire, len) > 0);
	wire[len] = 0;
	assert_int_equal(decode(wire, len + 1), -EBADMSG);
}

static void test_changed(void **state)
{
	size_t len = small_batch(), head = TABLE_AT(4) + 3 * 4;

	(void)state;
	for (size_t at = 0; at < len; at++) {
		/* All values where it counts, a few in the mass of page contents. */
		unsigned step = at < head + 64 ? 1 : 85;

		for (unsigned flip = 1; flip < 256; flip += step) {
			wire[at] ^= (uint8_t)flip;
			if (decode(wire, len) > 0)
				check_valid(1);
			wire[at] ^= (uint8_t)flip;
		}
	}
}

static void put_one(
	struct wire_writer *w, uint64_t entry, unsigned kind, unsigned reserved, size_t len)
{
	*w = wire_writer(wire, sizeof(wire));
	wire_put_u32(w, 1);
	wire_put_u32(w, 0);
	wire_put_u64(w, entry);
	wire_put_u8(w, (uint8_t)kind);
	wire_put_u8(w, (uint8_t)reserved);
	wire_put_u16(w, (uint16_t)len);
}

/* Every kind with every length it must not have; the body is there, so only the rule refuses it. */
static void test_descriptors(void **state)
{
	uint8_t page[PAGE_BYTES];
	struct wire_writer w;

	(void)state;
	memset(page, 0, sizeof(page));
	for (unsigned kind = 0; kind < 256; kind++)
		for (size_t len = 0; len <= PAGE_BYTES; len += len < 3 || len > 4093 ? 1 : 4091) {
			bool good = (kind == PAGE_KIND_ZERO && len == 0) ||
				    (kind == PAGE_KIND_RAW && len == PAGE_BYTES);

			for (unsigned flags = 0; flags < 256; flags++) {
				/* Nothing is kept yet: to keep it makes SAME and DELTA possible. */
				fresh(NULL);
				put_one(&w, 0, kind, flags, len);
				wire_put_bytes(&w, page, len);
				assert_int_equal(decode(wire, wire_writer_len(&w)) > 0,
					good && (flags == 0 || (flags == CODEC_KEEP &&
								       kind == PAGE_KIND_RAW)));
			}
		}
	put_one(&w, 0, PAGE_KIND_ZERO, 0, 0);
	wire[4] = 1; /* reserved field of the batch */
	assert_int_equal(decode(wire, wire_writer_len(&w)), -EBADMSG);
}

static void test_entries(void **state)
{
	struct wire_writer w;

	(void)state;
	for (unsigned type = 0; type < 16; type++) {
		bool good = type < 5 || type > 8, empty = type > 12;

		put_one(&w, (uint64_t)type << PAGE_TYPE_SHIFT, PAGE_KIND_ZERO, 0, 0);
		assert_int_equal(decode(wire, wire_writer_len(&w)) > 0, good && !empty);
		assert_int_equal(decode(wire, TABLE_AT(1)) > 0, good && empty);
	}
	for (unsigned bit = 52; bit < 60; bit++) {
		put_one(&w, UINT64_C(1) << bit, PAGE_KIND_ZERO, 0, 0);
		assert_int_equal(decode(wire, wire_writer_len(&w)), -EBADMSG);
	}
	put_one(&w, PAGE_PFN_MASK, PAGE_KIND_ZERO, 0, 0);
	assert_true(decode(wire, wire_writer_len(&w)) > 0);
}

/* LZ4 that inflates to less or more than a page: the literal run is our own, byte by byte. */
static void test_wrong_inflated_size(void **state)
{
	struct wire_writer w;

	(void)state;
	for (int delta = -1; delta <= 1; delta++) {
		/* one literal 'A', a match of 4090+delta at distance 1, then the last 5 literals */
		unsigned match = (unsigned)(4090 + delta) - 4 - 15;

		put_one(&w, 0, PAGE_KIND_LZ4, 0, 1 + 1 + 2 + match / 255 + 1 + 1 + 5);
		wire_put_bytes(&w,
			"\x1f"
			"A"
			"\x01\x00",
			4);
		for (unsigned i = 0; i < match / 255; i++)
			wire_put_u8(&w, 255);
		wire_put_u8(&w, (uint8_t)(match % 255));
		wire_put_bytes(&w,
			"\x50"
			"AAAAA",
			6);
		assert_int_equal(decode(wire, wire_writer_len(&w)) > 0, delta == 0);
	}
}

static void test_counts(void **state)
{
	static const uint32_t counts[] = {0, PAGE_BATCH_MAX + 1, 0x10000, UINT32_MAX};

	(void)state;
	memset(wire, 0, sizeof(wire));
	for (size_t i = 0; i < COUNT(counts); i++) {
		struct wire_writer w = wire_writer(wire, sizeof(wire));

		wire_put_u32(&w, counts[i]);
		for (size_t len = 0; len < 8192; len += 4)
			assert_int_equal(decode(wire, len), -EBADMSG);
	}
}

/* What a guest does to a page between two rounds. */
static void change_page(struct test_random *random, uint8_t *page)
{
	switch (test_random_below(random, 8)) {
	case 0: /* written, but the same again */
		break;
	case 1: /* all of it */
		fill_page(random, page);
		break;
	default: /* a few words */
		for (uint32_t i = test_random_below(random, 40); i; i--)
			page[test_random_below(random, PAGE_BYTES)] =
				(uint8_t)test_random_next(random);
	}
}

/* So many pages further another one has the same place. */
#define TWIN (UINT64_C(5) << PAGE_REGION_SHIFT)

/* Memory of 64 MiB in a row has no two pages in one place; and one of several streams has them all.
 */
static void test_places(void **state)
{
	(void)state;
	assert_int_equal(codec_place(7), codec_place(7 + TWIN));
	for (unsigned streams = 1; streams <= RECORD_STREAMS_MAX; streams *= 2)
		for (unsigned first = 0; first < streams; first++) {
			unsigned found = 0;

			for (uint64_t i = 0; i < 4; i++) {
				uint64_t pfn = (first + i * streams) << PAGE_REGION_SHIFT | 9;

				assert_int_equal(codec_place(pfn) & 4095, 9);
				found |= 1u << (codec_place(pfn) >> PAGE_REGION_SHIFT);
			}
			assert_int_equal(found, 15);
		}
}

/*
 * A guest's memory sent over and over while it changes, more pages than there are places for, each
 * batch decoded as it comes: what was decoded is what was sent, whatever happened before.
 */
static void test_rounds(void **state)
{
	enum { PAGES = 600 };
	static uint8_t memory[PAGES][PAGE_BYTES];
	struct test_random random = TEST_RANDOM(12);
	unsigned kinds[PAGE_KIND_DELTA + 1] = {0};

	(void)state;
	for (unsigned i = 0; i < PAGES; i++)
		fill_page(&random, memory[i]);
	for (unsigned round = 0; round < 12; round++) {
		for (unsigned batches = 0; batches < 8; batches++) {
			batch = (struct page_batch){.nr = 100, .nr_data = 100, .data = data};
			sender.raw = batches % 3 == 0;
			sender.haste = batches % 3 == 1;
			for (uint32_t i = 0; i < 100; i++) {
				uint32_t n = test_random_below(&random, PAGES);

				change_page(&random, memory[n]);
				/* Half of them share their places with the other half. */
				batch.entry[i] = n < PAGES / 2 ? n : n - PAGES / 2 + TWIN;
				memcpy(data + PAGE_BYTES * (size_t)i, memory[n], PAGE_BYTES);
			}
			check_valid(
				decode(wire, codec_encode(&sender, &batch, wire, sizeof(wire))));
			check_same();
			for (uint32_t i = 0; i < 100; i++)
				kinds[wire[TABLE_AT(100) + 4 * i]]++;
		}
		if (round == 0) /* the first round costs nothing extra */
			assert_null(sender.kept);
		codec_round(&sender);
	}
	for (unsigned kind = PAGE_KIND_ZERO; kind <= PAGE_KIND_DELTA; kind++)
		assert_true(kinds[kind] > 20);
}

/* A few changed words of noise: as a delta a fraction of the page. */
static void test_delta_is_small(void **state)
{
	struct test_random random = TEST_RANDOM(13);
	uint8_t page[PAGE_BYTES];

	(void)state;
	test_random_fill(&random, page, sizeof(page));
	one_page(page);
	assert_int_equal(codec_encode(&sender, &batch, wire, sizeof(wire)), 20 + PAGE_BYTES);
	assert_int_equal(wire[17], 0);
	codec_round(&sender);
	assert_int_equal(codec_encode(&sender, &batch, wire, sizeof(wire)), 20 + PAGE_BYTES);
	assert_int_equal(wire[17], CODEC_KEEP);
	assert_int_equal(codec_encode(&sender, &batch, wire, sizeof(wire)), 20);
	assert_int_equal(wire[16], PAGE_KIND_SAME);
	for (unsigned i = 0; i < 5; i++)
		page[800 * i] ^= 0x55;
	one_page(page);
	assert_in_range(codec_encode(&sender, &batch, wire, sizeof(wire)), 21, 20 + 120);
	assert_int_equal(wire[16], PAGE_KIND_DELTA);
	/* Zero it, and go on from the last version that was told. */
	memset(page, 0, sizeof(page));
	one_page(page);
	assert_int_equal(codec_encode(&sender, &batch, wire, sizeof(wire)), 20);
}

/* In a hurry nothing is compressed and nothing kept anew, but what is kept already is of use. */
static void test_raw(void **state)
{
	uint8_t page[PAGE_BYTES];

	(void)state;
	memset(page, 7, sizeof(page));
	one_page(page);
	codec_round(&sender);
	sender.raw = true;
	assert_int_equal(codec_encode(&sender, &batch, wire, sizeof(wire)), 20 + PAGE_BYTES);
	assert_memory_equal(wire + 16, "\2\0\0\x10", 4);
	assert_null(sender.kept);
	sender.raw = false;
	assert_true(codec_encode(&sender, &batch, wire, sizeof(wire)) < 100);
	sender.raw = true;
	assert_int_equal(codec_encode(&sender, &batch, wire, sizeof(wire)), 20);
	assert_int_equal(wire[16], PAGE_KIND_SAME);
	page[5] = 8;
	one_page(page);
	assert_true(codec_encode(&sender, &batch, wire, sizeof(wire)) < 100);
	assert_int_equal(wire[16], PAGE_KIND_DELTA);
}

/* Compressed with less care: more bytes, the same page. */
static void test_haste(void **state)
{
	uint8_t page[PAGE_BYTES];
	size_t well, len;

	(void)state;
	for (unsigned i = 0; i < sizeof(page); i++)
		page[i] = (uint8_t)(i % 23 * (i / 40 % 5));
	one_page(page);
	well = codec_encode(&sender, &batch, wire, sizeof(wire));
	sender.haste = true;
	len = codec_encode(&sender, &batch, wire, sizeof(wire));
	assert_in_range(len, well + 1, PAGE_BYTES / 2);
	assert_int_equal(decode(wire, len), 1);
	assert_memory_equal(got.data, page, sizeof(page));
}

/* A sender that speaks of a version which is not kept. */
static void test_lies_about_versions(void **state)
{
	struct wire_writer w;
	uint8_t page[PAGE_BYTES] = {1};
	size_t len;

	(void)state;
	put_one(&w, 5, PAGE_KIND_SAME, 0, 0);
	assert_int_equal(decode(wire, wire_writer_len(&w)), -EBADMSG);
	put_one(&w, 5, PAGE_KIND_RAW, CODEC_KEEP, PAGE_BYTES);
	wire_put_bytes(&w, page, PAGE_BYTES);
	assert_int_equal(decode(wire, wire_writer_len(&w)), 1);
	for (unsigned flags = 0; flags < 3; flags++) {
		put_one(&w, 5, PAGE_KIND_SAME, flags, 0);
		assert_int_equal(decode(wire, wire_writer_len(&w)), flags ? -EBADMSG : 1);
	}
	assert_memory_equal(local, page, PAGE_BYTES);
	put_one(&w, 5, PAGE_KIND_SAME, 0, 1);
	wire_put_u8(&w, 0);
	assert_int_equal(decode(wire, wire_writer_len(&w)), -EBADMSG);
	/* The same place, another page. */
	put_one(&w, 5 + TWIN, PAGE_KIND_SAME, 0, 0);
	assert_int_equal(decode(wire, wire_writer_len(&w)), -EBADMSG);
	/* A delta that is none. */
	for (len = 0; len < 40; len++) {
		put_one(&w, 5, PAGE_KIND_DELTA, 0, len);
		wire_put_bytes(&w, page, len);
		assert_int_equal(decode(wire, wire_writer_len(&w)), -EBADMSG);
	}
	put_one(&w, 5, PAGE_KIND_SAME, 0, 0);
	assert_int_equal(decode(wire, wire_writer_len(&w)), 1);
	assert_memory_equal(local, page, PAGE_BYTES);
}

/* Every byte of a page counts, wherever it is. */
static void test_zero(void **state)
{
	uint8_t *page = calloc(1, PAGE_BYTES);

	(void)state;
	assert_true(page_is_zero(page));
	for (unsigned at = 0; at < PAGE_BYTES; at++)
		for (unsigned bit = 1; bit < 256; bit *= 2) {
			page[at] = (uint8_t)bit;
			assert_false(page_is_zero(page));
			page[at] = 0;
		}
	free(page);
}

/* The pages that are zero go, the others stay in their order, whatever the mix. */
static void test_mark_zero(void **state)
{
	struct test_random random = TEST_RANDOM(11);
	uint8_t *room = malloc((size_t)PAGE_BATCH_MAX * PAGE_BYTES);
	struct page_batch one;

	(void)state;
	assert_non_null(room);
	for (unsigned turn = 0; turn < 200; turn++) {
		const uint8_t *was, *left = room;

		fill_batch(&random, 1 + test_random_below(&random, PAGE_BATCH_MAX));
		one = batch;
		one.data = room;
		memcpy(room, batch.data, (size_t)batch.nr_data * PAGE_BYTES);
		page_batch_mark_zero(&one);
		was = batch.data;
		for (uint32_t i = 0; i < batch.nr; i++) {
			bool here = page_has_data(batch.entry[i]);
			bool zero = here && page_is_zero(was);

			assert_int_equal(one.entry[i], batch.entry[i] | (zero ? PAGE_ZERO : 0));
			if (here && !zero) {
				assert_memory_equal(left, was, PAGE_BYTES);
				left += PAGE_BYTES;
			}
			was += here ? PAGE_BYTES : 0;
		}
		assert_int_equal(one.nr_data, (size_t)(left - room) / PAGE_BYTES);
		assert_int_equal(page_batch_contents(&one), page_batch_contents(&batch));
	}
	free(room);
}

/* Noise is not worth trying; anything that LZ4 halves is. */
static void test_worth_trying(void **state)
{
	struct test_random random = TEST_RANDOM(9);
	uint8_t page[PAGE_BYTES];

	(void)state;
	for (int pass = 0; pass < 500; pass++) {
		test_random_fill(&random, page, sizeof(page));
		one_page(page);
		assert_true(codec_encode(&sender, &batch, wire, sizeof(wire)) > 20);
		assert_int_equal(wire[16], PAGE_KIND_RAW);
		for (unsigned i = 0; i < PAGE_BYTES; i++)
			page[i] = (uint8_t)(i % 3 ? page[i] & 7 : 0);
		one_page(page);
		assert_true(codec_encode(&sender, &batch, wire, sizeof(wire)) > 20);
		assert_int_equal(wire[16], PAGE_KIND_LZ4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_round_trip, fresh),
		cmocka_unit_test_setup(test_kinds, fresh),
		cmocka_unit_test_setup(test_room, fresh),
		cmocka_unit_test_setup(test_truncated, fresh),
		cmocka_unit_test_setup(test_changed, fresh),
		cmocka_unit_test_setup(test_descriptors, fresh),
		cmocka_unit_test_setup(test_entries, fresh),
		cmocka_unit_test_setup(test_wrong_inflated_size, fresh),
		cmocka_unit_test_setup(test_counts, fresh),
		cmocka_unit_test_setup(test_zero, fresh),
		cmocka_unit_test_setup(test_mark_zero, fresh),
		cmocka_unit_test_setup(test_worth_trying, fresh),
		cmocka_unit_test(test_places),
		cmocka_unit_test_setup(test_rounds, fresh),
		cmocka_unit_test_setup(test_delta_is_small, fresh),
		cmocka_unit_test_setup(test_raw, fresh),
		cmocka_unit_test_setup(test_haste, fresh),
		cmocka_unit_test_setup(test_lies_about_versions, fresh),
	};

	return cmocka_run_group_tests_name("codec", tests, NULL, fresh);
}
