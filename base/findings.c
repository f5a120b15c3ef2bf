/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

static const char no_fix[] = "Look at lifeboatd's log on that host";

/* Where the next one goes, or NULL when it must be dropped. */
static struct finding *place(struct findings *f, enum finding_severity severity)
{
	if (f->nr < FINDINGS_MAX)
		return &f->list[f->nr++];
	f->dropped++;
	for (unsigned i = f->nr; severity == FINDING_BLOCKER && i-- > 0;)
		if (f->list[i].severity != FINDING_BLOCKER)
			return &f->list[i];
	return NULL;
}

static void add(struct findings *f, enum finding_severity severity, const char *code,
	const char *fix, const char *what)
{
	struct finding *one = place(f, severity);

	f->last = one ? (unsigned)(one - f->list) + 1 : 0;
	if (!one) {
		log_warn("one finding too many: %s", what);
		return;
	}
	*one = (struct finding){.severity = severity};
	snprintf(one->code, sizeof(one->code), "%s", code);
	snprintf(one->what, sizeof(one->what), "%s", what);
	snprintf(one->fix, sizeof(one->fix), "%s", fix && fix[0] ? fix : no_fix);
}

void findings_add(struct findings *f, enum finding_severity severity, const char *code,
	const char *fix, const char *fmt, ...)
{
	char what[ERROR_TEXT_LEN];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	add(f, severity, code, fix, what);
}

void findings_fix(struct findings *f, const char *fmt, ...)
{
	va_list ap;

	if (!f->last)
		return;
	va_start(ap, fmt);
	vsnprintf(f->list[f->last - 1].fix, ERROR_TEXT_LEN, fmt, ap);
	va_end(ap);
}

void findings_add_error(struct findings *f, enum finding_severity severity, const char *code,
	const struct error *err)
{
	add(f, severity, code, err->fix, err->what);
}

static bool is_known(const struct findings *f, unsigned nr, const struct finding *one)
{
	for (unsigned i = 0; i < nr && strncmp(one->code, "network-", 8) != 0; i++)
		if (strcmp(f->list[i].code, one->code) == 0 &&
			strcmp(f->list[i].what, one->what) == 0)
			return true;
	return false;
}

void findings_merge(struct findings *f, const struct findings *from, const char *host)
{
	unsigned before = f->nr;

	f->dropped += from->dropped;
	for (unsigned i = 0; i < from->nr; i++) {
		const struct finding *one = &from->list[i];

		if (is_known(f, before, one))
			continue;
		add(f, one->severity, one->code, one->fix, one->what);
		if (f->last)
			snprintf(f->list[f->last - 1].host, FINDING_HOST_LEN, "%s", host);
	}
}

/* By insertion: equals keep their order, and there are never many. */
void findings_drop(struct findings *f, const char *code)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < f->nr; i++)
		if (strcmp(f->list[i].code, code) != 0)
			f->list[kept++] = f->list[i];
	f->nr = kept;
	f->last = 0;
}

void findings_sort(struct findings *f)
{
	for (unsigned i = 1; i < f->nr; i++) {
		struct finding one = f->list[i];
		unsigned at = i;

		for (; at > 0 && f->list[at - 1].severity > one.severity; at--)
			f->list[at] = f->list[at - 1];
		f->list[at] = one;
	}
	f->last = 0;
}

unsigned findings_count(const struct findings *f, enum finding_severity severity)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < f->nr; i++)
		nr += f->list[i].severity == severity;
	return nr;
}

const struct finding *findings_stop(const struct findings *f, bool force)
{
	const struct finding *worst = NULL;

	for (unsigned i = 0; i < f->nr; i++)
		if (!worst || f->list[i].severity < worst->severity)
			worst = &f->list[i];
	if (!worst || worst->severity > (force ? FINDING_BLOCKER : FINDING_RISK))
		return NULL;
	return worst;
}

int findings_error(const struct findings *f, int rc, struct error *err)
{
	const struct finding *blocker = findings_stop(f, true);

	return blocker ? error_set(err, rc, blocker->fix, "%s", blocker->what) : 0;
}

const char *finding_severity_name(enum finding_severity severity)
{
	static const char *const names[FINDING_SEVERITY_END] = {
		[FINDING_BLOCKER] = "blocker",
		[FINDING_RISK] = "risk",
		[FINDING_WARNING] = "warning",
	};

	return severity > 0 && severity < FINDING_SEVERITY_END ? names[severity] : "unknown";
}
