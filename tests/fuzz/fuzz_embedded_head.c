/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HEAD of an embedded domain, as a peer sends it: the header message and the pieces of the image.
 */
#include "fuzz.h"

#include "../../hypervisor/embedded_state.c"

static void check_header(const uint8_t *data, size_t size)
{
	struct embedded_head head = {0}, again = {0};
	struct error err = ERROR_INIT;
	uint8_t out[STATE_HEAD_MAX];
	ssize_t len;

	if (embedded_head_decode(&head, data, size, &err)) {
		fuzz_check(err.rc < 0 && err.what[0]);
		return;
	}
	fuzz_check(head.image_len && head.image_len <= STATE_IMAGE_MAX);
	fuzz_check(xstate_check(head.xfeatures, NULL) == 0);
	len = embedded_head_encode(&head, out, sizeof(out));
	fuzz_check(len > 0 && embedded_head_decode(&again, out, (size_t)len, NULL) == 0);
	fuzz_check(memcmp(&head, &again, sizeof(head)) == 0);
}

static void check_piece(const uint8_t *data, size_t size)
{
	const uint8_t *bytes;
	uint32_t offset;
	size_t len;

	if (embedded_piece_decode(data, size, &offset, &bytes, &len))
		return;
	fuzz_check(len < size && (len == 0 || bytes + len == data + size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int kind = embedded_head_kind(data, size);

	fuzz_check(kind >= 0 && kind <= 2 && (size || !kind));
	check_header(data, size);
	check_piece(data, size);
	return 0;
}

static void fuzz_seeds(void)
{
	const struct embedded_head head = {.nr_pages = 8192, .image_len = 20000, .xfeatures = 7};
	uint8_t out[STATE_HEAD_MAX];
	ssize_t len = embedded_head_encode(&head, out, sizeof(out));

	fuzz_check(len > 0);
	fuzz_seed(out, (size_t)len);
	len = embedded_piece_encode(4096, "\177ELF", 4, out, sizeof(out));
	fuzz_check(len > 0);
	fuzz_seed(out, (size_t)len);
}
