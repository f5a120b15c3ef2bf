/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include <sodium.h>

#include "migrate/channel.h"

static const uint8_t key_bytes[CHANNEL_KEY_LEN] = "0123456789abcdef0123456789abcde";
static uint8_t plain[RECORD_MAX], frame[CHANNEL_FRAME_MAX], out[RECORD_MAX];
static struct channel_key seal, opener;

/* Every test runs once a cipher; `state` is that cipher. */
static enum channel_cipher ciphers[2];

static int begin(void **state)
{
	enum channel_cipher cipher = *(enum channel_cipher *)*state;

	channel_key_init(&seal, cipher, key_bytes);
	channel_key_init(&opener, cipher, key_bytes);
	return 0;
}

static int finish(void **state)
{
	(void)state;
	channel_key_dispose(&seal);
	channel_key_dispose(&opener);
	return sodium_is_zero((const uint8_t *)&seal, sizeof(seal)) ? 0 : -1;
}

/* Open a copy that ends where the frame ends. */
static ssize_t open_exact(struct channel_key *k, const uint8_t *f, size_t len)
{
	uint8_t *exact = test_exact_copy(f, len);
	ssize_t n = channel_open(k, exact, len, out);

	free(exact);
	return n;
}

static void test_seal_and_open(void **state)
{
	static const size_t sizes[] = {8, 9, 15, 16, 17, 4096, RECORD_MAX - 1, RECORD_MAX};
	struct test_random random = TEST_RANDOM(10);

	(void)state;
	test_random_fill(&random, plain, sizeof(plain));
	for (size_t i = 0; i < COUNT(sizes); i++) {
		size_t len = channel_seal(&seal, plain, sizes[i], frame);

		assert_int_equal(len, sizes[i] + CHANNEL_LEN_BYTES + CHANNEL_TAG_LEN);
		assert_int_equal(channel_frame_len(frame), len - CHANNEL_LEN_BYTES);
		assert_memory_not_equal(frame + CHANNEL_LEN_BYTES, plain, 8);
		assert_int_equal(open_exact(&opener, frame, len), sizes[i]);
		assert_memory_equal(out, plain, sizes[i]);
	}
}

static void test_changed(void **state)
{
	size_t len = channel_seal(&seal, plain, 40, frame);

	(void)state;
	for (size_t bit = 0; bit < 8 * len; bit++) {
		struct channel_key k = opener;

		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (open_exact(&k, frame, len) != -EBADMSG)
			fail_msg("opened with bit %zu flipped", bit);
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t cut = 0; cut < len; cut++) {
		struct channel_key k = opener;

		assert_int_equal(open_exact(&k, frame, cut), -EBADMSG);
		/* And with a length that fits what is left of it. */
		if (cut >= CHANNEL_LEN_BYTES) {
			uint8_t shorter[128];
			struct wire_writer w = wire_writer(shorter, sizeof(shorter));

			wire_put_u32(&w, (uint32_t)(cut - CHANNEL_LEN_BYTES));
			wire_put_bytes(&w, frame + CHANNEL_LEN_BYTES, cut - CHANNEL_LEN_BYTES);
			k = opener;
			assert_int_equal(open_exact(&k, shorter, cut), -EBADMSG);
		}
	}
	assert_int_equal(open_exact(&opener, frame, len), 40);
}

static void test_replayed_reordered_dropped(void **state)
{
	static uint8_t frames[3][64];
	size_t len[3];
	struct channel_key start = opener, k;

	(void)state;
	for (int i = 0; i < 3; i++)
		len[i] = channel_seal(&seal, plain, 20, frames[i]);
	k = start;
	assert_int_equal(open_exact(&k, frames[1], len[1]), -EBADMSG); /* the first is missing */
	k = start;
	assert_int_equal(open_exact(&k, frames[0], len[0]), 20);
	assert_int_equal(open_exact(&k, frames[0], len[0]), -EBADMSG); /* again */
	k = start;
	assert_int_equal(open_exact(&k, frames[0], len[0]), 20);
	assert_int_equal(open_exact(&k, frames[2], len[2]), -EBADMSG); /* one was dropped */
	k = start;
	for (int i = 0; i < 3; i++)
		assert_int_equal(open_exact(&k, frames[i], len[i]), 20);
}

/* The other direction's key is another one: a frame sent back to its sender is nothing. */
static void test_other_key(void **state)
{
	size_t len = channel_seal(&seal, plain, 20, frame);
	struct channel_key other;
	uint8_t bytes[CHANNEL_KEY_LEN];

	(void)state;
	for (size_t bit = 0; bit < 8 * sizeof(bytes); bit += 37) {
		memcpy(bytes, key_bytes, sizeof(bytes));
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		channel_key_init(&other, seal.cipher, bytes);
		assert_int_equal(open_exact(&other, frame, len), -EBADMSG);
		channel_key_dispose(&other);
	}
}

/* Both sides change keys after the same frame, and no (key, nonce) pair is used twice. */
static void test_rekey(void **state)
{
	enum { FRAMES = 3 * CHANNEL_REKEY_FRAMES + 20 };
	static uint8_t keys[FRAMES][CHANNEL_KEY_LEN];
	unsigned changes = 0;

	(void)state;
	for (unsigned i = 0; i < FRAMES; i++) {
		size_t len = channel_seal(&seal, plain, 24, frame);

		assert_int_equal(open_exact(&opener, frame, len), 24);
		memcpy(keys[i], seal.key, CHANNEL_KEY_LEN);
		assert_memory_equal(opener.key, seal.key, CHANNEL_KEY_LEN);
		/* The number of the frame just sealed is its nonce; it only ever grows. */
		assert_int_equal(seal.frames, i + 1);
		assert_int_equal(opener.frames, i + 1);
		if (i && memcmp(keys[i], keys[i - 1], CHANNEL_KEY_LEN) != 0) {
			assert_int_equal(i % CHANNEL_REKEY_FRAMES, 0);
			changes++;
		}
	}
	assert_int_equal(changes, 3);
	for (unsigned a = 0; a < FRAMES; a += CHANNEL_REKEY_FRAMES)
		for (unsigned b = a + CHANNEL_REKEY_FRAMES; b < FRAMES; b += CHANNEL_REKEY_FRAMES)
			assert_memory_not_equal(keys[a], keys[b], CHANNEL_KEY_LEN);
}

/* Frame N sealed by hand with the nonce and key that docs/wire-format.md gives it. */
static void test_nonce_and_key_by_the_book(void **state)
{
	uint8_t key[CHANNEL_KEY_LEN], want[64];

	(void)state;
	memcpy(key, key_bytes, sizeof(key));
	for (unsigned i = 0; i < 2 * CHANNEL_REKEY_FRAMES + 2; i++) {
		uint8_t nonce[12] = {0, 0, 0, 0, (uint8_t)i, (uint8_t)(i >> 8)}, head[4] = {40};
		size_t len = channel_seal(&seal, plain, 24, frame);

		if (i == 256 || i == 512)
			crypto_generichash(key, sizeof(key), (const uint8_t *)"lifeboat rekey", 14,
				key, sizeof(key));
		if (seal.cipher == CIPHER_AES256_GCM)
			crypto_aead_aes256gcm_encrypt(
				want, NULL, plain, 24, head, 4, NULL, nonce, key);
		else
			crypto_aead_chacha20poly1305_ietf_encrypt(
				want, NULL, plain, 24, head, 4, NULL, nonce, key);
		assert_int_equal(len, 44);
		assert_memory_equal(frame, head, 4);
		assert_memory_equal(frame + 4, want, 40);
	}
}

static void test_random_traffic(void **state)
{
	struct test_random random = TEST_RANDOM(11);

	(void)state;
	for (int i = 0; i < 600; i++) {
		size_t size = 8 + test_random_below(&random, 3000), len;

		test_random_fill(&random, plain, size);
		len = channel_seal(&seal, plain, size, frame);
		assert_int_equal(open_exact(&opener, frame, len), size);
		assert_memory_equal(out, plain, size);
	}
}

static void test_lengths(void **state)
{
	static const struct {
		uint32_t len;
		bool good;
	} cases[] = {{0, false}, {16, false}, {23, false}, {24, true}, {RECORD_MAX + 16, true},
		{RECORD_MAX + 17, false}, {UINT32_MAX, false}, {UINT32_MAX - 3, false}};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t head[CHANNEL_LEN_BYTES];
		struct wire_writer w = wire_writer(head, sizeof(head));

		wire_put_u32(&w, cases[i].len);
		assert_int_equal(channel_frame_len(head), cases[i].good ? cases[i].len : 0);
	}
}

static enum channel_cipher choose(struct channel_offer ours, struct channel_offer theirs)
{
	enum channel_cipher chosen = channel_choose(&ours, &theirs);

	/* Who asks makes no difference. */
	assert_int_equal(channel_choose(&theirs, &ours), chosen);
	return chosen;
}

static void test_choice(void **state)
{
	const uint32_t chacha = CIPHER_CHACHA20_POLY1305, aes = CIPHER_AES256_GCM;
	const struct channel_offer untold = {.ciphers = chacha | aes};

	(void)state;
	assert_true(channel_offer().ciphers & chacha);
	assert_true(channel_offer().chacha_mb_s > 0);
	assert_int_equal(!(channel_offer().ciphers & aes), !channel_offer().aes_mb_s);
	assert_int_equal(choose(untold, untold), aes);
	assert_int_equal(choose(untold, (struct channel_offer){.ciphers = chacha}), chacha);
	assert_int_equal(choose(untold, (struct channel_offer){.ciphers = aes}), aes);
	assert_int_equal(choose(untold, (struct channel_offer){0}), 0);
	assert_int_equal(choose(untold, (struct channel_offer){.ciphers = ~(chacha | aes)}), 0);
	assert_int_equal(choose((struct channel_offer){.ciphers = chacha},
				 (struct channel_offer){.ciphers = aes}),
		0);
	assert_string_equal(channel_cipher_name(aes), "AES-256-GCM");
	assert_string_equal(channel_cipher_name(chacha), "ChaCha20-Poly1305");
}

/* What both hosts need together decides: 1/a + 1/b. */
static void test_choice_by_rate(void **state)
{
	static const struct {
		uint16_t chacha[2], aes[2];
		enum channel_cipher want;
	} cases[] = {
		{{1000, 1000}, {2000, 2000}, CIPHER_AES256_GCM},
		{{2000, 2000}, {1000, 1000}, CIPHER_CHACHA20_POLY1305},
		{{1000, 1000}, {1000, 1000}, CIPHER_AES256_GCM},
		{{1000, 1000}, {400, 60000}, CIPHER_CHACHA20_POLY1305},
		{{1000, 1000}, {600, 60000}, CIPHER_AES256_GCM},
		{{65535, 65535}, {65535, 65534}, CIPHER_CHACHA20_POLY1305},
		{{1000, 0}, {10, 10}, CIPHER_AES256_GCM}, /* one does not tell */
		{{1000, 1000}, {10, 0}, CIPHER_AES256_GCM},
	};
	const uint32_t both = CIPHER_CHACHA20_POLY1305 | CIPHER_AES256_GCM;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(
			choose((struct channel_offer){both, cases[i].chacha[0], cases[i].aes[0]},
				(struct channel_offer){both, cases[i].chacha[1], cases[i].aes[1]}),
			cases[i].want);
}

#define EACH(test)                                                                                 \
	{#test " with ChaCha20-Poly1305", test, begin, finish, &ciphers[0]},                       \
	{                                                                                          \
#test " with AES-256-GCM", test, begin, finish, &ciphers[1]                        \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(test_seal_and_open),
		EACH(test_changed),
		EACH(test_replayed_reordered_dropped),
		EACH(test_other_key),
		EACH(test_rekey),
		EACH(test_nonce_and_key_by_the_book),
		EACH(test_random_traffic),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_choice_by_rate),
	};

	if (sodium_init() < 0 || channel_prepare())
		return 1;
	ciphers[0] = CIPHER_CHACHA20_POLY1305;
	ciphers[1] = channel_offer().ciphers & CIPHER_AES256_GCM ? CIPHER_AES256_GCM
								 : CIPHER_CHACHA20_POLY1305;
	if (ciphers[1] != CIPHER_AES256_GCM)
		print_message(
			"# this processor has no AES instructions: AES-256-GCM is not tested\n");
	return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
