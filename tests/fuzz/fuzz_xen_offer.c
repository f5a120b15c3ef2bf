/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a peer offers of a Xen domain: the JSON around libxl's configuration, and the comparison of
 * whatever processor it names with one that has nothing, and with itself. */
#include "fuzz.h"

#include "hypervisor/cpu.c"
#include "hypervisor/cpu_names.c"
#include "hypervisor/cpu_policy.c"

#define decode offer_decode
#include "hypervisor/xen_offer.c"

static struct findings found;

static void check_texts(void)
{
	for (unsigned i = 0; i < found.nr; i++)
		fuzz_check(found.list[i].what[0] && found.list[i].fix[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct cpu_policy nothing;
	struct xen_offer offer, again;
	char *json = strndup((const char *)data, size), *text;

	fuzz_check(json != NULL);
	if (xen_offer_decode(json, &offer, NULL) == 0) {
		memset(&found, 0, sizeof(found));
		cpu_check(&offer.cpu, &nothing, NULL, "g", &found);
		cpu_check(&nothing, &offer.cpu, NULL, "g", &found);
		cpu_check_tsc(&offer.cpu, &offer.tsc, 1, "g", &found);
		xen_offer_check_clock(offer.time, 0, &found);
		xen_offer_check_version(offer.xen, "4.17.7", &found);
		check_texts();
		memset(&found, 0, sizeof(found));
		cpu_check(&offer.cpu, &offer.cpu, NULL, "g", &found);
		fuzz_check(found.nr == 0);
		text = xen_offer_encode(&offer);
		fuzz_check(text && xen_offer_decode(text, &again, NULL) == 0);
		fuzz_check(strcmp(again.libxl, offer.libxl) == 0);
		xen_offer_dispose(&again);
		free(text);
	}
	xen_offer_dispose(&offer);
	free(json);
	return 0;
}

static void fuzz_seeds(void)
{
	static const char small[] =
		"{\"xen\":\"4.17.7\",\"libxl\":\"{}\",\"time\":0,\"tsc\":{\"mode\":0,\"khz\":2600000},\"cpu\":{\"leaves\":["
		"\"00000000:ffffffff:0000000d:756e6547:6c65746e:49656e69\","
		"\"00000007:00000000:00000000:d19f4fbb:00000008:9c000400\","
		"\"80000007:ffffffff:00000000:00000000:00000000:00000100\"],"
		"\"msrs\":[\"0000010a:0000000000000001\"]}}";

	fuzz_seed(small, sizeof(small) - 1);
}
