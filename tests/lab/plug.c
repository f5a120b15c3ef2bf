/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lab-plug VIF IFB: drives netfix/plug.h by lines on standard input, for tests/lab/netfix-plug.
 * "buffer N" and "release N" are answered with "ok" or "refused: ...", "end" releases for good.
 */
#include <stdio.h>
#include <string.h>

#include "netfix/plug.h"

static int answer(int rc, const struct error *err)
{
	if (rc)
		printf("refused: %s\n", err->what);
	else
		printf("ok\n");
	fflush(stdout);
	return rc;
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT;
	unsigned long long epoch;
	struct plug plug;
	char line[64];

	if (argc != 3)
		return 2;
	if (answer(plug_open(&plug, argv[1], argv[2], &err), &err))
		return 1;
	while (fgets(line, sizeof(line), stdin) && strcmp(line, "end\n") != 0) {
		err = ERROR_INIT;
		if (sscanf(line, "buffer %llu", &epoch) == 1)
			answer(plug_buffer(&plug, epoch, &err), &err);
		else if (sscanf(line, "release %llu", &epoch) == 1)
			answer(plug_release(&plug, epoch, &err), &err);
	}
	err = ERROR_INIT;
	return answer(plug_close(&plug, &err), &err) ? 1 : 0;
}
