/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The primitives and their order were checked once, by hand, against the
 * Noise_IK_25519_ChaChaPoly_SHA256 vector of the cacophony set (as rweather/noise-c carries it):
 * with its prologue, keys, ephemerals and payloads in place of ours both handshake messages and the
 * four transport messages came out byte for byte. What guards it from then on is tests/wire, which
 * speaks the same handshake in Python.
 */
#include "test.h"

#include <sodium.h>

#include "migrate/noise.h"

static uint8_t secret_i[NOISE_KEY_LEN], public_i[NOISE_KEY_LEN];
static uint8_t secret_r[NOISE_KEY_LEN], public_r[NOISE_KEY_LEN];

static const uint8_t payload_i[NOISE_PAYLOAD_LEN] = "of initiator...";
static const uint8_t payload_r[NOISE_PAYLOAD_LEN] = "of responder...";

struct session {
	struct noise i, r;
	uint8_t m1[NOISE_MESSAGE_1_LEN], m2[NOISE_MESSAGE_2_LEN];
	uint8_t got_1[NOISE_PAYLOAD_LEN], got_2[NOISE_PAYLOAD_LEN];
};

static int setup(void **state)
{
	(void)state;
	if (sodium_init() < 0)
		return -1;
	crypto_box_keypair(public_i, secret_i);
	crypto_box_keypair(public_r, secret_r);
	return 0;
}

static void begin(struct session *s)
{
	noise_init(&s->i, secret_i, public_r);
	noise_init(&s->r, secret_r, NULL);
	assert_int_equal(noise_write_1(&s->i, payload_i, s->m1), 0);
}

static void end(struct session *s)
{
	noise_dispose(&s->i);
	noise_dispose(&s->r);
	assert_true(sodium_is_zero((const uint8_t *)s, offsetof(struct session, m1)));
}

static void answer(struct session *s)
{
	assert_int_equal(noise_read_1(&s->r, s->m1, s->got_1), 0);
	assert_int_equal(noise_write_2(&s->r, payload_r, s->m2), 0);
}

static void split(const struct noise *n, uint8_t keys[static 2 * NOISE_KEY_LEN])
{
	noise_split(n, keys, keys + NOISE_KEY_LEN);
}

static void test_both_agree(void **state)
{
	uint8_t keys_i[2 * NOISE_KEY_LEN], keys_r[2 * NOISE_KEY_LEN],
		before[2 * NOISE_KEY_LEN] = {0};
	struct session s;

	(void)state;
	for (int pass = 0; pass < 20; pass++) {
		begin(&s);
		answer(&s);
		assert_int_equal(noise_read_2(&s.i, s.m2, s.got_2), 0);
		assert_memory_equal(s.got_1, payload_i, sizeof(payload_i));
		assert_memory_equal(s.got_2, payload_r, sizeof(payload_r));
		assert_memory_equal(s.r.remote_s, public_i, NOISE_KEY_LEN);
		split(&s.i, keys_i);
		split(&s.r, keys_r);
		/* What one sends with the other receives with, and the directions differ. */
		assert_memory_equal(keys_i, keys_r + NOISE_KEY_LEN, NOISE_KEY_LEN);
		assert_memory_equal(keys_i + NOISE_KEY_LEN, keys_r, NOISE_KEY_LEN);
		assert_memory_not_equal(keys_i, keys_r, NOISE_KEY_LEN);
		/* The same two hosts never get the same keys again. */
		assert_memory_not_equal(keys_i, before, NOISE_KEY_LEN);
		memcpy(before, keys_i, sizeof(before));
		end(&s);
	}
}

static bool contains(const uint8_t *hay, size_t hay_len, const void *needle, size_t len)
{
	return memmem(hay, hay_len, needle, len) != NULL;
}

/* A listener on the way learns nothing but two fresh keys. */
static void test_nothing_in_clear(void **state)
{
	struct session s;

	(void)state;
	begin(&s);
	answer(&s);
	assert_false(contains(s.m1, sizeof(s.m1), public_i, NOISE_KEY_LEN));
	assert_false(contains(s.m1, sizeof(s.m1), public_r, NOISE_KEY_LEN));
	assert_false(contains(s.m1, sizeof(s.m1), payload_i, sizeof(payload_i)));
	assert_false(contains(s.m2, sizeof(s.m2), public_r, NOISE_KEY_LEN));
	assert_false(contains(s.m2, sizeof(s.m2), payload_r, sizeof(payload_r)));
	end(&s);
}

static void test_wrong_responder(void **state)
{
	uint8_t secret[NOISE_KEY_LEN], public[NOISE_KEY_LEN];
	struct session s;

	(void)state;
	crypto_box_keypair(public, secret);
	begin(&s);
	noise_init(&s.r, secret, NULL); /* somebody else took the address */
	assert_int_equal(noise_read_1(&s.r, s.m1, s.got_1), -EACCES);
	end(&s);
}

/* One who knows the responder's public key but not the secret of the key that it claims to have. */
static void test_claimed_initiator(void **state)
{
	uint8_t secret[NOISE_KEY_LEN], public[NOISE_KEY_LEN];
	struct session s;

	(void)state;
	crypto_box_keypair(public, secret);
	noise_init(&s.i, secret, public_r);
	noise_init(&s.r, secret_r, NULL);
	memcpy(s.i.s_public, public_i, NOISE_KEY_LEN);
	assert_int_equal(noise_write_1(&s.i, payload_i, s.m1), 0);
	assert_int_equal(noise_read_1(&s.r, s.m1, s.got_1), -EACCES);
	end(&s);
}

/* A stranger is only known by its key: the caller sees it and must ask the config. */
static void test_stranger_is_shown(void **state)
{
	uint8_t secret[NOISE_KEY_LEN], public[NOISE_KEY_LEN];
	struct session s;

	(void)state;
	crypto_box_keypair(public, secret);
	noise_init(&s.i, secret, public_r);
	noise_init(&s.r, secret_r, NULL);
	assert_int_equal(noise_write_1(&s.i, payload_i, s.m1), 0);
	assert_int_equal(noise_read_1(&s.r, s.m1, s.got_1), 0);
	assert_memory_equal(s.r.remote_s, public, NOISE_KEY_LEN);
	assert_memory_not_equal(s.r.remote_s, public_i, NOISE_KEY_LEN);
	end(&s);
}

/* An answer from one who has read message 1 but is not the responder. */
static void test_claimed_responder(void **state)
{
	struct session s;
	struct noise forger;

	(void)state;
	begin(&s);
	assert_int_equal(noise_read_1(&s.r, s.m1, s.got_1), 0);
	forger = s.r;
	crypto_box_keypair(forger.remote_s, forger.s_secret); /* whose se is wrong */
	assert_int_equal(noise_write_2(&forger, payload_r, s.m2), 0);
	assert_int_equal(noise_read_2(&s.i, s.m2, s.got_2), -EACCES);
	noise_dispose(&forger);
	end(&s);
}

static void test_flipped_bits(void **state)
{
	struct session s;

	(void)state;
	begin(&s);
	for (size_t bit = 0; bit < 8 * sizeof(s.m1); bit++) {
		struct noise r = s.r;

		/* X25519 ignores the top bit of a point; the hash over the message does not. */
		s.m1[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (noise_read_1(&r, s.m1, s.got_1) != -EACCES)
			fail_msg("message 1 with bit %zu flipped was accepted", bit);
		s.m1[bit / 8] ^= (uint8_t)(1 << bit % 8);
		noise_dispose(&r);
	}
	answer(&s);
	for (size_t bit = 0; bit < 8 * sizeof(s.m2); bit++) {
		struct noise i = s.i;

		s.m2[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (noise_read_2(&i, s.m2, s.got_2) != -EACCES)
			fail_msg("message 2 with bit %zu flipped was accepted", bit);
		s.m2[bit / 8] ^= (uint8_t)(1 << bit % 8);
		noise_dispose(&i);
	}
	assert_int_equal(noise_read_2(&s.i, s.m2, s.got_2), 0);
	end(&s);
}

/* Points of small order, with which every shared secret is the same: RFC 7748's and their twins. */
static const char *const low_order[] = {
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

static void test_low_order_points(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(low_order); i++) {
		uint8_t point[NOISE_KEY_LEN];
		struct session s;

		assert_int_equal(
			sodium_hex2bin(point, sizeof(point), low_order[i], 64, NULL, NULL, NULL),
			0);
		/* as the responder's configured key */
		noise_init(&s.i, secret_i, point);
		assert_int_equal(noise_write_1(&s.i, payload_i, s.m1), -EACCES);
		/* as the ephemeral of either message */
		begin(&s);
		memcpy(s.m1, point, sizeof(point));
		assert_int_equal(noise_read_1(&s.r, s.m1, s.got_1), -EACCES);
		end(&s);
		begin(&s);
		answer(&s);
		memcpy(s.m2, point, sizeof(point));
		assert_int_equal(noise_read_2(&s.i, s.m2, s.got_2), -EACCES);
		end(&s);
		/* as the initiator's static key, honestly sealed */
		noise_init(&s.i, secret_i, public_r);
		noise_init(&s.r, secret_r, NULL);
		memcpy(s.i.s_public, point, sizeof(point));
		assert_int_equal(noise_write_1(&s.i, payload_i, s.m1), 0);
		assert_int_equal(noise_read_1(&s.r, s.m1, s.got_1), -EACCES);
		end(&s);
	}
}

/* A recorded message 1 is answered, but its sender cannot know the keys: they are new each time. */
static void test_replayed_message_1(void **state)
{
	uint8_t keys_i[2 * NOISE_KEY_LEN], keys_r[2 * NOISE_KEY_LEN];
	struct session s;
	struct noise again;
	uint8_t m2[NOISE_MESSAGE_2_LEN];

	(void)state;
	begin(&s);
	answer(&s);
	assert_int_equal(noise_read_2(&s.i, s.m2, s.got_2), 0);
	split(&s.i, keys_i);
	noise_init(&again, secret_r, NULL);
	assert_int_equal(noise_read_1(&again, s.m1, s.got_1), 0);
	assert_int_equal(noise_write_2(&again, payload_r, m2), 0);
	split(&again, keys_r);
	assert_memory_not_equal(keys_i, keys_r + NOISE_KEY_LEN, NOISE_KEY_LEN);
	assert_memory_not_equal(keys_i + NOISE_KEY_LEN, keys_r, NOISE_KEY_LEN);
	noise_dispose(&again);
	end(&s);
}

/* The other session's answer, recorded: it belongs to another message 1. */
static void test_replayed_message_2(void **state)
{
	struct session first, second;

	(void)state;
	begin(&first);
	answer(&first);
	begin(&second);
	answer(&second);
	assert_int_equal(noise_read_2(&second.i, first.m2, second.got_2), -EACCES);
	end(&first);
	end(&second);
}

/* A host that reaches itself must not believe its own messages. */
static void test_reflected(void **state)
{
	struct session s;

	(void)state;
	begin(&s);
	assert_int_equal(noise_read_2(&s.i, s.m1, s.got_2), -EACCES);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_agree),
		cmocka_unit_test(test_nothing_in_clear),
		cmocka_unit_test(test_wrong_responder),
		cmocka_unit_test(test_claimed_initiator),
		cmocka_unit_test(test_stranger_is_shown),
		cmocka_unit_test(test_claimed_responder),
		cmocka_unit_test(test_flipped_bits),
		cmocka_unit_test(test_low_order_points),
		cmocka_unit_test(test_replayed_message_1),
		cmocka_unit_test(test_replayed_message_2),
		cmocka_unit_test(test_reflected),
	};

	return cmocka_run_group_tests_name("noise", tests, setup, NULL);
}
