/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The JSON configuration that travels with an embedded domain. */
#include "fuzz.h"

#include "../../hypervisor/embedded_config.c"
#include "../../hypervisor/names.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct domain_spec spec, again;
	struct error err = ERROR_INIT;
	struct domain dom;
	char *text = malloc(size + 1);

	fuzz_check(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	if (embedded_config_decode(text, &spec, &err)) {
		fuzz_check(err.rc < 0 && err.what[0]);
		free(text);
		return 0;
	}
	free(text);
	fuzz_check(domain_name_valid(spec.name));
	fuzz_check(spec.memory_mb >= EMBEDDED_MEMORY_MB_MIN &&
		   spec.memory_mb <= EMBEDDED_MEMORY_MB_MAX);
	fuzz_check(spec.nr_vifs <= DOMAIN_VIFS_MAX && spec.nr_disks <= DOMAIN_DISKS_MAX);
	fuzz_check(spec.on_poweroff && spec.on_reboot && spec.on_crash);
	embedded_config_domain(&spec, &dom);
	text = embedded_config_encode(&spec);
	fuzz_check(text && embedded_config_decode(text, &again, NULL) == 0);
	fuzz_check(memcmp(&spec, &again, sizeof(spec)) == 0);
	free(text);
	return 0;
}

static void fuzz_seeds(void)
{
	static struct domain_spec spec = {.name = "led",
		.kernel = "/guests/ledger",
		.extra = "fill=80",
		.memory_mb = 64,
		.on_poweroff = ACTION_DESTROY,
		.on_reboot = ACTION_RESTART,
		.on_crash = ACTION_PRESERVE};
	char *text = embedded_config_encode(&spec);

	fuzz_check(text != NULL);
	fuzz_seed(text, strlen(text));
	free(text);
	spec.nr_vifs = 1;
	strcpy(spec.vif[0].bridge, "br0");
	spec.nr_disks = 1;
	strcpy(spec.disk[0].path, "/disk");
	strcpy(spec.disk[0].vdev, "xvda");
	text = embedded_config_encode(&spec);
	fuzz_check(text != NULL);
	fuzz_seed(text, strlen(text));
	free(text);
}
