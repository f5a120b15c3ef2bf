/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * findings: what stands in the way of something, all of it at once, each with its fix.
 *
 * A check adds what it finds and goes on; who asked decides afterwards. The list is bounded: when
 * it is full, a blocker takes the place of the last lesser finding, and anything else is counted
 * and dropped, so that the verdict never changes for want of room.
 */
#ifndef BASE_FINDINGS_H
#define BASE_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define FINDINGS_MAX	 48
#define FINDING_CODE_LEN 24 /* with its NUL */
#define FINDING_HOST_LEN 64 /* with its NUL, as a host's name in the configuration */

enum finding_severity {
	FINDING_BLOCKER = 1, /* it cannot work: nothing overrides it */
	FINDING_RISK,	     /* it may harm the guest: stops, unless the user insists (--force) */
	FINDING_WARNING,     /* to be known: stops nothing */
	FINDING_SEVERITY_END
};

struct finding {
	enum finding_severity severity;
	char code[FINDING_CODE_LEN]; /* what kind, for programs: lower-case letters and '-' */
	char host[FINDING_HOST_LEN]; /* where; set by findings_merge(), "" before that */
	char what[ERROR_TEXT_LEN];   /* one sentence without its full stop */
	char fix[ERROR_TEXT_LEN];    /* an imperative sentence, never "" */
};

/* All zero is an empty list. 50 KiB: not for deep stacks. */
struct findings {
	unsigned nr;
	unsigned dropped;
	unsigned last; /* 1 + the index that findings_fix() would change, 0 = none */
	struct finding list[FINDINGS_MAX];
};

/* Add one. `fix` is a plain string; NULL or "" becomes a sentence that sends the user to the log.
 */
void findings_add(struct findings *f, enum finding_severity severity, const char *code,
	const char *fix, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* The fix of the finding added last, when it needs arguments. */
void findings_fix(struct findings *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A failure as a finding: its sentence and its fix. */
void findings_add_error(struct findings *f, enum finding_severity severity, const char *code,
	const struct error *err);

/*
 * Append `from`, as found on `host`, but not what another host has found in the same words: both
 * may look at the same thing. A host's network is its own: what begins with "network-" stays.
 */
void findings_merge(struct findings *f, const struct findings *from, const char *host);

/* Take out those with this code: they do not matter in this case. */
void findings_drop(struct findings *f, const char *code);

/* Blockers first, then risks; otherwise as they were added. */
void findings_sort(struct findings *f);

unsigned findings_count(const struct findings *f, enum finding_severity severity);

/* The worst finding that stops (a risk does not when `force`), or NULL: nothing does. */
const struct finding *findings_stop(const struct findings *f, bool force);

/*
 * For those who only want to know whether it works: 0 when there is no blocker, else `rc` (a
 * negative errno) with the first blocker's sentence and fix in `err`, which may be NULL.
 */
int findings_error(const struct findings *f, int rc, struct error *err);

const char *finding_severity_name(enum finding_severity severity);

#endif
