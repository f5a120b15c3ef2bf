/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "base/clock.h"
#include "migrate/hostkey.h"
#include "migrate/noise.h"
#include "migrate/wire.h"

static void payload_put(
	uint8_t payload[static NOISE_PAYLOAD_LEN], const struct channel_offer *offer)
{
	struct wire_writer w = wire_writer(payload, NOISE_PAYLOAD_LEN);

	wire_put_u32(&w, RECORD_VERSION);
	wire_put_u32(&w, offer->ciphers);
	wire_put_u16(&w, offer->chacha_mb_s);
	wire_put_u16(&w, offer->aes_mb_s);
	wire_put_u32(&w, 0);
}

static int payload_get(const uint8_t payload[static NOISE_PAYLOAD_LEN], struct channel_offer *offer,
	const char *peer, struct error *err)
{
	struct wire_reader r = wire_reader(payload, NOISE_PAYLOAD_LEN);
	uint32_t version = wire_get_u32(&r);

	offer->ciphers = wire_get_u32(&r);
	offer->chacha_mb_s = wire_get_u16(&r);
	offer->aes_mb_s = wire_get_u16(&r);
	if (version == RECORD_VERSION)
		return 0;
	return error_set(err, -EPROTO, "Run the same lifeboat version on both hosts",
		"%s speaks version %u of the wire format, this host version %u", peer, version,
		RECORD_VERSION);
}

static int choose(struct wire *w, const struct channel_offer *theirs, struct error *err)
{
	const struct channel_offer ours = channel_offer();

	w->cipher = channel_choose(&ours, theirs);
	if (!w->cipher)
		return error_set(
			err, -EPROTO, NULL, "%s and this host have no cipher in common", w->peer);
	return 0;
}

static int initiate(struct wire *w, struct noise *n, int64_t deadline, struct error *err)
{
	uint8_t payload[NOISE_PAYLOAD_LEN], m1[NOISE_MESSAGE_1_LEN], m2[NOISE_MESSAGE_2_LEN];
	struct channel_offer theirs = channel_offer();
	int rc;

	payload_put(payload, &theirs);
	rc = noise_write_1(n, payload, m1);
	if (rc)
		return error_set(err, rc, "Correct the peer's key in the config",
			"the key configured for %s is no usable key", w->peer);
	rc = io_write_all(WIRE_FD_NET, m1, sizeof(m1), deadline);
	if (rc == 0)
		rc = io_read_exact(WIRE_FD_NET, m2, sizeof(m2), deadline);
	if (rc == -ETIMEDOUT)
		return error_set(err, rc, "Check that the address and port are lifeboatd's",
			"%s did not answer the handshake in time", w->peer);
	if (rc)
		return error_set(err, -EACCES,
			"Compare 'lifeboatd --show-key' on each host with the key that the other's config has for it, and 'lifeboatd --version'",
			"%s closed the connection: it does not trust this host's key, its own key is not the one configured here, or its lifeboat is of another version",
			w->peer);
	rc = noise_read_2(n, m2, payload);
	if (rc)
		return error_set(err, rc,
			"Compare 'lifeboatd --show-key' there with the key configured here",
			"%s could not prove its key", w->peer);
	rc = payload_get(payload, &theirs, w->peer, err);
	return rc ? rc : choose(w, &theirs, err);
}

static const char *peer_of_key(const struct link_setup *setup, const uint8_t *key)
{
	for (uint32_t i = 0; i < setup->nr_peers; i++)
		if (sodium_memcmp(setup->peer[i].key, key, HOST_KEY_LEN) == 0)
			return setup->peer[i].name;
	return NULL;
}

/* A stranger learns nothing: whatever is wrong, the connection just closes. */
static int respond(struct wire *w, struct noise *n, const struct link_setup *setup,
	int64_t deadline, struct error *err)
{
	uint8_t payload[NOISE_PAYLOAD_LEN], m1[NOISE_MESSAGE_1_LEN], m2[NOISE_MESSAGE_2_LEN];
	char text[HOST_KEY_TEXT_LEN];
	struct channel_offer theirs;
	const char *name;
	int rc;

	rc = io_read_exact(WIRE_FD_NET, m1, sizeof(m1), deadline);
	if (rc)
		return error_sys(err, rc, NULL, "%s sent no handshake", w->address);
	rc = noise_read_1(n, m1, payload);
	if (rc)
		return error_set(err, rc, NULL,
			"%s does not know this host's key, or its lifeboat is of another version",
			w->address);
	name = peer_of_key(setup, n->remote_s);
	if (!name) {
		hostkey_text(n->remote_s, text);
		return error_set(err, -EACCES, NULL,
			"%s has the key %s, which no peer in the config has", w->address, text);
	}
	memcpy(w->peer, name, sizeof(w->peer));
	rc = payload_get(payload, &theirs, w->peer, err);
	if (rc == 0)
		rc = choose(w, &theirs, err);
	if (rc)
		return rc;
	payload_put(payload, &(struct channel_offer){.ciphers = w->cipher});
	rc = noise_write_2(n, payload, m2);
	return rc ? rc : io_write_all(WIRE_FD_NET, m2, sizeof(m2), deadline);
}

int wire_handshake(struct wire *w, struct link_setup *setup, struct error *err)
{
	int64_t deadline = deadline_in(LINK_HANDSHAKE_MS);
	uint8_t send_key[NOISE_KEY_LEN], receive_key[NOISE_KEY_LEN];
	bool initiator = setup->role == ROLE_SOURCE;
	struct noise n;
	int rc;

	if (initiator)
		memcpy(w->peer, setup->peer[0].name, sizeof(w->peer));
	noise_init(&n, setup->secret, initiator ? setup->peer[0].key : NULL);
	rc = initiator ? initiate(w, &n, deadline, err) : respond(w, &n, setup, deadline, err);
	if (rc == 0) {
		noise_split(&n, send_key, receive_key);
		channel_key_init(&w->seal, w->cipher, send_key);
		channel_key_init(&w->open, w->cipher, receive_key);
	}
	sodium_memzero(send_key, sizeof(send_key));
	sodium_memzero(receive_key, sizeof(receive_key));
	noise_dispose(&n);
	sodium_memzero(setup, sizeof(*setup));
	return rc;
}
