/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log: one line an event on stderr, which systemd's journal collects. Levels are the
 * journal's: with LIFEBOAT_LOG=debug|info|warning|error (default info) the rest is dropped.
 * Lines carry "<N>" priority prefixes only when stderr is not a terminal and JOURNAL_STREAM is set.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7
};

/* `program` is kept, not copied; it starts every line. */
void log_init(const char *program);
void log_at(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)  log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
