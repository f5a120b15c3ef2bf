/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 'migrate --estimate', for people. */
#include <stdio.h>
#include <string.h>

#include "migrate/migrate.h"

static double number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

static bool is_set(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static void show_verdict(const json_t *e)
{
	double percent = number(e, "cpu_percent");

	if (is_set(e, "converges"))
		printf("  It converges: the pause stays below its target.\n");
	else if (strcmp(text(e, "end"), "moves") != 0)
		printf("  It does not converge: the move would be called off, and %s run on here.\n",
			text(e, "domain"));
	else if (percent < 100)
		printf("  It does not converge unless it is slowed, to %.0f %% of its CPU.\n",
			percent);
	else
		printf("  It does not converge: it would be suspended all the same.\n");
}

/* What would make it converge; some of it may be out of reach. */
static void show_help(const json_t *help)
{
	double ms = number(help, "max_downtime_ms"), bytes = number(help, "bytes_per_s");
	double percent = number(help, "cpu_percent");

	if (ms > 0)
		printf("  It would with a target of %.0f ms (--max-downtime %.0f).\n", ms, ms);
	if (bytes > 0)
		printf("  It would with a link and hosts that take %.0f MB/s.\n", bytes / 1e6);
	if (percent > 0)
		printf("  It would with %.0f %% of its CPU (--on-no-converge throttle).\n",
			percent);
}

void migrate_estimate_show(const json_t *e)
{
	const json_t *link = json_object_get(e, "link");

	printf("%s to %s, an estimate; nothing was changed\n", text(e, "domain"), text(e, "to"));
	printf("  total      %.2f s\n", number(e, "total_ms") / 1000);
	printf("  downtime   %.0f ms, target %.0f ms; %.0f ms of it before any page%s\n",
		number(e, "downtime_ms"), number(e, "max_downtime_ms"), number(e, "fixed_ms"),
		is_set(e, "fixed_measured") ? "" : ", a guess until a move there has shown it");
	printf("  rounds     %.0f, %.0f pages in the first\n", number(e, "rounds"),
		number(e, "pages"));
	printf("  wire       %.1f MiB\n", number(e, "wire_bytes") / 1048576);
	printf("  guest      dirties %.0f pages in a second\n", number(e, "dirty_pages_per_s"));
	printf("  link       takes %.0f pages a second, %.1f MB/s, %.0f bytes a page, %.0f ms there and back\n",
		number(link, "pages_per_s"), number(link, "bytes_per_s") / 1e6,
		number(link, "bytes_per_page"), number(link, "rtt_ms"));
	show_verdict(e);
	if (!is_set(e, "converges"))
		show_help(json_object_get(e, "help"));
}
