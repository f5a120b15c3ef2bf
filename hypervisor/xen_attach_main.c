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
	const char *prefix, *script;
	struct {
		const char *verb;
		bool (*act)(const struct hotplug *h);
	} ours[2];
} kinds[] = {
	{"backend/vbd/", HOTPLUG_SCRIPT_DIR "/block",
		{{"add", hotplug_vbd}, {"remove", hotplug_vbd_gone}}},
	{"backend/vif/", HOTPLUG_SCRIPT_DIR "/vif-bridge",
		{{"online", hotplug_vif}, {"offline", hotplug_vif_gone}}},
};

static bool act(bool (*ours)(const struct hotplug *h), const char *backend)
{
	struct hotplug h = {.xs = xs_open(0), .backend = backend, .vif = getenv("vif")};
	bool done = h.xs && ours(&h);

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
		for (size_t k = 0; k < sizeof(kinds[i].ours) / sizeof(kinds[i].ours[0]); k++)
			if (strcmp(argv[1], kinds[i].ours[k].verb) == 0 &&
				act(kinds[i].ours[k].act, backend))
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
