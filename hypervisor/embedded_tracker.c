/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/embedded_tracker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hypervisor/guest/guest.h"

#define HASH_LEN crypto_shorthash_siphashx24_BYTES
#define REGIONS	 1024

_Static_assert(HASH_LEN == 16, "a 128-bit hash");

/* Linux 6.7's <linux/fs.h> and <linux/userfaultfd.h>, which Debian 12 does not have yet. */
#ifndef PAGEMAP_SCAN
#define PAGE_IS_WRITTEN	      (1 << 1)
#define PM_SCAN_WP_MATCHING   (1 << 0)
#define PM_SCAN_CHECK_WPASYNC (1 << 1)

struct page_region {
	uint64_t start, end, categories;
};

struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted,
		category_mask, category_anyof_mask, return_mask;
};

#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#endif
#define FEATURE_WP_HUGETLBFS_SHMEM (1u << 12)
#define FEATURE_WP_UNPOPULATED	   (1u << 13)
#define FEATURE_WP_ASYNC	   (1u << 15)

static size_t bitmap_bytes(uint64_t nr_pages)
{
	return (size_t)((nr_pages + 63) / 64 * 8);
}

/* Set pages [from, to); the number of those that were not set. */
static void mark(struct tracker *t, uint64_t from, uint64_t to)
{
	if (to > t->nr_pages)
		to = t->nr_pages;
	for (uint64_t pfn = from; pfn < to; pfn++)
		t->dirty[pfn / 64] |= UINT64_C(1) << (pfn % 64);
}

static uint64_t count(const struct tracker *t)
{
	uint64_t nr = 0;

	for (size_t i = 0; i < bitmap_bytes(t->nr_pages) / 8; i++)
		nr += (uint64_t)__builtin_popcountll(t->dirty[i]);
	return nr;
}

/*
 * What was written since the last scan that cleared; with PM_SCAN_WP_MATCHING this one does, and
 * protects again in the same step.
 */
static int pagemap_scan(struct tracker *t, uint64_t clear)
{
	static struct page_region regions[REGIONS];
	struct pm_scan_arg arg = {.size = sizeof(arg),
		.flags = clear | PM_SCAN_CHECK_WPASYNC,
		.start = GUEST_BASE,
		.end = GUEST_BASE + t->nr_pages * PAGE_BYTES,
		.vec = (uintptr_t)regions,
		.vec_len = REGIONS,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN};

	while (arg.start < arg.end) {
		int nr = ioctl(t->pagemap_fd, PAGEMAP_SCAN, &arg);

		if (nr < 0 && errno == EINTR)
			continue;
		if (nr < 0)
			return -errno;
		for (int i = 0; i < nr; i++)
			mark(t, (regions[i].start - GUEST_BASE) / PAGE_BYTES,
				(regions[i].end - GUEST_BASE) / PAGE_BYTES);
		if (arg.walk_end <= arg.start)
			return -EIO;
		arg.start = arg.walk_end;
	}
	return 0;
}

static void take_written(struct tracker *t)
{
	for (size_t i = 0; i < bitmap_bytes(t->nr_pages) / 8; i++)
		if (__atomic_load_n(&t->written[i], __ATOMIC_RELAXED))
			t->dirty[i] |= __atomic_exchange_n(&t->written[i], 0, __ATOMIC_ACQ_REL);
}

/* Mark every page that the memfd really holds. */
static int mark_populated(struct tracker *t)
{
	off_t end = (off_t)(t->nr_pages * PAGE_BYTES), at = 0;

	while (at < end) {
		off_t data = lseek(t->memory_fd, at, SEEK_DATA), hole;

		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		hole = lseek(t->memory_fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		mark(t, (uint64_t)data / PAGE_BYTES,
			((uint64_t)hole + PAGE_BYTES - 1) / PAGE_BYTES);
		at = hole;
	}
	return 0;
}

static void hash_page(const struct tracker *t, const uint8_t *page, uint8_t *hash)
{
	crypto_shorthash_siphashx24(hash, page, PAGE_BYTES, t->key);
}

/* Of 64 pages drop those that still are what was sent. */
static int compare_word(struct tracker *t, uint64_t first)
{
	uint8_t now[HASH_LEN];
	uint64_t nr = t->nr_pages - first < 64 ? t->nr_pages - first : 64;
	int rc = tracker_read(t, first, nr, t->buffer);

	for (uint64_t i = 0; i < nr && !rc; i++) {
		if (!tracker_is_dirty(t, first + i))
			continue;
		hash_page(t, t->buffer + i * PAGE_BYTES, now);
		if (memcmp(now, t->hash + (first + i) * HASH_LEN, HASH_LEN) == 0)
			t->dirty[first / 64] &= ~(UINT64_C(1) << i);
	}
	return rc;
}

static int compare(struct tracker *t)
{
	int rc = 0;

	for (uint64_t pfn = 0; pfn < t->nr_pages && !rc; pfn += 64)
		if (t->dirty[pfn / 64])
			rc = compare_word(t, pfn);
	return rc;
}

static int fail(struct error *err, int rc)
{
	return error_sys(err, rc, "Set dirty_tracking = compare in the configuration",
		"cannot find the domain's dirty pages");
}

int tracker_read(const struct tracker *t, uint64_t pfn, uint64_t nr, uint8_t *out)
{
	size_t len = (size_t)nr * PAGE_BYTES;
	ssize_t n = pread(t->memory_fd, out, len, (off_t)(pfn * PAGE_BYTES));

	if (n < 0)
		return -errno;
	return n == (ssize_t)len ? 0 : -EIO;
}

int tracker_first(struct tracker *t, uint64_t *nr, struct error *err)
{
	int rc = 0;

	/* Protect everything first: a page populated from here on is seen by the next harvest. */
	if (t->pagemap_fd >= 0)
		rc = pagemap_scan(t, PM_SCAN_WP_MATCHING);
	memset(t->dirty, 0, bitmap_bytes(t->nr_pages));
	if (!rc)
		rc = mark_populated(t);
	if (rc)
		return fail(err, rc);
	*nr = count(t);
	return 0;
}

int tracker_harvest(struct tracker *t, uint64_t *nr, struct error *err)
{
	int rc;

	memset(t->dirty, 0, bitmap_bytes(t->nr_pages));
	if (t->pagemap_fd >= 0) {
		rc = pagemap_scan(t, PM_SCAN_WP_MATCHING);
		take_written(t);
	} else {
		rc = mark_populated(t);
		if (!rc)
			rc = compare(t);
	}
	if (rc)
		return fail(err, rc);
	*nr = count(t);
	return 0;
}

int tracker_peek(struct tracker *t, uint64_t *nr, struct error *err)
{
	int rc;

	if (t->pagemap_fd < 0)
		return tracker_harvest(t, nr, err); /* which clears by tracker_sent() only */
	memset(t->dirty, 0, bitmap_bytes(t->nr_pages));
	rc = pagemap_scan(t, 0);
	for (size_t i = 0; i < bitmap_bytes(t->nr_pages) / 8; i++)
		t->dirty[i] |= __atomic_load_n(&t->written[i], __ATOMIC_RELAXED);
	if (rc)
		return fail(err, rc);
	*nr = count(t);
	return 0;
}

void tracker_sent(struct tracker *t, uint64_t pfn, const uint8_t *copy)
{
	if (t->hash)
		hash_page(t, copy, t->hash + pfn * HASH_LEN);
}

static int init_compare(struct tracker *t)
{
	static const uint8_t zero[PAGE_BYTES];

	if (sodium_init() < 0)
		return -EIO;
	t->hash = malloc(t->nr_pages * HASH_LEN);
	t->buffer = malloc((size_t)64 * PAGE_BYTES);
	if (!t->hash || !t->buffer)
		return -ENOMEM;
	randombytes_buf(t->key, sizeof(t->key));
	hash_page(t, zero, t->zero_hash);
	/* What was never sent is zero there. */
	for (uint64_t pfn = 0; pfn < t->nr_pages; pfn++)
		memcpy(t->hash + pfn * HASH_LEN, t->zero_hash, HASH_LEN);
	return 0;
}

static int map_written(struct tracker *t, int fd)
{
	void *p = mmap(NULL, bitmap_bytes(t->nr_pages), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	t->written = p;
	return 0;
}

int tracker_init(struct tracker *t, int memory_fd, uint64_t nr_pages, int pagemap_fd,
	int written_fd, struct error *err)
{
	int rc = 0;

	*t = (struct tracker){
		.memory_fd = memory_fd, .nr_pages = nr_pages, .pagemap_fd = pagemap_fd};
	t->dirty = calloc(1, bitmap_bytes(nr_pages));
	if (!t->dirty)
		rc = -ENOMEM;
	else if (pagemap_fd < 0)
		rc = init_compare(t);
	else
		rc = map_written(t, written_fd);
	if (!rc)
		return 0;
	tracker_dispose(t);
	return error_sys(err, rc, NULL, "cannot follow the domain's dirty pages");
}

void tracker_dispose(struct tracker *t)
{
	if (t->written)
		munmap(t->written, bitmap_bytes(t->nr_pages));
	free(t->dirty);
	free(t->hash);
	free(t->buffer);
	t->buffer = NULL;
	t->written = NULL;
	t->dirty = NULL;
	t->hash = NULL;
}

int tracker_pagemap_check(int pagemap_fd, uint64_t address)
{
	struct page_region region;
	struct pm_scan_arg arg = {.size = sizeof(arg),
		.start = address,
		.end = address + PAGE_BYTES,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN};

	return ioctl(pagemap_fd, PAGEMAP_SCAN, &arg) < 0 ? -errno : 0;
}

int tracker_uffd_api(int uffd)
{
	struct uffdio_api api = {.api = UFFD_API,
		.features = FEATURE_WP_ASYNC | FEATURE_WP_UNPOPULATED | FEATURE_WP_HUGETLBFS_SHMEM};

	return ioctl(uffd, UFFDIO_API, &api) < 0 ? -errno : 0;
}

void tracker_host(char *reason, size_t size)
{
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | 1 /* USER_MODE_ONLY */);
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), rc;

	reason[0] = '\0';
	rc = uffd < 0 ? -errno : tracker_uffd_api(uffd);
	if (rc) {
		snprintf(reason, size, "userfaultfd with asynchronous write-protect: %s",
			strerror(-rc));
	} else {
		rc = pagemap < 0 ? -ENOENT
				 : tracker_pagemap_check(pagemap,
					   (uintptr_t)&tracker_host & ~(uintptr_t)(PAGE_BYTES - 1));
		if (rc)
			snprintf(reason, size, "PAGEMAP_SCAN (Linux 6.7): %s", strerror(-rc));
	}
	fd_close(&uffd);
	fd_close(&pagemap);
}
