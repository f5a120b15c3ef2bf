/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The config file: refused with a sentence, or every value is within its bounds. */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config cfg;
	static int file = -1;
	struct error err = ERROR_INIT;
	char path[64];

	if (file < 0)
		file = memfd_create("config", 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	setenv("LIFEBOAT_CONFIG", path, 1);
	fuzz_check(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
	if (config_load(&cfg, &err)) {
		fuzz_check(err.rc < 0 && err.what[0]);
		return 0;
	}
	fuzz_check(cfg.port && cfg.max_downtime_ms && cfg.hypervisor && cfg.dirty_tracking &&
		   cfg.host[0]);
	fuzz_check(cfg.nr_peers <= CONFIG_PEERS_MAX && cfg.run_dir[0] && cfg.state_dir[0]);
	for (unsigned i = 0; i < cfg.nr_peers; i++)
		fuzz_check(cfg.peer[i].name[0] && cfg.peer[i].address[0] && cfg.peer[i].port);
	return 0;
}

static void fuzz_seeds(void)
{
	static const char *const seeds[] = {
		"host = a # c\nlisten = \"::\"\nport = 7979\nrun_dir = '/r'\nstate_dir = /s\nwire_user = u\n",
		"hypervisor = xen\ndirty_tracking = compare\nembedded_memory = 512\nmax_downtime = 300\n",
		"peer b {\n  address = 192.0.2.1\n  port = 1 // x\n"
		"  key = \"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\"\n}\n",
		"/* c */ peer \"a\\\"b\" { }\n",
	};

	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		fuzz_seed(seeds[i], strlen(seeds[i]));
}
