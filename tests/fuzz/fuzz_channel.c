/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames of one who does not have the key: none may open. The first byte chooses the cipher and how
 * many frames came before; frames that the fuzzer cut out of the rest follow each other.
 */
#include "fuzz.h"

#include <errno.h>

#include "migrate/channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[CHANNEL_KEY_LEN];
	static uint8_t plain[RECORD_MAX];
	struct channel_key k;
	enum channel_cipher cipher;

	if (size < 1 + CHANNEL_LEN_BYTES)
		return 0;
	fuzz_check(channel_prepare() == 0);
	cipher = data[0] & channel_offer().ciphers & CIPHER_AES256_GCM ? CIPHER_AES256_GCM
								       : CIPHER_CHACHA20_POLY1305;
	randombytes_buf(bytes, sizeof(bytes));
	channel_key_init(&k, cipher, bytes);
	k.frames = 250 + data[0] / 16;
	for (data++, size--; size >= CHANNEL_LEN_BYTES;) {
		uint32_t len = channel_frame_len(data);
		size_t whole =
			len && len <= size - CHANNEL_LEN_BYTES ? CHANNEL_LEN_BYTES + len : size;

		fuzz_check(channel_open(&k, data, whole, plain) == -EBADMSG);
		data += whole;
		size -= whole;
	}
	channel_key_dispose(&k);
	return 0;
}

static void fuzz_seeds(void)
{
	uint8_t frames[256] = {2, 24}, key[CHANNEL_KEY_LEN] = {0}, plain[40] = {0};
	struct channel_key k;
	size_t len = 1;

	fuzz_check(channel_prepare() == 0);
	fuzz_seed(frames, 1 + 4 + 24);
	channel_key_init(&k, CIPHER_CHACHA20_POLY1305, key);
	for (int i = 0; i < 3; i++)
		len += channel_seal(&k, plain, 8 + (size_t)i, frames + len);
	fuzz_seed(frames, len);
}
