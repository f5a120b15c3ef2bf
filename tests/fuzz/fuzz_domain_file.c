/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The domain file of an embedded domain, read by libxlutil: refused with a sentence, or every value
 * is within its bounds and arrives unchanged on another host.
 */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "../../hypervisor/embedded_config.c"
#include "../../hypervisor/names.c"
#define get_string file_get_string
#define get_action file_get_action
#include "../../hypervisor/xen_domain_file.c"
#undef get_string
#undef get_action

/* libxlutil's grammar forgets what it has parsed so far when a file ends in an error. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

/* What travels is what the file says: compare by value, padding and string tails aside. */
static void check_travels(const struct domain_spec *spec)
{
	static struct domain_spec there;
	char *text = embedded_config_encode(spec), *again;

	fuzz_check(text && embedded_config_decode(text, &there, NULL) == 0);
	again = embedded_config_encode(&there);
	fuzz_check(again && strcmp(text, again) == 0);
	free(again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct domain_spec spec;
	static int file = -1;
	struct error err = ERROR_INIT;
	char path[64];

	if (file < 0)
		file = memfd_create("domain", 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	fuzz_check(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
	if (domain_file_load(path, &spec, &err)) {
		fuzz_check(err.rc < 0 && err.what[0]);
		return 0;
	}
	fuzz_check(domain_name_valid(spec.name) && spec.kernel[0]);
	fuzz_check(spec.memory_mb >= 1 && spec.memory_mb <= 1 << 20);
	fuzz_check(spec.nr_vifs <= DOMAIN_VIFS_MAX && spec.nr_disks <= DOMAIN_DISKS_MAX);
	fuzz_check(spec.on_poweroff && spec.on_reboot && spec.on_crash);
	check_travels(&spec);
	return 0;
}

static void fuzz_seeds(void)
{
	static const char *const seeds[] = {
		"name = \"a\"\nkernel = \"ledger\"\nmemory = 64\n",
		"name='a';kernel='/k';memory=1\nvif = [ 'mac=00:16:3e:00:00:01,bridge=br0', \"\" ]\n",
		"name = \"a\" # c\nkernel = \"k\"\nmemory = 0x10\ndisk = [ '/d,raw,xvda,w' ]\n",
		"name = \"a\"\nkernel = \"k\"\nmemory = 5\non_reboot = \"restart\"\non_crash = \"preserve\"\n"
		"uuid = \"11111111-2222-3333-4444-555555555555\"\nvcpus = 1\ntype = \"embedded\"\nextra = \"q\"\n",
	};

	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		fuzz_seed(seeds[i], strlen(seeds[i]));
}
