/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A PAGES body of a peer: refused, or the engine can read it and it encodes and decodes to the same
 * again. */
#include "fuzz.h"

#include "migrate/codec.h"

static uint8_t local[PAGE_BATCH_MAX * PAGE_BYTES], again[PAGE_BATCH_MAX * PAGE_BYTES];
static uint8_t wire[RECORD_BODY_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct page_batch batch, second, told;
	static uint8_t body[RECORD_SLOT_MAX];
	struct record rec = {.type = RECORD_SLOT, .body = body};
	const uint8_t *is = again, *was = local;
	size_t encoded;

	if (size > RECORD_BODY_MAX || codec_decode(data, size, &batch, local))
		return 0;
	rec.len = (uint32_t)record_put_slot(body, sizeof(body), &batch);
	fuzz_check(record_get_slot(&rec, &told));
	encoded = codec_encode(&batch, wire, sizeof(wire));
	fuzz_check(encoded > 0 && codec_decode(wire, encoded, &second, again) == 0);
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
	return 0;
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
	fuzz_seed(wire, codec_encode(&batch, wire, sizeof(wire)));
	batch.nr = batch.nr_data = 1;
	fuzz_seed(wire, codec_encode(&batch, wire, sizeof(wire)));
	batch.data = pages + PAGE_BYTES;
	fuzz_seed(wire, codec_encode(&batch, wire, sizeof(wire)));
}
