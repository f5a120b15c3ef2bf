/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON lines of a client. Whatever comes, the reader ends: with objects, then an error or the end.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "migrate/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct event_reader reader;
	int fds[2], rc;

	if (size > 2 * EVENT_LINE_MAX)
		return 0;
	fuzz_check(pipe(fds) == 0 && fcntl(fds[1], F_SETPIPE_SZ, 4 * EVENT_LINE_MAX) > 0);
	fuzz_check(write(fds[1], data, size) == (ssize_t)size);
	close(fds[1]);
	reader.fd = fds[0];
	reader.used = 0;
	do {
		json_t *event;
		size_t before = reader.used;

		rc = event_next(&reader, &event, deadline_in(1000));
		fuzz_check(rc == 0 || rc == -EPIPE || rc == -EPROTO);
		fuzz_check((rc == 0) == json_is_object(event));
		json_decref(event);
		if (rc == -EPROTO && before == reader.used)
			break; /* a line too long stays where it is */
	} while (rc != -EPIPE);
	close(fds[0]);
	return 0;
}

static void fuzz_seeds(void)
{
	static const char *const seeds[] = {
		"{\"domain\":\"g\",\"host\":\"b\",\"max_downtime_ms\":300}\n",
		"{}\n[]\n{\"a\":[1,2.5,null,true,\"\\u00e9\"]}\n", "\n\n", "{\"a\":1,\"a\":2}\n"};

	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		fuzz_seed(seeds[i], strlen(seeds[i]));
}
