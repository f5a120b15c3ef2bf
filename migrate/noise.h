/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * noise: the handshake, Noise_IK_25519_ChaChaPoly_SHA256 as the Noise Protocol Framework
 * (revision 34) specifies it, on libsodium's primitives. Both sides have long-term keys, the
 * initiator knows the responder's beforehand, and the session keys have forward secrecy.
 *
 *   initiator -> e, es, s, ss, payload     NOISE_MESSAGE_1_LEN
 *   responder -> e, ee, se, payload        NOISE_MESSAGE_2_LEN
 *
 * The first message may be a replay: nothing may be done for a peer before its first frame under
 * the session keys has been opened.
 */
#ifndef MIGRATE_NOISE_H
#define MIGRATE_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io.h"

#define NOISE_KEY_LEN	  32u
#define NOISE_TAG_LEN	  16u
#define NOISE_PAYLOAD_LEN 16u
#define NOISE_MESSAGE_1_LEN                                                                        \
	(NOISE_KEY_LEN + NOISE_KEY_LEN + NOISE_TAG_LEN + NOISE_PAYLOAD_LEN + NOISE_TAG_LEN)
#define NOISE_MESSAGE_2_LEN (NOISE_KEY_LEN + NOISE_PAYLOAD_LEN + NOISE_TAG_LEN)

struct noise {
	bool initiator;
	bool has_key;
	uint8_t chaining_key[32];
	uint8_t hash[32];
	uint8_t key[32];
	uint64_t nonce;
	uint8_t s_secret[NOISE_KEY_LEN], s_public[NOISE_KEY_LEN];
	uint8_t e_secret[NOISE_KEY_LEN], e_public[NOISE_KEY_LEN];
	uint8_t remote_s[NOISE_KEY_LEN], remote_e[NOISE_KEY_LEN];
};

/* `remote` is the responder's public key for the initiator, NULL for the responder. */
void noise_init(struct noise *n, const uint8_t secret[static NOISE_KEY_LEN], const uint8_t *remote);
/* Wipe. Call it on every path. */
void noise_dispose(struct noise *n);

/* All return 0, or -EACCES when the peer's message is not authentic or its key is degenerate. */
int noise_write_1(struct noise *n, const uint8_t payload[static NOISE_PAYLOAD_LEN],
	uint8_t out[static NOISE_MESSAGE_1_LEN]) WARN_UNUSED;
/* After it `n->remote_s` is the initiator's key: check it against the peers before answering. */
int noise_read_1(struct noise *n, const uint8_t in[static NOISE_MESSAGE_1_LEN],
	uint8_t payload[static NOISE_PAYLOAD_LEN]) WARN_UNUSED;
int noise_write_2(struct noise *n, const uint8_t payload[static NOISE_PAYLOAD_LEN],
	uint8_t out[static NOISE_MESSAGE_2_LEN]) WARN_UNUSED;
int noise_read_2(struct noise *n, const uint8_t in[static NOISE_MESSAGE_2_LEN],
	uint8_t payload[static NOISE_PAYLOAD_LEN]) WARN_UNUSED;

/* The two session keys, by direction, once both messages are through. */
void noise_split(const struct noise *n, uint8_t send_key[static NOISE_KEY_LEN],
	uint8_t receive_key[static NOISE_KEY_LEN]);

#endif
