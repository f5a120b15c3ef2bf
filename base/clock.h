/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clock: monotonic time only. A deadline is an absolute clock_ms() value; DEADLINE_NEVER waits for
 * ever. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define DEADLINE_NEVER INT64_MAX

int64_t clock_ns(void);
int64_t clock_ms(void);

/* The deadline `ms` from now. */
int64_t deadline_in(int64_t ms);

/* Milliseconds left for poll(2): 0 when past, -1 for DEADLINE_NEVER, never more than INT_MAX. */
int deadline_poll_ms(int64_t deadline);

/* Wait, where nothing outside tells when it is time to look again. Nowhere else. */
void clock_pause(int ms);

#endif
