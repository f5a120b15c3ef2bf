/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_hotplug.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xenstore.h>

#include "base/proc.h"
#include "hypervisor/xen_attach.h"
#include "hypervisor/xen_config.h"
#include "hypervisor/xen_host.h"

#define VIF_SCRIPT  HOTPLUG_SCRIPT_DIR "/vif-bridge"
#define DISK_SCRIPT HOTPLUG_SCRIPT_DIR "/block"
#define NO_SCRIPT   "/bin/true" /* of a disk whose device is named later */
#define USERDATA    "libxl-json"

const char *xen_hotplug_program(void)
{
	static char path[PATH_MAX];

	if (proc_our_program("lifeboat-hotplug", path, sizeof(path)) || access(path, X_OK) < 0)
		return NULL;
	return path;
}

static void set(char **script, const char *value)
{
	free(*script);
	*script = value ? strdup(value) : NULL; /* NULL is libxl's default, which is as good */
}

static bool is_stock(const char *script, const char *stock)
{
	return !script || strcmp(script, stock) == 0 ||
	       strcmp(script, strrchr(stock, '/') + 1) == 0;
}

static bool is_block_device(const libxl_device_disk *disk)
{
	struct stat st;

	return disk->pdev_path && stat(disk->pdev_path, &st) == 0 && S_ISBLK(st.st_mode);
}

/* In a driver domain there is no program of ours. */
bool xen_hotplug_plain_nic(const libxl_device_nic *nic)
{
	return is_stock(nic->script, VIF_SCRIPT) && !nic->backend_domid && !nic->backend_domname;
}

bool xen_hotplug_plain_disk(const libxl_device_disk *disk)
{
	return is_stock(disk->script, DISK_SCRIPT) && !disk->backend_domid &&
	       !disk->backend_domname && !disk->is_cdrom && disk->format == LIBXL_DISK_FORMAT_RAW &&
	       disk->specification != LIBXL_DISK_SPECIFICATION_VIRTIO &&
	       (disk->backend == LIBXL_DISK_BACKEND_PHY ||
		       disk->backend == LIBXL_DISK_BACKEND_UNKNOWN) &&
	       is_block_device(disk);
}

static void use(libxl_domain_config *cfg, const char *for_nics, const char *for_disks)
{
	for (int i = 0; i < cfg->num_nics; i++)
		if (xen_hotplug_plain_nic(&cfg->nics[i]))
			set(&cfg->nics[i].script, for_nics);
	for (int i = 0; i < cfg->num_disks; i++)
		if (xen_hotplug_plain_disk(&cfg->disks[i]))
			set(&cfg->disks[i].script, for_disks);
}

void xen_hotplug_use(libxl_domain_config *cfg, const char *program)
{
	use(cfg, program, program);
}

void xen_hotplug_use_early(libxl_domain_config *cfg, const char *program)
{
	use(cfg, program, NO_SCRIPT);
}

bool xen_hotplug_forget(libxl_domain_config *cfg, const char *program)
{
	bool found = false;

	for (int i = 0; i < cfg->num_nics; i++)
		if (cfg->nics[i].script && strcmp(cfg->nics[i].script, program) == 0) {
			set(&cfg->nics[i].script, VIF_SCRIPT);
			found = true;
		}
	for (int i = 0; i < cfg->num_disks; i++)
		if (cfg->disks[i].script && strcmp(cfg->disks[i].script, program) == 0) {
			set(&cfg->disks[i].script, NULL);
			found = true;
		}
	return found;
}

/* Whether it stands there, and with `script` that instead from now on. */
static bool is_there(struct xs_handle *xs, const char *path, const char *old, const char *script)
{
	unsigned len;
	char *now = xs_read(xs, XBT_NULL, path, &len);
	bool yes = now && strcmp(now, old) == 0;

	free(now);
	if (yes && script)
		xs_write(xs, XBT_NULL, path, script, (unsigned)strlen(script));
	return yes;
}

/* The devices of a kind whose script is `old`; it is named twice, for the backend and for libxl. */
static unsigned of_kind(
	struct xs_handle *xs, uint32_t domid, const char *kind, const char *old, const char *script)
{
	char path[HOTPLUG_PATH_LEN], **devs;
	unsigned nr = 0, found = 0;

	snprintf(path, sizeof(path), "backend/%s/%u", kind, domid);
	devs = xs_directory(xs, XBT_NULL, path, &nr);
	for (unsigned i = 0; devs && i < nr; i++) {
		snprintf(path, sizeof(path), "/libxl/%u/device/%s/%.32s/script", domid, kind,
			devs[i]);
		is_there(xs, path, old, script);
		snprintf(path, sizeof(path), "backend/%s/%u/%.32s/script", kind, domid, devs[i]);
		found += is_there(xs, path, old, script);
	}
	free(devs);
	return found;
}

int xen_hotplug_store(libxl_ctx *ctx, uint32_t domid, libxl_domain_config *cfg, struct error *err)
{
	char *json = libxl_domain_config_to_json(ctx, cfg);
	int rc = 0;

	if (!json || libxl_userdata_store(
			     ctx, domid, USERDATA, (const uint8_t *)json, (int)strlen(json) + 1))
		rc = xen_host_error(err, ERROR_FAIL, NULL,
			"the configuration of domain %u cannot be written down", domid);
	free(json);
	return rc;
}

/* Copies; libxl's own have no word for a lack of memory, they end the process. */
static int append(libxl_ctx *ctx, libxl_domain_config *cfg, const libxl_domain_config *more,
	struct error *err)
{
	libxl_device_nic *nics = reallocarray(
		cfg->nics, (size_t)(cfg->num_nics + more->num_nics) + 1, sizeof(*nics));
	libxl_device_disk *disks;

	if (!nics)
		return error_set(err, -ENOMEM, NULL, "no memory for a configuration");
	cfg->nics = nics;
	disks = reallocarray(
		cfg->disks, (size_t)(cfg->num_disks + more->num_disks) + 1, sizeof(*disks));
	if (!disks)
		return error_set(err, -ENOMEM, NULL, "no memory for a configuration");
	cfg->disks = disks;
	for (int i = 0; i < more->num_nics; i++) {
		libxl_device_nic_init(&nics[cfg->num_nics]);
		libxl_device_nic_copy(ctx, &nics[cfg->num_nics++], &more->nics[i]);
	}
	for (int i = 0; i < more->num_disks; i++) {
		libxl_device_disk_init(&disks[cfg->num_disks]);
		libxl_device_disk_copy(ctx, &disks[cfg->num_disks++], &more->disks[i]);
	}
	return 0;
}

int xen_hotplug_add(uint32_t domid, const libxl_domain_config *devices, struct error *err)
{
	libxl_domain_config cfg;
	uint8_t *json = NULL;
	libxl_ctx *ctx;
	int len = 0, rc = xen_host_open(&ctx, err);

	if (rc)
		return rc;
	libxl_domain_config_init(&cfg);
	if (libxl_userdata_retrieve(ctx, domid, USERDATA, &json, &len) || !json || len <= 0 ||
		json[len - 1] != '\0' ||
		libxl_domain_config_from_json(ctx, &cfg, (const char *)json))
		rc = xen_host_error(err, ERROR_FAIL, NULL,
			"libxl does not know the configuration of domain %u", domid);
	if (rc == 0)
		rc = append(ctx, &cfg, devices, err);
	if (rc == 0)
		rc = xen_hotplug_store(ctx, domid, &cfg, err);
	libxl_domain_config_dispose(&cfg);
	free(json);
	return rc;
}

/* libxl's own note of the configuration, which xl and the next move start from. */
static int settle_config(libxl_ctx *ctx, uint32_t domid, const char *program, struct error *err)
{
	libxl_domain_config cfg;
	int rc = xen_config_retrieve(ctx, domid, &cfg, err);

	if (rc == 0 && xen_hotplug_forget(&cfg, program))
		rc = xen_hotplug_store(ctx, domid, &cfg, err);
	libxl_domain_config_dispose(&cfg);
	return rc;
}

int xen_hotplug_settle(uint32_t domid, struct error *err)
{
	const char *program = xen_hotplug_program();
	struct xs_handle *xs = program ? xs_open(0) : NULL;
	libxl_ctx *ctx;
	int rc = 0;

	if (!xs)
		return 0;
	if (of_kind(xs, domid, "vif", program, NULL) + of_kind(xs, domid, "vbd", program, NULL)) {
		rc = xen_host_open(&ctx, err);
		if (rc == 0)
			rc = settle_config(ctx, domid, program, err);
		/* Last: while it stands there, what was begun is done again. */
		of_kind(xs, domid, "vif", program, VIF_SCRIPT);
		of_kind(xs, domid, "vbd", program, DISK_SCRIPT);
	}
	xs_close(xs);
	return rc;
}

/* From one script to another, of all vifs and all disks. */
struct swap {
	const char *vif[2], *vbd[2];
};

static void swap(uint32_t domid, const struct swap *s)
{
	struct xs_handle *xs = xs_open(0);

	if (!xs)
		return;
	of_kind(xs, domid, "vif", s->vif[0], s->vif[1]);
	of_kind(xs, domid, "vbd", s->vbd[0], s->vbd[1]);
	xs_close(xs);
}

void xen_hotplug_settle_early(uint32_t domid)
{
	const char *ours = xen_hotplug_program();

	if (ours)
		swap(domid, &(struct swap){{ours, VIF_SCRIPT}, {NO_SCRIPT, DISK_SCRIPT}});
}

void xen_hotplug_use_last(uint32_t domid)
{
	const char *ours = xen_hotplug_program();

	if (ours)
		swap(domid, &(struct swap){{VIF_SCRIPT, ours}, {DISK_SCRIPT, ours}});
}
