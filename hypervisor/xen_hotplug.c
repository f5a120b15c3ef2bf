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

void xen_hotplug_use(libxl_domain_config *cfg, const char *program)
{
	for (int i = 0; i < cfg->num_nics; i++)
		if (is_stock(cfg->nics[i].script, VIF_SCRIPT))
			set(&cfg->nics[i].script, program);
	for (int i = 0; i < cfg->num_disks; i++) {
		libxl_device_disk *disk = &cfg->disks[i];

		if (is_stock(disk->script, DISK_SCRIPT) && !disk->is_cdrom &&
			disk->format == LIBXL_DISK_FORMAT_RAW &&
			(disk->backend == LIBXL_DISK_BACKEND_PHY ||
				disk->backend == LIBXL_DISK_BACKEND_UNKNOWN) &&
			is_block_device(disk))
			set(&disk->script, program);
	}
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

/* The devices of a kind whose script is ours; with `script` that is there instead from now on. */
static unsigned of_kind(struct xs_handle *xs, uint32_t domid, const char *kind, const char *script,
	const char *program)
{
	char path[HOTPLUG_PATH_LEN], **devs;
	unsigned nr = 0, len, ours = 0;

	snprintf(path, sizeof(path), "backend/%s/%u", kind, domid);
	devs = xs_directory(xs, XBT_NULL, path, &nr);
	for (unsigned i = 0; devs && i < nr; i++) {
		char *now;

		snprintf(path, sizeof(path), "backend/%s/%u/%.32s/script", kind, domid, devs[i]);
		now = xs_read(xs, XBT_NULL, path, &len);
		if (now && strcmp(now, program) == 0) {
			ours++;
			if (script)
				xs_write(xs, XBT_NULL, path, script, (unsigned)strlen(script));
		}
		free(now);
	}
	free(devs);
	return ours;
}

/* libxl's own note of the configuration, which xl and the next move start from. */
static int settle_config(libxl_ctx *ctx, uint32_t domid, const char *program, struct error *err)
{
	libxl_domain_config cfg;
	char *json = NULL;
	int rc = xen_config_retrieve(ctx, domid, &cfg, err);

	if (rc == 0 && xen_hotplug_forget(&cfg, program)) {
		json = libxl_domain_config_to_json(ctx, &cfg);
		if (!json || libxl_userdata_store(ctx, domid, "libxl-json", (const uint8_t *)json,
				     (int)strlen(json) + 1))
			rc = xen_host_error(err, ERROR_FAIL, NULL,
				"the configuration of domain %u cannot be written down", domid);
	}
	libxl_domain_config_dispose(&cfg);
	free(json);
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
	if (of_kind(xs, domid, "vif", NULL, program) + of_kind(xs, domid, "vbd", NULL, program)) {
		rc = xen_host_open(&ctx, err);
		if (rc == 0)
			rc = settle_config(ctx, domid, program, err);
		/* Last: while it stands there, what was begun is done again. */
		of_kind(xs, domid, "vif", VIF_SCRIPT, program);
		of_kind(xs, domid, "vbd", DISK_SCRIPT, program);
	}
	xs_close(xs);
	return rc;
}
