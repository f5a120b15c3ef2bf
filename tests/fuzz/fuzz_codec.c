/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A PAGES body of a peer: refused, or the engine can read it and it encodes and decodes to the same
 * again. */
#include "fuzz.h"

#include "migrate/codec.h"

static uint8_t local[RECORD_BODY_MAX], again[RECORD_BODY_MAX], wire[RECORD_BODY_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct page_batch batch;
	struct record rec = {.type = RECORD_PAGES, .body = local};
	ssize_t len;
	size_t encoded;

	if (size > RECORD_BODY_MAX)
		return 0;
	len = codec_decode(data, size, local);
	if (len < 0)
		return 0;
	rec.len = (uint32_t)len;
	fuzz_check(record_get_pages(&rec, &batch));
	encoded = codec_encode(&batch, wire, sizeof(wire));
	fuzz_check(encoded > 0 && codec_decode(wire, encoded, again) == len);
	fuzz_check(memcmp(local, again, (size_t)len) == 0);
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
