/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_early.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xenstore.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"
#include "hypervisor/xen_attach.h"
#include "hypervisor/xen_early_child.h"
#include "hypervisor/xen_host.h"
#include "hypervisor/xen_hotplug.h"

#define SCRIPT_MS 60000

static const char look[] = "See what its hotplug scripts logged on that host: journalctl";

int xen_early_take(struct xen_early *e, libxl_domain_config *cfg, struct error *err)
{
	libxl_domain_config *d = &e->devices;
	int nics = 0, disks = 0;

	libxl_domain_config_init(d);
	if (cfg->c_info.type == LIBXL_DOMAIN_TYPE_HVM || !xen_hotplug_program())
		return 0;
	d->nics = calloc((size_t)cfg->num_nics + 1, sizeof(*d->nics));
	d->disks = calloc((size_t)cfg->num_disks + 1, sizeof(*d->disks));
	if (!d->nics || !d->disks)
		return error_set(err, -ENOMEM, NULL, "no memory to build a domain");
	for (int i = 0; i < cfg->num_nics; i++)
		if (xen_hotplug_plain_nic(&cfg->nics[i]))
			d->nics[d->num_nics++] = cfg->nics[i];
		else
			cfg->nics[nics++] = cfg->nics[i];
	for (int i = 0; i < cfg->num_disks; i++)
		if (d->num_disks < DOMAIN_DISKS_MAX && xen_hotplug_plain_disk(&cfg->disks[i]))
			d->disks[d->num_disks++] = cfg->disks[i];
		else
			cfg->disks[disks++] = cfg->disks[i];
	cfg->num_nics = nics;
	cfg->num_disks = disks;
	return 0;
}

int xen_early_start(
	struct xen_early *e, const libxl_domain_config *cfg, int image, struct error *err)
{
	int control[2];

	if (!e->devices.num_nics && !e->devices.num_disks)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0)
		return error_sys(err, -errno, NULL, "cannot make a socket");
	e->pid = xen_host_fork("lifeboat-early", (const int[]){image, control[1]}, 2);
	if (e->pid == 0)
		xen_early_child(cfg, &e->devices, control[1]);
	fd_close(&control[1]);
	if (e->pid < 0) {
		fd_close(&control[0]);
		return error_sys(err, e->pid, NULL, "cannot fork");
	}
	e->control = control[0];
	return 0;
}

/* The child's last word; it has ended afterwards. */
static int hear(struct xen_early *e, struct error *err)
{
	struct xen_early_report got;
	ssize_t n;

	if (e->pid < 0)
		goto out;
	do {
		n = recv(e->control, &got, sizeof(got), 0);
	} while (n < 0 && errno == EINTR);
	e->report.rc = -EIO;
	if (n == (ssize_t)sizeof(got))
		e->report = got;
	e->report.text[sizeof(e->report.text) - 1] = '\0';
	fd_close(&e->control);
	while (waitpid(e->pid, NULL, 0) < 0 && errno == EINTR)
		;
	e->pid = -1;
out:
	if (!e->report.rc)
		return 0;
	return error_set(err, e->report.rc, look, "%s",
		e->report.text[0] ? e->report.text : "what attaches its devices has died");
}

int xen_early_check(struct xen_early *e, struct error *err)
{
	struct pollfd p = {.fd = e->control, .events = POLLIN};

	return e->pid >= 0 && poll(&p, 1, 0) == 0 ? 0 : hear(e, err);
}

/* As libxl would have run it: it finds what ours found, and has the words for it. */
static int run_script(const struct hotplug *h, struct error *err)
{
	char path[HOTPLUG_PATH_LEN], text[ERROR_TEXT_LEN], *why;
	char *argv[] = {"env", path, "XENBUS_TYPE=vbd", "XENBUS_BASE_PATH=backend",
		"script=" HOTPLUG_SCRIPT_DIR "/block", HOTPLUG_SCRIPT_DIR "/block", "add", NULL};

	snprintf(path, sizeof(path), "XENBUS_PATH=%.200s", h->backend);
	if (proc_run(argv, text, sizeof(text), deadline_in(SCRIPT_MS)) == 0)
		return 0;
	why = hotplug_read(h, "hotplug-error");
	error_set(err, -EIO, look, "its disk could not be attached: %.300s", why ? why : text);
	free(why);
	return -EIO;
}

static int name_device(struct xs_handle *xs, uint32_t domid, uint32_t vbd, struct error *err)
{
	char backend[64];
	struct hotplug h = {.xs = xs, .backend = backend};

	snprintf(backend, sizeof(backend), "backend/vbd/%u/%u", domid, vbd);
	return hotplug_vbd(&h) ? 0 : run_script(&h, err);
}

int xen_early_connect(struct xen_early *e, struct error *err)
{
	int rc = hear(e, err);
	struct xs_handle *xs;

	if (rc || !e->devices.num_disks)
		return rc;
	xs = xs_open(0);
	if (!xs)
		return error_set(err, -EIO, NULL, "xenstore does not answer on this host");
	for (int i = 0; rc == 0 && i < e->devices.num_disks; i++)
		rc = name_device(xs, e->report.domid, e->report.vbd[i], err);
	xs_close(xs);
	return rc;
}

int xen_early_note(struct xen_early *e, struct error *err)
{
	return e->devices.num_nics || e->devices.num_disks
		       ? xen_hotplug_add(e->report.domid, &e->devices, err)
		       : 0;
}

void xen_early_cancel(struct xen_early *e)
{
	struct error quiet = ERROR_INIT;

	if (e->pid < 0)
		return;
	shutdown(e->control, SHUT_WR);
	if (hear(e, &quiet))
		log_debug("devices that come early: %s", quiet.what);
}

/* A domain that libxl destroyed while one was added to it takes only those that it knew of. */
static void sweep(uint32_t domid)
{
	static const char *const kinds[] = {"vif", "vbd"};
	struct xs_handle *xs = xs_open(0);
	char path[64];

	for (size_t i = 0; xs && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		snprintf(path, sizeof(path), "backend/%s/%u", kinds[i], domid);
		xs_rm(xs, XBT_NULL, path);
	}
	if (xs)
		xs_close(xs);
}

void xen_early_dispose(struct xen_early *e)
{
	libxl_ctx *ctx;

	xen_early_cancel(e);
	if (e->report.domid && xen_host_open(&ctx, NULL) == 0 &&
		libxl_domain_info(ctx, NULL, e->report.domid) == ERROR_DOMAIN_NOTFOUND)
		sweep(e->report.domid);
	libxl_domain_config_dispose(&e->devices);
	*e = XEN_EARLY_INIT;
}
