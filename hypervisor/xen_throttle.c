/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_throttle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#include "base/log.h"
#include "hypervisor/xen_host.h"

int xen_throttle_cap(int cap, uint32_t vcpus, unsigned percent)
{
	int whole = cap ? cap : (int)(vcpus * 100), share = whole * (int)percent / 100;

	return share > 0 ? share : 1; /* 0 would mean no cap at all */
}

static void note_path(uint32_t domid, char *out, size_t size)
{
	snprintf(out, size, "/libxl/%u/lifeboat-cap", domid);
}

/* The cap from before somebody slowed it, or -1 when nobody did. */
static int read_note(struct xs_handle *xs, uint32_t domid)
{
	char path[64], *text;
	unsigned len = 0;
	int cap = -1;

	note_path(domid, path, sizeof(path));
	text = xs_read(xs, XBT_NULL, path, &len);
	if (text)
		cap = atoi(text);
	free(text);
	return cap;
}

static bool write_note(struct xs_handle *xs, uint32_t domid, int cap)
{
	char path[64], text[16];

	note_path(domid, path, sizeof(path));
	snprintf(text, sizeof(text), "%d", cap);
	return xs_write(xs, XBT_NULL, path, text, (unsigned)strlen(text));
}

static void drop_note(struct xs_handle *xs, uint32_t domid)
{
	char path[64];

	note_path(domid, path, sizeof(path));
	xs_rm(xs, XBT_NULL, path);
}

static int get_cap(libxl_ctx *ctx, const struct domain *dom, int *cap, struct error *err)
{
	libxl_domain_sched_params params;
	int rc;

	libxl_domain_sched_params_init(&params);
	rc = libxl_domain_sched_params_get(ctx, dom->domid, &params);
	*cap = params.cap < 0 ? 0 : params.cap;
	if (rc)
		rc = xen_host_error(err, rc, NULL, "cannot ask for the CPU share of %s", dom->name);
	else if (params.sched != LIBXL_SCHEDULER_CREDIT && params.sched != LIBXL_SCHEDULER_CREDIT2)
		rc = error_set(err, -EOPNOTSUPP,
			"Boot Xen with sched=credit2, or use --on-no-converge abort or stop",
			"this host's scheduler cannot cap %s", dom->name);
	libxl_domain_sched_params_dispose(&params);
	return rc;
}

static int set_cap(libxl_ctx *ctx, const struct domain *dom, int cap, struct error *err)
{
	libxl_domain_sched_params params;
	int rc;

	/* All other values stay at "do not change". */
	libxl_domain_sched_params_init(&params);
	params.cap = cap;
	rc = libxl_domain_sched_params_set(ctx, dom->domid, &params);
	libxl_domain_sched_params_dispose(&params);
	if (rc)
		return xen_host_error(err, rc, NULL, "cannot set the CPU share of %s", dom->name);
	log_info("%s: scheduler cap %d", dom->name, cap);
	return 0;
}

static int undo(libxl_ctx *ctx, struct xs_handle *xs, const struct domain *dom, struct error *err)
{
	int cap = read_note(xs, dom->domid), rc;

	if (cap < 0)
		return 0;
	rc = set_cap(ctx, dom, cap, err);
	if (rc == 0)
		drop_note(xs, dom->domid);
	else
		error_fix(err, "xl sched-credit2 -d %s -c %d", dom->name, cap);
	return rc;
}

static int slow(libxl_ctx *ctx, struct xs_handle *xs, const struct domain *dom, unsigned percent,
	struct error *err)
{
	int cap = read_note(xs, dom->domid), now, rc = get_cap(ctx, dom, &now, err);

	if (rc)
		return rc;
	if (cap < 0) {
		cap = now;
		if (!write_note(xs, dom->domid, cap))
			return error_set(err, -EIO, NULL,
				"cannot note down the CPU share of %s, so it is not slowed",
				dom->name);
	}
	return set_cap(ctx, dom, xen_throttle_cap(cap, dom->vcpus, percent), err);
}

int xen_throttle(const struct domain *dom, unsigned percent, struct error *err)
{
	struct xs_handle *xs;
	libxl_ctx *ctx;
	int rc = xen_host_open(&ctx, err);

	if (rc)
		return rc;
	xs = xs_open(0);
	if (!xs)
		return error_set(err, -EIO, "Start it: systemctl start xen",
			"xenstore does not answer on this host");
	rc = percent < 100 ? slow(ctx, xs, dom, percent, err) : undo(ctx, xs, dom, err);
	xs_close(xs);
	return rc;
}
