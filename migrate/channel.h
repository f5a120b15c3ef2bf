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
};

/*
 * Load what the ciphers need from the system and measure them. Call it before the process gives up
 * opening files. Takes about a millisecond. 0, or -ENOTSUP when the library lacks a cipher.
 */
int channel_prepare(void) WARN_UNUSED;

/* What a host can do and how fast, as the handshake's payload carries it. */
struct channel_offer {
	uint32_t ciphers;     /* an OR of enum channel_cipher */
	uint16_t chacha_mb_s; /* sealing, one core; 0 = not told */
	uint16_t aes_mb_s;
};

/* This machine's; AES only where the processor has instructions for it. */
struct channel_offer channel_offer(void);
/*
 * The cipher of both that costs the two hosts the least time together; AES where one of them does
 * not tell. 0 when they have none in common.
 */
enum channel_cipher channel_choose(
	const struct channel_offer *ours, const struct channel_offer *theirs);
const char *channel_cipher_name(enum channel_cipher cipher);

void channel_key_init(struct channel_key *k, enum channel_cipher cipher,
	const uint8_t key[static CHANNEL_KEY_LEN]);
void channel_key_dispose(struct channel_key *k);

/*
 * Seal `len` <= RECORD_MAX bytes into `out` (CHANNEL_FRAME_MAX of room). `plain` may be
 * `out + CHANNEL_LEN_BYTES`. Returns the frame's length; 0 only when the library fails.
 */
size_t channel_seal(struct channel_key *k, const uint8_t *plain, size_t len, uint8_t *out);

/* The ciphertext length a frame announces, or 0 when it is out of bounds. */
uint32_t channel_frame_len(const uint8_t head[static CHANNEL_LEN_BYTES]);

/* Open a whole frame into `plain`, which may be where its ciphertext is. Returns the plaintext's
 * length or -EBADMSG: hang up then. */
ssize_t channel_open(
	struct channel_key *k, const uint8_t *frame, size_t len, uint8_t *plain) WARN_UNUSED;

#endif
