/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test: what every unit test needs. Include it first. */
#ifndef TESTS_UNIT_TEST_H
#define TESTS_UNIT_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* xorshift64*: the same sequence on every machine, so that a failure can be seen again. */
struct test_random {
	uint64_t state;
};

#define TEST_RANDOM(seed) ((struct test_random){UINT64_C(0x9e3779b97f4a7c15) ^ (seed)})

static inline uint64_t test_random_next(struct test_random *r)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return r->state * UINT64_C(0x2545f4914f6cdd1d);
}

/* 0 .. below-1 */
static inline uint32_t test_random_below(struct test_random *r, uint32_t below)
{
	return (uint32_t)((test_random_next(r) >> 32) % below);
}

static inline void test_random_fill(struct test_random *r, void *buf, size_t len)
{
	uint8_t *p = buf;

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(test_random_next(r) >> 56);
}

static inline bool test_all(const uint8_t *p, size_t len, uint8_t value)
{
	while (len--)
		if (p[len] != value)
			return false;
	return true;
}

/* A copy that ends where the data ends, so that AddressSanitizer sees one byte too many. */
static inline void *test_exact_copy(const void *data, size_t len)
{
	void *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	if (len)
		memcpy(copy, data, len);
	return copy;
}

/* A fresh directory; test_tmp_remove() takes it away with the plain files in it. */
static inline char *test_tmp_make(void)
{
	const char *base = getenv("TMPDIR");
	char *path = malloc(256);

	if (!path || snprintf(path, 256, "%.200s/lifeboat-test.XXXXXX", base ? base : "/tmp") < 0 ||
		!mkdtemp(path))
		abort();
	return path;
}

static inline void test_tmp_remove(char *path)
{
	char name[1024];
	DIR *dir = opendir(path);

	for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (unlink(name) < 0)
			rmdir(name);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
	free(path);
}

/* Descriptors that this process has open. */
static inline unsigned test_open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned nr = 0;

	while (dir && readdir(dir))
		nr++;
	if (dir)
		closedir(dir);
	return nr;
}

#endif
