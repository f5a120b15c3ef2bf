/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/channel.h"

#include <errno.h>
#include <string.h>

#define NONCE_LEN 12u /* of both ciphers */

uint32_t channel_ciphers(void)
{
	uint32_t have = CIPHER_CHACHA20_POLY1305;

	if (crypto_aead_aes256gcm_is_available())
		have |= CIPHER_AES256_GCM;
	return have;
}

enum channel_cipher channel_choose(uint32_t ours, uint32_t theirs)
{
	uint32_t both = ours & theirs;

	if (both & CIPHER_AES256_GCM)
		return CIPHER_AES256_GCM;
	return both & CIPHER_CHACHA20_POLY1305;
}

const char *channel_cipher_name(enum channel_cipher cipher)
{
	return cipher == CIPHER_AES256_GCM ? "AES-256-GCM" : "ChaCha20-Poly1305";
}

static void expand(struct channel_key *k)
{
	if (k->cipher == CIPHER_AES256_GCM)
		crypto_aead_aes256gcm_beforenm(&k->aes, k->key);
}

void channel_key_init(struct channel_key *k, enum channel_cipher cipher,
	const uint8_t key[static CHANNEL_KEY_LEN])
{
	memset(k, 0, sizeof(*k));
	k->cipher = cipher;
	memcpy(k->key, key, CHANNEL_KEY_LEN);
	expand(k);
}

void channel_key_dispose(struct channel_key *k)
{
	sodium_memzero(k, sizeof(*k));
}

static void rekey(struct channel_key *k)
{
	uint8_t next[CHANNEL_KEY_LEN];
	static const char context[] = "lifeboat rekey";

	crypto_generichash(next, sizeof(next), (const uint8_t *)context, sizeof(context) - 1,
		k->key, sizeof(k->key));
	memcpy(k->key, next, sizeof(next));
	sodium_memzero(next, sizeof(next));
	expand(k);
}

/* Take the next nonce; both directions count alike, so both ends replace the key at the same frame.
 */
static void next_nonce(struct channel_key *k, uint8_t nonce[static NONCE_LEN])
{
	struct wire_writer w = wire_writer(nonce, NONCE_LEN);

	if (k->frames && k->frames % CHANNEL_REKEY_FRAMES == 0)
		rekey(k);
	wire_put_u32(&w, 0);
	wire_put_u64(&w, k->frames++);
}

size_t channel_seal(struct channel_key *k, const uint8_t *plain, size_t len, uint8_t *out)
{
	struct wire_writer w = wire_writer(out, CHANNEL_LEN_BYTES);
	uint8_t nonce[NONCE_LEN], *body = out + CHANNEL_LEN_BYTES;

	wire_put_u32(&w, (uint32_t)(len + CHANNEL_TAG_LEN));
	next_nonce(k, nonce);
	if (k->cipher == CIPHER_AES256_GCM)
		crypto_aead_aes256gcm_encrypt_afternm(
			body, NULL, plain, len, out, CHANNEL_LEN_BYTES, NULL, nonce, &k->aes);
	else
		crypto_aead_chacha20poly1305_ietf_encrypt(
			body, NULL, plain, len, out, CHANNEL_LEN_BYTES, NULL, nonce, k->key);
	return CHANNEL_LEN_BYTES + len + CHANNEL_TAG_LEN;
}

uint32_t channel_frame_len(const uint8_t head[static CHANNEL_LEN_BYTES])
{
	struct wire_reader r = wire_reader(head, CHANNEL_LEN_BYTES);
	uint32_t len = wire_get_u32(&r);

	if (len < RECORD_HEADER_LEN + CHANNEL_TAG_LEN || len > RECORD_MAX + CHANNEL_TAG_LEN)
		return 0;
	return len;
}

ssize_t channel_open(struct channel_key *k, const uint8_t *frame, size_t len, uint8_t *plain)
{
	const uint8_t *body = frame + CHANNEL_LEN_BYTES;
	size_t body_len = len - CHANNEL_LEN_BYTES;
	uint8_t nonce[NONCE_LEN];
	int bad;

	if (len < CHANNEL_LEN_BYTES + CHANNEL_TAG_LEN || channel_frame_len(frame) != body_len)
		return -EBADMSG;
	next_nonce(k, nonce);
	if (k->cipher == CIPHER_AES256_GCM)
		bad = crypto_aead_aes256gcm_decrypt_afternm(plain, NULL, NULL, body, body_len,
			frame, CHANNEL_LEN_BYTES, nonce, &k->aes);
	else
		bad = crypto_aead_chacha20poly1305_ietf_decrypt(
			plain, NULL, NULL, body, body_len, frame, CHANNEL_LEN_BYTES, nonce, k->key);
	return bad ? -EBADMSG : (ssize_t)(body_len - CHANNEL_TAG_LEN);
}
