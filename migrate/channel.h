/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * channel: authenticated encryption of records, one frame each, in one direction.
 *
 *    0        4
 *   +--------+------------------------------+----------+
 *   |  len   |  ciphertext                  |  tag 16  |    len counts ciphertext and tag
 *   +--------+------------------------------+----------+
 *
 * `len` is authenticated too. The nonce is the frame's number in its direction, which never
 * repeats under a key; after CHANNEL_REKEY_FRAMES frames the key is replaced by a one-way
 * function of itself, so that no key ever seals more than 260 MiB.
 */
#ifndef MIGRATE_CHANNEL_H
#define MIGRATE_CHANNEL_H

#include <sodium.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io.h"
#include "migrate/record.h"

#define CHANNEL_LEN_BYTES    4u
#define CHANNEL_TAG_LEN	     16u
#define CHANNEL_KEY_LEN	     32u
#define CHANNEL_FRAME_MAX    (CHANNEL_LEN_BYTES + RECORD_MAX + CHANNEL_TAG_LEN)
#define CHANNEL_REKEY_FRAMES 256u

/* Bits of what a host can do, as the handshake's payload carries them. */
enum channel_cipher { CIPHER_CHACHA20_POLY1305 = 1, CIPHER_AES256_GCM = 2 };

struct channel_key {
	enum channel_cipher cipher;
	uint64_t frames;
	uint8_t key[CHANNEL_KEY_LEN];
	crypto_aead_aes256gcm_state aes; /* the expanded key, for AES only */
};

/* Ciphers this machine has, as an OR of enum channel_cipher. */
uint32_t channel_ciphers(void);
/* The best of `ours & theirs`; 0 when there is none. */
enum channel_cipher channel_choose(uint32_t ours, uint32_t theirs);
const char *channel_cipher_name(enum channel_cipher cipher);

void channel_key_init(struct channel_key *k, enum channel_cipher cipher,
	const uint8_t key[static CHANNEL_KEY_LEN]);
void channel_key_dispose(struct channel_key *k);

/* Seal `len` <= RECORD_MAX bytes into `out` (CHANNEL_FRAME_MAX of room). Returns the frame's
 * length. */
size_t channel_seal(struct channel_key *k, const uint8_t *plain, size_t len, uint8_t *out);

/* The ciphertext length a frame announces, or 0 when it is out of bounds. */
uint32_t channel_frame_len(const uint8_t head[static CHANNEL_LEN_BYTES]);

/* Open a whole frame into `plain`. Returns the plaintext's length or -EBADMSG: hang up then. */
ssize_t channel_open(
	struct channel_key *k, const uint8_t *frame, size_t len, uint8_t *plain) WARN_UNUSED;

#endif
