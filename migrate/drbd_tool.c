/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/drbd_tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/clock.h"
#include "base/proc.h"
#include "migrate/drbd.h"

#define RETRY_MS 200
#define PROC_MAX 65536

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

/* "\n 0: cs:StandAlone ...\n    ns:23 ... oos:72\n 1: ..." */
int drbd_proc(const char *proc, dev_t dev, char out[static DRBD_PART_MAX])
{
	char head[24], *text = NULL;
	const char *start, *end;
	int rc = io_read_file(proc, PROC_MAX, &text, NULL);

	if (rc)
		return rc;
	snprintf(head, sizeof(head), "\n%2u: cs:", minor(dev));
	start = strstr(text, head);
	if (start) {
		size_t len;

		start += strlen(head) - 3; /* at "cs:" */
		end = strstr(start, ": cs:");
		len = end ? (size_t)(end - start) : strlen(start);
		if (len >= DRBD_PART_MAX)
			len = DRBD_PART_MAX - 1;
		memcpy(out, start, len);
		out[len] = '\0';
	}
	free(text);
	return start ? 0 : -ENODATA;
}
