/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/migrate_view.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "migrate/migrate.h"

#define PLAIN_EVERY_MS 2000 /* between progress lines when stdout is no terminal */

static const char *text(const json_t *event, const char *key)
{
	const char *s = json_string_value(json_object_get(event, key));

	return s ? s : "";
}

static long long number(const json_t *event, const char *key)
{
	return (long long)json_number_value(json_object_get(event, key));
}

void migrate_view_end_line(struct migrate_view *v)
{
	if (v->line_open)
		fputs("\n", stdout);
	v->line_open = false;
}

/* On a terminal one line that is rewritten; otherwise a line a phase, a round, or two seconds. */
static void show_progress(struct migrate_view *v, const json_t *event)
{
	const char *phase = text(event, "phase");
	int round = (int)number(event, "round");
	const json_t *eta = json_object_get(event, "eta_ms");
	char ends[32] = "unknown";
	bool due = strcmp(phase, v->last_phase) != 0 || round != v->last_round ||
		   clock_ms() - v->last_plain >= PLAIN_EVERY_MS;

	if (v->quiet || v->json || (!v->terminal && !due))
		return;
	snprintf(v->last_phase, sizeof(v->last_phase), "%s", phase);
	v->last_round = round;
	v->last_plain = clock_ms();
	if (json_is_integer(eta))
		snprintf(ends, sizeof(ends), "%.1f s", (double)json_integer_value(eta) / 1000);
	printf("%s%s: %s, round %d, %lld pages left, %.1f MB/s, dirty %lld pages/s, ETA %s%s",
		v->terminal ? "\r" : "", v->domain, phase, round, number(event, "pages_left"),
		json_number_value(json_object_get(event, "mb_per_s")),
		number(event, "dirty_pages_per_s"), ends, v->terminal ? "\033[K" : "\n");
	v->line_open = v->terminal;
	fflush(stdout);
}

/* Of a domain with vifs: is it reached where it is now? */
static void show_place(const json_t *place)
{
	const json_t *a;
	size_t i;

	if (!json_is_object(place))
		return;
	if (json_is_integer(json_object_get(place, "reachable_ms")))
		printf("  network    reachable after %lld ms, its port forwarding after %lld: %s\n",
			number(place, "reachable_ms"), number(place, "forwarding_ms"),
			text(place, "what"));
	else
		printf("  network    announced, but not known to be reachable: %s\n",
			text(place, "what"));
	json_array_foreach(json_object_get(place, "addresses"), i, a)
	{
		printf("             vif %lld: %s, from %s\n", number(a, "vif"), text(a, "address"),
			text(a, "from"));
	}
}

static void show_summary(struct migrate_view *v, const json_t *event)
{
	const json_t *pause = json_object_get(event, "pause");
	const json_t *verify = json_object_get(event, "verify");

	migrate_view_end_line(v);
	printf("%s runs on %s\n", text(event, "domain"), text(event, "to"));
	printf("  total      %.2f s\n", (double)number(event, "total_ms") / 1000);
	printf("  downtime   %lld ms (suspend %lld, last round %lld, build %lld, commit %lld, activate %lld)\n",
		number(event, "downtime_ms"), number(pause, "suspend_ms"),
		number(pause, "last_round_ms"), number(pause, "build_ms"),
		number(pause, "commit_ms"), number(pause, "activate_ms"));
	printf("  rounds     %lld, %lld pages\n", number(event, "rounds"),
		number(event, "pages_sent"));
	printf("  memory     %.1f MiB\n", (double)number(event, "memory_bytes") / 1048576);
	printf("  wire       %.1f MiB, %s", (double)number(event, "wire_bytes") / 1048576,
		text(event, "cipher"));
	if (number(event, "streams") > 1)
		printf(", %lld streams", number(event, "streams"));
	puts("");
	if (number(event, "rejoins"))
		printf("  link       lost and replaced %lld times\n", number(event, "rejoins"));
	printf("  verified   %lld pages, in %.1f ms here and %.1f ms there\n",
		number(verify, "pages"), json_number_value(json_object_get(verify, "source_ms")),
		json_number_value(json_object_get(verify, "destination_ms")));
	show_place(json_object_get(event, "network"));
}

/* What the user must know while it goes on, even with --quiet. */
static void show_notice(struct migrate_view *v, const json_t *event)
{
	migrate_view_end_line(v);
	fprintf(stderr, "migrate: %s: %s\n", v->domain, text(event, "text"));
}

static int show_error(struct migrate_view *v, const json_t *event)
{
	struct error err = {.rc = -EIO};

	if (v->found.stopped)
		return 1; /* the findings said it */
	migrate_view_end_line(v);
	snprintf(err.what, sizeof(err.what), "%s", text(event, "what"));
	snprintf(err.fix, sizeof(err.fix), "%s", text(event, "fix"));
	error_print("migrate", &err);
	return 1;
}

int migrate_view_show(struct migrate_view *v, json_t *event)
{
	const char *kind = text(event, "event");
	bool summary = strcmp(kind, "summary") == 0, result = strcmp(kind, "result") == 0;
	bool error = strcmp(kind, "error") == 0, estimate = strcmp(kind, "estimate") == 0;

	if (migrate_check_take(&v->found, event)) {
		bool later = v->check || (v->estimate && v->found.stopped);

		if (strcmp(kind, "preflight") == 0 && !later && !v->json)
			migrate_check_warn(&v->found, v->domain);
		return -1;
	}
	result |= estimate;
	if (v->json && (summary || result || error)) {
		if (!error || v->found.stopped)
			migrate_check_join(&v->found, event);
		json_dumpf(event, stdout, JSON_INDENT(2));
		fputs("\n", stdout);
	} else if (summary) {
		show_summary(v, event);
	} else if (estimate) {
		migrate_estimate_show(event);
	} else if (result) {
		migrate_check_report(&v->found, v->domain, v->host, v->force);
	} else if (strcmp(kind, "notice") == 0) {
		show_notice(v, event);
	} else if (!error) {
		show_progress(v, event);
	}
	if (error)
		return v->json ? 1 : show_error(v, event);
	return result && v->found.stopped ? 1 : summary || result ? 0 : -1;
}
