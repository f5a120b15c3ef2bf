/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/noise.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

/* Exactly HASHLEN bytes, so by the specification it is the first hash itself. */
static const char protocol_name[] = "Noise_IK_25519_ChaChaPoly_SHA256";
static const char prologue[] = "lifeboat wire 3";

static void mix_hash(struct noise *n, const void *data, size_t len)
{
	crypto_hash_sha256_state st;

	crypto_hash_sha256_init(&st);
	crypto_hash_sha256_update(&st, n->hash, sizeof(n->hash));
	crypto_hash_sha256_update(&st, data, len);
	crypto_hash_sha256_final(&st, n->hash);
}

static void hmac(const uint8_t key[static 32], const void *a, size_t a_len, const void *b,
	size_t b_len, uint8_t out[static 32])
{
	crypto_auth_hmacsha256_state st;

	crypto_auth_hmacsha256_init(&st, key, 32);
	crypto_auth_hmacsha256_update(&st, a, a_len);
	crypto_auth_hmacsha256_update(&st, b, b_len);
	crypto_auth_hmacsha256_final(&st, out);
	sodium_memzero(&st, sizeof(st));
}

/* HKDF of the specification with two outputs. */
static void hkdf2(const uint8_t chaining_key[static 32], const void *input, size_t len,
	uint8_t out1[static 32], uint8_t out2[static 32])
{
	uint8_t temp[32], first[32];
	const uint8_t one = 1, two = 2;

	hmac(chaining_key, input, len, "", 0, temp);
	hmac(temp, "", 0, &one, 1, first);
	hmac(temp, first, sizeof(first), &two, 1, out2);
	memcpy(out1, first, sizeof(first));
	sodium_memzero(temp, sizeof(temp));
	sodium_memzero(first, sizeof(first));
}

static int mix_dh(struct noise *n, const uint8_t *secret, const uint8_t *public)
{
	uint8_t shared[crypto_scalarmult_BYTES];

	/* libsodium refuses the all-zero result of a low-order point. */
	if (crypto_scalarmult(shared, secret, public) != 0)
		return -EACCES;
	hkdf2(n->chaining_key, shared, sizeof(shared), n->chaining_key, n->key);
	sodium_memzero(shared, sizeof(shared));
	n->has_key = true;
	n->nonce = 0;
	return 0;
}

static void make_nonce(uint64_t counter, uint8_t out[static 12])
{
	memset(out, 0, 12);
	for (int i = 0; i < 8; i++)
		out[4 + i] = (uint8_t)(counter >> (8 * i));
}

static void encrypt_and_hash(struct noise *n, const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t nonce[12];

	make_nonce(n->nonce++, nonce);
	crypto_aead_chacha20poly1305_ietf_encrypt(
		out, NULL, in, len, n->hash, sizeof(n->hash), NULL, nonce, n->key);
	mix_hash(n, out, len + NOISE_TAG_LEN);
}

static int decrypt_and_hash(struct noise *n, const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t nonce[12];

	make_nonce(n->nonce++, nonce);
	if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, in, len + NOISE_TAG_LEN,
		    n->hash, sizeof(n->hash), nonce, n->key) != 0)
		return -EACCES;
	mix_hash(n, in, len + NOISE_TAG_LEN);
	return 0;
}

void noise_init(struct noise *n, const uint8_t secret[static NOISE_KEY_LEN], const uint8_t *remote)
{
	*n = (struct noise){.initiator = remote != NULL};
	memcpy(n->hash, protocol_name, sizeof(n->hash));
	memcpy(n->chaining_key, n->hash, sizeof(n->hash));
	memcpy(n->s_secret, secret, sizeof(n->s_secret));
	crypto_scalarmult_base(n->s_public, n->s_secret);
	crypto_box_keypair(n->e_public, n->e_secret);
	mix_hash(n, prologue, sizeof(prologue) - 1);
	if (remote)
		memcpy(n->remote_s, remote, sizeof(n->remote_s));
	mix_hash(n, remote ? n->remote_s : n->s_public, NOISE_KEY_LEN);
}

void noise_dispose(struct noise *n)
{
	sodium_memzero(n, sizeof(*n));
}

int noise_write_1(struct noise *n, const uint8_t payload[static NOISE_PAYLOAD_LEN],
	uint8_t out[static NOISE_MESSAGE_1_LEN])
{
	uint8_t *sealed_s = out + NOISE_KEY_LEN;
	uint8_t *sealed_payload = sealed_s + NOISE_KEY_LEN + NOISE_TAG_LEN;

	memcpy(out, n->e_public, NOISE_KEY_LEN);
	mix_hash(n, n->e_public, NOISE_KEY_LEN);
	if (mix_dh(n, n->e_secret, n->remote_s))
		return -EACCES;
	encrypt_and_hash(n, n->s_public, NOISE_KEY_LEN, sealed_s);
	if (mix_dh(n, n->s_secret, n->remote_s))
		return -EACCES;
	encrypt_and_hash(n, payload, NOISE_PAYLOAD_LEN, sealed_payload);
	return 0;
}

int noise_read_1(struct noise *n, const uint8_t in[static NOISE_MESSAGE_1_LEN],
	uint8_t payload[static NOISE_PAYLOAD_LEN])
{
	const uint8_t *sealed_s = in + NOISE_KEY_LEN;
	const uint8_t *sealed_payload = sealed_s + NOISE_KEY_LEN + NOISE_TAG_LEN;

	memcpy(n->remote_e, in, NOISE_KEY_LEN);
	mix_hash(n, n->remote_e, NOISE_KEY_LEN);
	if (mix_dh(n, n->s_secret, n->remote_e) ||
		decrypt_and_hash(n, sealed_s, NOISE_KEY_LEN, n->remote_s) ||
		mix_dh(n, n->s_secret, n->remote_s))
		return -EACCES;
	return decrypt_and_hash(n, sealed_payload, NOISE_PAYLOAD_LEN, payload);
}

int noise_write_2(struct noise *n, const uint8_t payload[static NOISE_PAYLOAD_LEN],
	uint8_t out[static NOISE_MESSAGE_2_LEN])
{
	memcpy(out, n->e_public, NOISE_KEY_LEN);
	mix_hash(n, n->e_public, NOISE_KEY_LEN);
	if (mix_dh(n, n->e_secret, n->remote_e) || mix_dh(n, n->e_secret, n->remote_s))
		return -EACCES;
	encrypt_and_hash(n, payload, NOISE_PAYLOAD_LEN, out + NOISE_KEY_LEN);
	return 0;
}

int noise_read_2(struct noise *n, const uint8_t in[static NOISE_MESSAGE_2_LEN],
	uint8_t payload[static NOISE_PAYLOAD_LEN])
{
	memcpy(n->remote_e, in, NOISE_KEY_LEN);
	mix_hash(n, n->remote_e, NOISE_KEY_LEN);
	if (mix_dh(n, n->e_secret, n->remote_e) || mix_dh(n, n->s_secret, n->remote_e))
		return -EACCES;
	return decrypt_and_hash(n, in + NOISE_KEY_LEN, NOISE_PAYLOAD_LEN, payload);
}

void noise_split(const struct noise *n, uint8_t send_key[static NOISE_KEY_LEN],
	uint8_t receive_key[static NOISE_KEY_LEN])
{
	if (n->initiator)
		hkdf2(n->chaining_key, "", 0, send_key, receive_key);
	else
		hkdf2(n->chaining_key, "", 0, receive_key, send_key);
}
