/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/channel.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>

#include "base/clock.h"

#define NONCE_LEN     12u /* of both ciphers */
#define MEASURE_BYTES 65536u
#define MEASURE_TIMES 4

/*
 * One context serves every key: setting a key costs a microsecond, a frame of pages hundreds. So a
 * struct channel_key is plain data that tests may copy.
 */
static struct {
	EVP_CIPHER_CTX *ctx;
	EVP_CIPHER *chacha, *aes;
	struct channel_offer offer;
} library;

/* One frame, either way. `tag` is written when sealing, checked when opening. */
static bool crypt(const struct channel_key *k, const uint8_t nonce[static NONCE_LEN], bool sealing,
	const uint8_t *head, const uint8_t *in, size_t len, uint8_t *out, uint8_t *tag)
{
	EVP_CIPHER *cipher = k->cipher == CIPHER_AES256_GCM ? library.aes : library.chacha;
	EVP_CIPHER_CTX *ctx = library.ctx;
	int n, tag_len = (int)CHANNEL_TAG_LEN;

	if (!ctx || EVP_CipherInit_ex(ctx, cipher, NULL, k->key, nonce, sealing) != 1 ||
		(!sealing && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, tag_len, tag) != 1) ||
		EVP_CipherUpdate(ctx, NULL, &n, head, CHANNEL_LEN_BYTES) != 1 ||
		EVP_CipherUpdate(ctx, out, &n, in, (int)len) != 1 || (size_t)n != len ||
		EVP_CipherFinal_ex(ctx, out + len, &n) != 1)
		return false;
	return !sealing || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, tag_len, tag) == 1;
}

/* MB/s of sealing, the best of a few tries: a disturbed one says nothing about the cipher. */
static uint16_t measure(enum channel_cipher cipher)
{
	static uint8_t text[MEASURE_BYTES];
	const struct channel_key k = {.cipher = cipher};
	const uint8_t nonce[NONCE_LEN] = {0}, head[CHANNEL_LEN_BYTES] = {0};
	uint8_t tag[CHANNEL_TAG_LEN];
	int64_t best = INT64_MAX, rate;

	for (int i = 0; i < MEASURE_TIMES; i++) {
		int64_t start = clock_ns(), took;

		if (!crypt(&k, nonce, true, head, text, sizeof(text), text, tag))
			return 0;
		took = clock_ns() - start;
		best = took < best ? took : best;
	}
	rate = (int64_t)MEASURE_BYTES * 1000 / (best ? best : 1);
	return (uint16_t)(rate < 1 ? 1 : rate > UINT16_MAX ? UINT16_MAX : rate);
}

int channel_prepare(void)
{
	struct channel_offer *offer = &library.offer;

	if (offer->ciphers)
		return 0;
	/* No configuration file of the library's has a say here. */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
	library.ctx = EVP_CIPHER_CTX_new();
	library.chacha = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
	library.aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	if (!library.ctx || !library.chacha || !library.aes)
		return -ENOTSUP;
	offer->chacha_mb_s = measure(CIPHER_CHACHA20_POLY1305);
	if (!offer->chacha_mb_s)
		return -ENOTSUP;
	offer->ciphers = CIPHER_CHACHA20_POLY1305;
	/* Without the instructions AES is slow, and tables in memory tell others the key. */
	if (crypto_aead_aes256gcm_is_available())
		offer->aes_mb_s = measure(CIPHER_AES256_GCM);
	if (offer->aes_mb_s)
		offer->ciphers |= CIPHER_AES256_GCM;
	return 0;
}

struct channel_offer channel_offer(void)
{
	return library.offer;
}

/* Is 1/aes summed over both hosts at most 1/chacha summed, for rates that are all known? */
static bool aes_is_cheaper(const struct channel_offer *a, const struct channel_offer *b)
{
	uint64_t aes = (uint64_t)a->aes_mb_s * b->aes_mb_s;
	uint64_t chacha = (uint64_t)a->chacha_mb_s * b->chacha_mb_s;

	if (!aes || !chacha)
		return true;
	return (uint64_t)(a->aes_mb_s + b->aes_mb_s) * chacha <=
	       (uint64_t)(a->chacha_mb_s + b->chacha_mb_s) * aes;
}

enum channel_cipher channel_choose(
	const struct channel_offer *ours, const struct channel_offer *theirs)
{
	uint32_t both = ours->ciphers & theirs->ciphers;

	if (!(both & CIPHER_CHACHA20_POLY1305))
		return both & CIPHER_AES256_GCM;
	if (both & CIPHER_AES256_GCM && aes_is_cheaper(ours, theirs))
		return CIPHER_AES256_GCM;
	return CIPHER_CHACHA20_POLY1305;
}

const char *channel_cipher_name(enum channel_cipher cipher)
{
	return cipher == CIPHER_AES256_GCM ? "AES-256-GCM" : "ChaCha20-Poly1305";
}

void channel_key_init(struct channel_key *k, enum channel_cipher cipher,
	const uint8_t key[static CHANNEL_KEY_LEN])
{
	*k = (struct channel_key){.cipher = cipher};
	memcpy(k->key, key, CHANNEL_KEY_LEN);
}

void channel_key_dispose(struct channel_key *k)
{
	sodium_memzero(k, sizeof(*k));
	if (library.ctx)
		EVP_CIPHER_CTX_reset(library.ctx); /* the expanded key with it */
}

static void rekey(struct channel_key *k)
{
	uint8_t next[CHANNEL_KEY_LEN];
	static const char context[] = "lifeboat rekey";

	crypto_generichash(next, sizeof(next), (const uint8_t *)context, sizeof(context) - 1,
		k->key, sizeof(k->key));
	memcpy(k->key, next, sizeof(next));
	sodium_memzero(next, sizeof(next));
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
	if (!crypt(k, nonce, true, out, plain, len, body, body + len))
		return 0;
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
	size_t text_len = len - CHANNEL_LEN_BYTES - CHANNEL_TAG_LEN;
	uint8_t nonce[NONCE_LEN], tag[CHANNEL_TAG_LEN];

	if (len < CHANNEL_LEN_BYTES + CHANNEL_TAG_LEN ||
		channel_frame_len(frame) != len - CHANNEL_LEN_BYTES)
		return -EBADMSG;
	next_nonce(k, nonce);
	memcpy(tag, body + text_len, sizeof(tag));
	if (!crypt(k, nonce, false, frame, body, text_len, plain, tag))
		return -EBADMSG;
	return (ssize_t)text_len;
}
