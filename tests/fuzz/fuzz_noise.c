/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both handshake messages as a stranger would make them: none is accepted, and nothing overruns. */
#include "fuzz.h"

#include <errno.h>

#include "migrate/noise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t secret[NOISE_KEY_LEN], payload[NOISE_PAYLOAD_LEN] = {0}, public[NOISE_KEY_LEN];
	uint8_t *exact, m1[NOISE_MESSAGE_1_LEN];
	struct noise n;

	if (size != NOISE_MESSAGE_1_LEN && size != NOISE_MESSAGE_2_LEN)
		return 0;
	exact = malloc(size);
	fuzz_check(exact != NULL);
	memcpy(exact, data, size);
	crypto_box_keypair(public, secret);
	if (size == NOISE_MESSAGE_1_LEN) {
		noise_init(&n, secret, NULL);
		fuzz_check(noise_read_1(&n, exact, payload) == -EACCES);
	} else {
		noise_init(&n, secret, public);
		fuzz_check(noise_write_1(&n, payload, m1) == 0);
		fuzz_check(noise_read_2(&n, exact, payload) == -EACCES);
	}
	noise_dispose(&n);
	free(exact);
	return 0;
}

static void fuzz_seeds(void)
{
	uint8_t secret[32], public[32], payload[16] = {1}, m1[NOISE_MESSAGE_1_LEN],
					m2[NOISE_MESSAGE_2_LEN];
	struct noise i, r;

	crypto_box_keypair(public, secret);
	noise_init(&i, secret, public);
	noise_init(&r, secret, NULL);
	fuzz_check(noise_write_1(&i, payload, m1) == 0 && noise_read_1(&r, m1, payload) == 0 &&
		   noise_write_2(&r, payload, m2) == 0);
	fuzz_seed(m1, sizeof(m1));
	fuzz_seed(m2, sizeof(m2));
	memset(m1, 0, sizeof(m1));
	fuzz_seed(m1, sizeof(m1));
}
