/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/drbd_tool.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/proc.h"
#include "migrate/drbd.h"

#define RETRY_MS 200

int drbd_tool(const char *tool, const char *const *args, const char *resource, char *out,
	struct error *err)
{
	char *argv[8] = {(char *)(uintptr_t)tool};
	char text[DRBD_OUTPUT_MAX];
	size_t n = 1;
	int rc;

	if (!out)
		out = text;
	while (*args && n < 6)
		argv[n++] = (char *)(uintptr_t)*args++;
	argv[n] = (char *)(uintptr_t)resource;
	rc = proc_run(argv, out, DRBD_OUTPUT_MAX, deadline_in(DRBD_COMMAND_MS));
	if (rc == -ENOENT)
		return error_set(err, rc, "apt install drbd-utils", "%s is not installed", tool);
	if (rc < 0)
		return error_sys(err, rc, "Look at 'drbdadm status' and dmesg", "%s %s %s", tool,
			argv[1], resource ? resource : "");
	if (rc == 0)
		return 0;
	out[strcspn(out, "\n")] = '\0';
	return error_set(err, -EIO, "Look at 'drbdadm status' and dmesg", "%s %s %s failed: %.200s",
		tool, argv[1], resource ? resource : "", out);
}

int drbd_adm(const char *const *args, const char *resource, char *out, struct error *err)
{
	return drbd_tool("drbdadm", args, resource, out, err);
}

int drbd_adm_until(
	const char *const *args, const char *resource, int64_t deadline, struct error *err)
{
	for (;;) {
		struct error last = ERROR_INIT;
		int rc = drbd_adm(args, resource, NULL, &last);

		if (rc == 0)
			return 0;
		if (clock_ms() >= deadline)
			return error_set(err, rc, last.fix, "%s", last.what);
		clock_pause(RETRY_MS);
	}
}
