/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_log.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define KEPT_LEN 200

static struct {
	char first[KEPT_LEN], last[KEPT_LEN];
	enum log_level show;
} kept = {.show = LOG_LEVEL_DEBUG};

/* libxl starts its lines with "libxl_dom.c:123:some_function: ", which helps no user. */
static const char *without_place(const char *text)
{
	const char *colon = strstr(text, ".c:");
	const char *end;

	if (!colon || strcspn(text, " ") < (size_t)(colon - text))
		return text;
	end = strstr(colon, ": ");
	return end ? end + 2 : text;
}

static void keep(const char *text)
{
	const char *plain = without_place(text);

	if (!kept.first[0])
		snprintf(kept.first, sizeof(kept.first), "%.*s", KEPT_LEN - 1, plain);
	snprintf(kept.last, sizeof(kept.last), "%.*s", KEPT_LEN - 1, plain);
}

__attribute__((format(printf, 5, 0))) static void on_message(xentoollog_logger *logger,
	xentoollog_level level, int errnoval, const char *context, const char *format, va_list al)
{
	char text[512];
	size_t len;

	(void)logger;
	vsnprintf(text, sizeof(text), format, al);
	len = strlen(text);
	while (len && isspace((unsigned char)text[len - 1]))
		text[--len] = '\0';
	if (errnoval > 0)
		snprintf(text + len, sizeof(text) - len, ": %s", strerror(errnoval));
	if (level >= XTL_ERROR)
		keep(text);
	log_at(level >= XTL_WARN ? kept.show : LOG_LEVEL_DEBUG, "%s: %s", context ? context : "xen",
		text);
}

static void on_progress(xentoollog_logger *logger, const char *context, const char *doing_what,
	int percent, unsigned long done, unsigned long total)
{
	(void)logger;
	(void)context;
	(void)doing_what;
	(void)percent;
	(void)done;
	(void)total;
}

static void on_destroy(xentoollog_logger *logger)
{
	(void)logger;
}

static xentoollog_logger the_logger = {
	.vmessage = on_message, .progress = on_progress, .destroy = on_destroy};

xentoollog_logger *xen_log_logger(void)
{
	return &the_logger;
}

void xen_log_show(enum log_level level)
{
	kept.show = level;
}

void xen_log_clear(void)
{
	kept.first[0] = '\0';
	kept.last[0] = '\0';
}

void xen_log_reason(char *out, size_t size)
{
	bool one = strcmp(kept.first, kept.last) == 0;

	snprintf(out, size, "%s%s%s", kept.first, one ? "" : "; then ", one ? "" : kept.last);
}
