/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * error: why something failed, in one sentence, and what the user can do about it.
 *
 * A function that can fail for a reason the user must read takes a `struct error *` as its
 * last argument, fills it on failure, and returns the same negative errno.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#define ERROR_TEXT_LEN 512

struct error {
	int rc;			   /* negative errno, 0 while unset */
	char what[ERROR_TEXT_LEN]; /* one sentence without its full stop */
	char fix[ERROR_TEXT_LEN];  /* an imperative sentence, or "" when there is nothing to do */
};

#define ERROR_INIT ((struct error){0})

/*
 * Fill `err` (which may be NULL) and return `rc`. `fix` is a plain string or NULL.
 * The first error set wins: later ones on the way out are only logged at debug level.
 */
int error_set(struct error *err, int rc, const char *fix, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* As error_set with ": strerror(-rc)" appended to the sentence. */
int error_sys(struct error *err, int rc, const char *fix, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Replace or add the fix of an error that is already set. */
void error_fix(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Put "prefix: " before the sentence of an error that is set; used to say which side failed. */
void error_prefix(struct error *err, const char *prefix);

/* Print "PROGRAM: what.\n  fix.\n" to stderr. */
void error_print(const char *program, const struct error *err);

#endif
