/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *log_program = "lifeboat";
static enum log_level log_limit = LOG_LEVEL_INFO;
static bool log_journal;

static const struct {
	const char *name;
	enum log_level level;
} log_names[] = {
	{"error", LOG_LEVEL_ERROR},
	{"warning", LOG_LEVEL_WARNING},
	{"info", LOG_LEVEL_INFO},
	{"debug", LOG_LEVEL_DEBUG},
};

void log_init(const char *program)
{
	const char *limit = getenv("LIFEBOAT_LOG");

	log_program = program;
	log_journal = getenv("JOURNAL_STREAM") && !isatty(STDERR_FILENO);
	for (size_t i = 0; limit && i < sizeof(log_names) / sizeof(log_names[0]); i++)
		if (strcmp(limit, log_names[i].name) == 0)
			log_limit = log_names[i].level;
}

/* A peer's or a guest's text must not forge log lines. */
static void make_printable(char *p)
{
	for (; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
}

/* One write(2) a line: lines of several processes do not mix, and stdio's own calls are not needed.
 */
void log_at(enum log_level level, const char *fmt, ...)
{
	int saved_errno = errno;
	char text[1024], line[1200];
	ssize_t written;
	va_list ap;
	int len;

	if (level > log_limit)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	make_printable(text);
	if (log_journal)
		len = snprintf(line, sizeof(line), "<%d>%s: %s\n", (int)level, log_program, text);
	else
		len = snprintf(line, sizeof(line), "%s: %s\n", log_program, text);
	written = write(STDERR_FILENO, line, (size_t)len);
	(void)written; /* nowhere to complain to */
	errno = saved_errno;
}
