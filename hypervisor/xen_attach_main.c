/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lifeboat-hotplug: run by libxl as a device's hotplug script, with its arguments and environment.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hypervisor/xen_attach.h"

static const struct {
	const char *prefix, *verb, *script;
	bool (*attach)(const struct hotplug *h);
} kinds[] = {
	{"backend/vbd/", "add", HOTPLUG_SCRIPT_DIR "/block", hotplug_vbd},
	{"backend/vif/", "online", HOTPLUG_SCRIPT_DIR "/vif-bridge", hotplug_vif},
};

static bool attach(size_t kind, const char *backend)
{
	struct hotplug h = {.xs = xs_open(0), .backend = backend, .vif = getenv("vif")};
	bool done = h.xs && kinds[kind].attach(&h);

	if (h.xs)
		xs_close(h.xs);
	return done;
}

int main(int argc, char **argv)
{
	const char *backend = getenv("XENBUS_PATH");

	for (size_t i = 0; backend && argc >= 2 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strncmp(backend, kinds[i].prefix, strlen(kinds[i].prefix)) != 0 ||
			strlen(backend) > HOTPLUG_PATH_LEN / 2)
			continue;
		if (strcmp(argv[1], kinds[i].verb) == 0 && attach(i, backend))
			return 0;
		argv[0] = (char *)(uintptr_t)kinds[i].script;
		setenv("script", kinds[i].script, 1);
		execv(argv[0], argv);
		fprintf(stderr, "lifeboat-hotplug: %s: %s\n", kinds[i].script, strerror(errno));
		return 1;
	}
	fprintf(stderr, "lifeboat-hotplug is run by libxl only\n");
	return 2;
}
