/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

static void set(struct error *err, int rc, const char *fix, const char *what)
{
	if (!err)
		return;
	if (err->rc) {
		log_debug("after that: %s", what);
		return;
	}
	err->rc = rc;
	snprintf(err->what, sizeof(err->what), "%s", what);
	snprintf(err->fix, sizeof(err->fix), "%s", fix ? fix : "");
}

int error_set(struct error *err, int rc, const char *fix, const char *fmt, ...)
{
	char what[ERROR_TEXT_LEN];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	set(err, rc, fix, what);
	return rc;
}

int error_sys(struct error *err, int rc, const char *fix, const char *fmt, ...)
{
	char what[ERROR_TEXT_LEN];
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	len = strlen(what);
	snprintf(what + len, sizeof(what) - len, ": %s", strerror(-rc));
	set(err, rc, fix, what);
	return rc;
}

void error_fix(struct error *err, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return;
	va_start(ap, fmt);
	vsnprintf(err->fix, sizeof(err->fix), fmt, ap);
	va_end(ap);
}

void error_prefix(struct error *err, const char *prefix)
{
	char what[ERROR_TEXT_LEN];

	if (!err || !err->rc)
		return;
	memcpy(what, err->what, sizeof(what));
	what[ERROR_TEXT_LEN - 1] = '\0';
	/* A sentence that no longer fits is cut: the side that failed matters more than its end. */
	snprintf(err->what, sizeof(err->what), "%.64s: %.*s", prefix, (int)(ERROR_TEXT_LEN - 68),
		what);
}

void error_print(const char *program, const struct error *err)
{
	fprintf(stderr, "%s: %s.\n", program, err->what);
	if (err->fix[0])
		fprintf(stderr, "  %s.\n", err->fix);
}
