/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rate: a data rate as people write it. Bytes as rsync counts them (K, M, G = 1024, 1024^2, 1024^3;
 * KB, MB, GB = 1000s), bits as tc does (kbit, mbit, gbit = 1000s); a fraction is fine; upper and
 * lower case are alike. A number without a unit is refused: rsync takes it for KiB, tc for bits.
 */
#ifndef BASE_RATE_H
#define BASE_RATE_H

#include <stdint.h>

#include "base/io.h"

/* Below this a move does not end, and hears a word to stop only after many seconds. */
#define RATE_MIN (128u << 10)
#define RATE_MAX (UINT64_C(1) << 40)

/* What a rate must look like, for messages. */
#define RATE_SYNTAX                                                                                \
	"a rate of 128K to 1024G a second, as 100M (MiB), 100MB or 800mbit, or 0 for none"

/* Bytes a second, 0 for "0" (no limit). 0, -EINVAL or -ERANGE. */
int rate_parse(const char *text, uint64_t *bytes_per_s) WARN_UNUSED;

#endif
