/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TAIL of an embedded domain, as a peer sends it: registers, xsave area, counters and console. */
#include "fuzz.h"

#include "../../hypervisor/embedded_state.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct embedded_tail tail, again;
	static uint8_t out[STATE_TAIL_MAX];
	struct error err = ERROR_INIT;
	ssize_t len;

	if (embedded_tail_decode(&tail, data, size, &err)) {
		fuzz_check(err.rc < 0 && err.what[0]);
		return 0;
	}
	fuzz_check(tail.xstate_len <= STATE_XSTATE_MAX && tail.console_len <= STATE_CONSOLE_MAX);
	fuzz_check((tail.events & ~(uint64_t)GUEST_EVENT_ALL) == 0);
	fuzz_check(xstate_check(xstate_in_use(tail.xstate, tail.xstate_len), NULL) == 0);
	len = embedded_tail_encode(&tail, out, sizeof(out));
	fuzz_check(len == (ssize_t)size);
	fuzz_check(embedded_tail_decode(&again, out, (size_t)len, NULL) == 0);
	fuzz_check(memcmp(&tail, &again, sizeof(tail)) == 0);
	return 0;
}

static void fuzz_seeds(void)
{
	static struct embedded_tail tail = {
		.xstate_len = XSTATE_LEGACY_LEN, .tick = 7, .console_len = 5, .console = "hello"};
	static uint8_t out[STATE_TAIL_MAX];
	ssize_t len = embedded_tail_encode(&tail, out, sizeof(out));

	fuzz_check(len > 0);
	fuzz_seed(out, (size_t)len);
	tail.xstate[XSTATE_BV_OFFSET] = XSTATE_X87_SSE;
	tail.xstate_len = XSTATE_LEGACY_LEN + 256;
	tail.console_len = 0;
	len = embedded_tail_encode(&tail, out, sizeof(out));
	fuzz_check(len > 0);
	fuzz_seed(out, (size_t)len);
}
