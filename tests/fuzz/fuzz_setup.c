/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SETUP, lifeboat-wire's first record. */
#include "fuzz.h"

#include "migrate/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct link_setup setup;
	static uint8_t out[8192];
	struct record rec = {.len = (uint32_t)size};

	if (size > 4096)
		return 0;
	rec.body = malloc(size + !size);
	fuzz_check(rec.body != NULL);
	memcpy(rec.body, data, size);
	if (link_get_setup(&rec, &setup)) {
		fuzz_check(setup.nr_peers <= CONFIG_PEERS_MAX);
		fuzz_check(setup.role == ROLE_DESTINATION || setup.nr_peers == 1);
		fuzz_check(link_put_setup(out, sizeof(out), &setup) == size &&
			   memcmp(out, data, size) == 0);
	}
	free(rec.body);
	return 0;
}

static void fuzz_seeds(void)
{
	static struct link_setup setup = {.role = ROLE_SOURCE, .user = "nobody", .nr_peers = 1};
	uint8_t out[4096];

	strcpy(setup.peer[0].name, "hosta");
	fuzz_seed(out, link_put_setup(out, sizeof(out), &setup));
	setup.role = ROLE_DESTINATION;
	setup.nr_peers = 3;
	fuzz_seed(out, link_put_setup(out, sizeof(out), &setup));
}
