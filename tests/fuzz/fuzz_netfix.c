/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What netfix reads: frames of guests and of the network, and the addresses that a peer sends. */
#include "fuzz.h"

#include "../../netfix/address.c"
#include "../../netfix/frame.c"

static void try_addresses(const uint8_t *data, size_t size)
{
	static uint8_t out[4096];
	struct addresses set;

	if (!address_get(data, size, &set)) {
		fuzz_check(set.nr == 0);
		return;
	}
	fuzz_check(set.nr <= ADDRESSES_MAX);
	fuzz_check(address_put(out, sizeof(out), &set) == size && memcmp(out, data, size) == 0);
	address_settle(&set);
	fuzz_check(set.nr <= ADDRESSES_MAX);
}

static void try_frame(const uint8_t *data, size_t size)
{
	static const uint8_t token[FRAME_TOKEN_LEN];
	uint8_t mac[MAC_LEN] = {0};
	struct address a = {0}, who = {.family = ADDRESS_V4};
	unsigned vif = 0;

	if (size >= 12)
		memcpy(mac, data + MAC_LEN, MAC_LEN);
	if (frame_learn(data, size, mac, &a))
		fuzz_check(address_valid(a.family, a.ip));
	frame_answers(data, size, mac, &who);
	who.family = ADDRESS_V6;
	frame_answers(data, size, mac, &who);
	if (frame_is_probe(data, size, token, &vif))
		fuzz_check(vif < ADDRESS_VIFS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size && data[0] & 1)
		try_addresses(data + 1, size - 1);
	else if (size)
		try_frame(data + 1, size - 1);
	return 0;
}

static void fuzz_seeds(void)
{
	static const uint8_t mac[MAC_LEN] = {0, 0x16, 0x3e, 0, 0, 5}, ip[16] = {0x20, 1, [15] = 5};
	static const uint8_t token[FRAME_TOKEN_LEN];
	static uint8_t out[4096];
	struct addresses set = {.nr = 2};
	struct frame f;

	set.list[0] = (struct address){.family = ADDRESS_V4, .origin = 1, .ip = {10, 0, 0, 1}};
	set.list[1] = (struct address){.family = ADDRESS_V6, .origin = 2, .vlan = 7};
	memcpy(set.list[1].ip, ip, 16);
	out[0] = 1;
	fuzz_seed(out, 1 + address_put(out + 1, sizeof(out) - 1, &set));
	out[0] = 0;
	for (int i = 0; i < 4; i++) {
		if (i == 0)
			frame_garp(&f, mac, set.list[0].ip, true);
		else if (i == 1)
			frame_na(&f, mac, ip, false);
		else if (i == 2)
			frame_probe(&f, mac, token, 1);
		else
			frame_tag(&f, 7);
		memcpy(out + 1, f.data, f.len);
		fuzz_seed(out, f.len + 1);
	}
}
