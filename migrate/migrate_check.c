/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/migrate_check.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const char *text(const json_t *event, const char *key)
{
	const char *s = json_string_value(json_object_get(event, key));

	return s ? s : "";
}

void migrate_check_dispose(struct migrate_check *c)
{
	json_decref(c->list);
	*c = (struct migrate_check){0};
}

static void count(struct migrate_check *c, const char *severity)
{
	c->blockers += strcmp(severity, "blocker") == 0;
	c->risks += strcmp(severity, "risk") == 0;
	c->warnings += strcmp(severity, "warning") == 0;
}

bool migrate_check_take(struct migrate_check *c, const json_t *event)
{
	json_t *copy;

	if (strcmp(text(event, "event"), "preflight") == 0) {
		c->stopped = !json_is_true(json_object_get(event, "can_move"));
		return true;
	}
	if (strcmp(text(event, "event"), "finding") != 0)
		return false;
	if (!c->list)
		c->list = json_array();
	copy = json_copy((json_t *)(uintptr_t)event);
	json_object_del(copy, "event");
	count(c, text(copy, "severity"));
	json_array_append_new(c->list, copy);
	return true;
}

void migrate_check_join(const struct migrate_check *c, json_t *event)
{
	json_object_set_new(event, "findings", c->list ? json_incref(c->list) : json_array());
}

/* "2 blockers, 1 warning", or "". */
static const char *sum(const struct migrate_check *c, char *out, size_t size)
{
	const struct {
		unsigned nr;
		const char *what;
	} parts[] = {{c->blockers, "blocker"}, {c->risks, "risk"}, {c->warnings, "warning"}};
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (parts[i].nr && len < size)
			len += (size_t)snprintf(out + len, size - len, "%s%u %s%s", len ? ", " : "",
				parts[i].nr, parts[i].what, parts[i].nr > 1 ? "s" : "");
	return out;
}

void migrate_check_report(
	const struct migrate_check *c, const char *domain, const char *host, bool force)
{
	const char *verdict = "can move to", *how = "";
	const json_t *one;
	char total[96];
	size_t i;

	json_array_foreach(c->list, i, one) printf("%s: %s: %s.\n  %s.\n", text(one, "severity"),
		text(one, "host"), text(one, "what"), text(one, "fix"));
	if (c->blockers)
		verdict = "cannot move to";
	else if (c->risks)
		how = force ? " with --force" : " with --force only";
	sum(c, total, sizeof(total));
	printf("%s %s %s%s%s%s; nothing was changed\n", domain, verdict, host, how,
		total[0] ? ": " : "", total);
}

/* A blocker looks as any other error does. */
static void warn(const json_t *one)
{
	const char *severity = text(one, "severity");
	bool plain = strcmp(severity, "blocker") == 0;

	fprintf(stderr, "migrate: %s%s%s: %s.\n  %s.\n", plain ? "" : severity, plain ? "" : ": ",
		text(one, "host"), text(one, "what"), text(one, "fix"));
}

void migrate_check_warn(const struct migrate_check *c, const char *domain)
{
	const json_t *one;
	char total[96];
	size_t i;

	json_array_foreach(c->list, i, one) warn(one);
	if (c->stopped && (!c->blockers || json_array_size(c->list) > 1))
		fprintf(stderr, "migrate: %s was not moved: %s%s\n", domain,
			sum(c, total, sizeof(total)),
			c->blockers ? "" : "; --force moves it all the same");
}
