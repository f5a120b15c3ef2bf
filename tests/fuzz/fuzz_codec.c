/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A PAGES body of a peer: refused, or the engine can read it and it encodes and decodes to the same
 * again. */
#include "fuzz.h"

#include "migrate/codec.h"

static uint8_t local[PAGE_BATCH_MAX * PAGE_BYTES], again[PAGE_BATCH_MAX * PAGE_BYTES];
static uint8_t wire[RECORD_BODY_MAX];
static struct codec receiver, sender, second_receiver;

static bool try_one(const uint8_t *data, size_t size)
{
	static struct page_batch batch, second, told;
	static uint8_t body[RECORD_SLOT_MAX];
	struct record rec = {.type = RECORD_SLOT, .body = body};
	const uint8_t *is = again, *was = local;
	size_t encoded;

	if (codec_decode(&receiver, data, size, &batch, local))
		return false;
	rec.len = (uint32_t)record_put_slot(body, sizeof(body), &batch);
	fuzz_check(record_get_slot(&rec, &told));
	encoded = codec_encode(&sender, &batch, wire, sizeof(wire));
	fuzz_check(
		encoded > 0 && codec_decode(&second_receiver, wire, encoded, &second, again) == 0);
	fuzz_check(second.nr == batch.nr);
	for (uint32_t i = 0; i < batch.nr; i++) {
		/* A page sent as raw or LZ4 may turn out to be zero: then it is said shorter. */
		bool zero = page_has_data(batch.entry[i]) && page_is_zero(was);

		fuzz_check(second.entry[i] == (batch.entry[i] | (zero ? PAGE_ZERO : 0)));
		if (page_has_data(second.entry[i])) {
			fuzz_check(memcmp(is, was, PAGE_BYTES) == 0);
			is += PAGE_BYTES;
		}
		was += page_has_data(batch.entry[i]) ? PAGE_BYTES : 0;
	}
	return true;
}

/* As new, without giving back the memory: that would take most of the time. */
static void forget(struct codec *c)
{
	if (c->kept) {
		memset(c->kept, 0, CODEC_KEPT_PAGES * sizeof(c->kept[0]));
		memset(c->used, 0, CODEC_KEPT_PAGES * sizeof(c->used[0]));
	}
	c->round = 0;
}

/* Two bodies follow each other: the second may speak of what the first had kept. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t first;

	forget(&receiver);
	forget(&sender);
	forget(&second_receiver);
	codec_round(&sender);
	if (size < 2 || size > RECORD_BODY_MAX)
		return 0;
	first = (size_t)data[0] * 256 + data[1];
	first = first < size - 2 ? first : size - 2;
	if (try_one(data + 2, first))
		try_one(data + 2 + first, size - 2 - first);
	return 0;
}

/* As LLVMFuzzerTestOneInput takes it apart. */
static void seed_twice(struct page_batch *batch)
{
	static uint8_t out[2 + 2 * RECORD_BODY_MAX];
	size_t first, second;

	codec_dispose(&sender);
	codec_round(&sender);
	first = codec_encode(&sender, batch, out + 2, RECORD_BODY_MAX);
	out[0] = (uint8_t)(first >> 8);
	out[1] = (uint8_t)first;
	if (batch->nr_data > 1)
		batch->data[PAGE_BYTES + 100] ^= 1;
	second = codec_encode(&sender, batch, out + 2 + first, RECORD_BODY_MAX);
	fuzz_seed(out, 2 + first + second);
}

static void fuzz_seeds(void)
{
	static uint8_t pages[3 * PAGE_BYTES];
	static struct page_batch batch = {.nr = 4, .nr_data = 3, .data = pages};

	for (unsigned i = 0; i < 4; i++)
		batch.entry[i] = i;
	batch.entry[1] = UINT64_C(0xf) << PAGE_TYPE_SHIFT;
	memset(pages + PAGE_BYTES, 7, 20);
	randombytes_buf(pages + 2 * PAGE_BYTES, PAGE_BYTES);
	seed_twice(&batch);
	batch.nr = batch.nr_data = 1;
	seed_twice(&batch);
	batch.data = pages + PAGE_BYTES;
	seed_twice(&batch);
}
