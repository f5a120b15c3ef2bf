/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/clock.h"

#include <limits.h>
#include <poll.h>
#include <time.h>

int64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_ms(void)
{
	return clock_ns() / 1000000;
}

int64_t deadline_in(int64_t ms)
{
	return clock_ms() + ms;
}

int deadline_poll_ms(int64_t deadline)
{
	int64_t left;

	if (deadline == DEADLINE_NEVER)
		return -1;
	left = deadline - clock_ms();
	if (left < 0)
		return 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}

void clock_pause(int ms)
{
	poll(NULL, 0, ms);
}
