/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * embedded_tracker: which pages of an embedded domain changed since they were last harvested.
 *
 * "pagemap" asks the kernel: asynchronous write-protection (userfaultfd) with PAGEMAP_SCAN reads
 * and clears in one step. Pages that the vmm itself wrote are in the shared bitmap `written`.
 * "compare" works anywhere: it knows a keyed hash of what was last sent of each page. It costs a
 * walk over all memory a harvest, the last one during the pause.
 */
#ifndef HYPERVISOR_EMBEDDED_TRACKER_H
#define HYPERVISOR_EMBEDDED_TRACKER_H

#include "hypervisor/hypervisor.h"

struct tracker {
	int memory_fd;
	uint64_t nr_pages;
	uint64_t *dirty; /* the last harvest, a bit a page */
	int pagemap_fd;	 /* "pagemap" only */
	uint64_t *written;
	uint8_t *hash; /* "compare" only, as what follows */
	uint8_t *buffer;
	uint8_t key[16];
	uint8_t zero_hash[16];
};

static inline bool tracker_is_dirty(const struct tracker *t, uint64_t pfn)
{
	return t->dirty[pfn / 64] >> (pfn % 64) & 1;
}

/* With pagemap_fd -1 it is the compare tracker. Descriptors stay the caller's. */
int tracker_init(struct tracker *t, int memory_fd, uint64_t nr_pages, int pagemap_fd,
	int written_fd, struct error *err) WARN_UNUSED;
void tracker_dispose(struct tracker *t);

/*
 * Find what is dirty and protect it again, before anything of it is read. The first harvest yields
 * the pages that are populated; the others are zero here as they are there. -errno or 0; `*nr`
 * pages.
 */
int tracker_first(struct tracker *t, uint64_t *nr, struct error *err) WARN_UNUSED;
int tracker_harvest(struct tracker *t, uint64_t *nr, struct error *err) WARN_UNUSED;

/* What the next harvest would find, which then still finds it. */
int tracker_peek(struct tracker *t, uint64_t *nr, struct error *err) WARN_UNUSED;

/*
 * Copy `nr` pages. Read, not mapped: a mapping of all memory takes tens of milliseconds to undo,
 * which would fall into the pause.
 */
int tracker_read(const struct tracker *t, uint64_t pfn, uint64_t nr, uint8_t *out) WARN_UNUSED;

/* The private copy of a page that is about to be sent. */
void tracker_sent(struct tracker *t, uint64_t pfn, const uint8_t *copy);

/* Does PAGEMAP_SCAN work on this descriptor? 0 or -errno. */
int tracker_pagemap_check(int pagemap_fd, uint64_t address) WARN_UNUSED;
/* Asks a fresh userfaultfd for what tracking needs. 0 or -errno. */
int tracker_uffd_api(int uffd) WARN_UNUSED;
/* Would this host have the pagemap tracker? Fills `reason` ("" = yes). */
void tracker_host(char *reason, size_t size);

#endif
