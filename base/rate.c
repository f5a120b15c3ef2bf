/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/rate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
	const char *name;
	double bytes;
} units[] = {
	{"K", 1024.0},
	{"M", 1048576.0},
	{"G", 1073741824.0},
	{"KiB", 1024.0},
	{"MiB", 1048576.0},
	{"GiB", 1073741824.0},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"kbit", 1e3 / 8},
	{"mbit", 1e6 / 8},
	{"gbit", 1e9 / 8},
};

int rate_parse(const char *text, uint64_t *bytes_per_s)
{
	double value;
	char *unit;

	*bytes_per_s = 0;
	if (strcmp(text, "0") == 0)
		return 0;
	/* strtod also knows "inf", "0x10" and "1e3"; none of them is how a rate is written. */
	value = strtod(text, &unit);
	if (unit == text || unit != text + strspn(text, "0123456789."))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcasecmp(unit, units[i].name) != 0)
			continue;
		value *= units[i].bytes;
		if (!(value >= (double)RATE_MIN && value <= (double)RATE_MAX))
			return -ERANGE;
		*bytes_per_s = (uint64_t)value;
		return 0;
	}
	return -EINVAL;
}
