/* SPDX-License-Identifier: GPL-2.0-or-later */
/* embedded: what the files of the embedded backend share. */
#ifndef HYPERVISOR_EMBEDDED_H
#define HYPERVISOR_EMBEDDED_H

#include "hypervisor/embedded_client.h"
#include "hypervisor/embedded_config.h"

/* What the last probe() was given. A restore keeps its own copy: one process can play two hosts. */
struct embedded_host {
	char run_dir[PATH_MAX];
	uint32_t memory_mb;
	enum config_tracker tracker;
};

extern struct embedded_host embedded_host;

/* embedded.c */
int embedded_list(const struct embedded_host *host, struct vmm_reply **list, size_t *nr,
	struct error *err) WARN_UNUSED;

/*
 * embedded_check.c: memory, name and UUID free, bridges and disks there. 0 also when something was
 * found. Changes nothing.
 */
int embedded_check(const struct embedded_host *host, const struct domain_spec *spec,
	struct findings *found, struct error *err) WARN_UNUSED;
/* The same for those who stop at the first blocker, which is `err` then. */
int embedded_check_all(const struct embedded_host *host, const struct domain_spec *spec,
	struct error *err) WARN_UNUSED;
int embedded_memory_kb(const struct embedded_host *host, uint64_t *free_kb, uint64_t *total_kb,
	struct error *err) WARN_UNUSED;

/* embedded_spawn.c */
int embedded_memory_create(uint64_t bytes, struct error *err) WARN_UNUSED;
int embedded_image_create(struct error *err) WARN_UNUSED;
int embedded_image_seal(int fd, struct error *err) WARN_UNUSED;
/* Start the vmm of a domain called `name` for now. The control connection or -errno. */
int embedded_spawn(const struct embedded_host *host, const char *name, const char *json,
	bool incoming, int memory_fd, int image_fd, struct error *err) WARN_UNUSED;

/* embedded_create.c, embedded_console.c, embedded_save.c, embedded_restore.c: the contract's. */
int embedded_create(const char *file, bool paused, struct domain *dom, struct error *err);
int embedded_create_check(const char *file, struct domain *dom, struct error *err);
int embedded_console(const struct domain *dom, struct error *err);
int embedded_save_check(const struct domain *dom, struct findings *found, struct error *err);
int embedded_watch(const struct domain *dom, const struct hv_watch_hooks *hooks, void *ctx,
	struct hv_watch *watch, struct error *err) WARN_UNUSED;
int embedded_save(
	const struct domain *dom, const struct hv_save_hooks *hooks, void *ctx, struct error *err);
int embedded_restore_check(
	const char *json, struct domain *dom, struct findings *found, struct error *err);
int embedded_restore_begin(const char *json, struct hv_restore **restore, struct error *err);
int embedded_restore_head(struct hv_restore *r, const void *data, size_t len, struct error *err);
int embedded_restore_pages(struct hv_restore *r, const struct page_batch *batch, struct error *err);
int embedded_restore_tail(struct hv_restore *r, const void *data, size_t len, struct error *err);
int embedded_restore_finish(struct hv_restore *r, struct domain *dom, struct error *err);
int embedded_activate(struct domain *dom, const char *name, struct error *err);
void embedded_restore_abort(struct hv_restore *r);

#endif
