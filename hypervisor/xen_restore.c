/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_restore.h"

#include <errno.h>
#include <libxl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#include "base/log.h"
#include "hypervisor/xen_builder.h"
#include "hypervisor/xen_check.h"
#include "hypervisor/xen_config.h"
#include "hypervisor/xen_domain.h"
#include "hypervisor/xen_early.h"
#include "hypervisor/xen_host.h"
#include "hypervisor/xen_hotplug.h"
#include "hypervisor/xen_writer.h"

struct hv_restore {
	struct domain dom; /* as the configuration says; domid once it is built */
	int devid[DOMAIN_VIFS_MAX];
	char incoming[DOMAIN_NAME_LEN + sizeof(SUFFIX_INCOMING)];
	struct xen_builder builder;
	struct xen_early early;
	struct xen_writer writer;
	bool built;
};

/* The configuration as libxl is to build it: another name, our hotplug program, no early devices.
 */
static int prepare(struct hv_restore *r, libxl_domain_config *cfg, struct error *err)
{
	int rc = xen_config_describe(cfg, &r->dom, err);

	if (rc)
		return rc;
	for (int i = 0; i < cfg->num_nics; i++)
		r->devid[i] = cfg->nics[i].devid;
	snprintf(r->incoming, sizeof(r->incoming), "%s%s", r->dom.name, SUFFIX_INCOMING);
	free(cfg->c_info.name);
	cfg->c_info.name = strdup(r->incoming);
	cfg->c_info.domid = XEN_NO_DOMID; /* the source's means nothing here */
	if (!cfg->c_info.name)
		return error_set(err, -ENOMEM, NULL, "no memory to build %s", r->dom.name);
	rc = xen_early_take(&r->early, cfg, err);
	if (!rc && xen_hotplug_program())
		xen_hotplug_use(cfg, xen_hotplug_program());
	return rc;
}

int xen_restore_begin(const char *json, struct hv_restore **restore, struct error *err)
{
	struct hv_restore *r = calloc(1, sizeof(*r));
	libxl_domain_config cfg;
	libxl_ctx *ctx;
	int rc;

	*restore = NULL;
	libxl_domain_config_init(&cfg);
	if (!r) {
		rc = error_set(err, -ENOMEM, NULL, "no memory to build a domain");
		goto out;
	}
	r->builder = XEN_BUILDER_INIT;
	r->early = XEN_EARLY_INIT;
	rc = xen_host_open(&ctx, err);
	if (!rc)
		rc = xen_config_offered(ctx, json, &cfg, err);
	if (!rc)
		rc = prepare(r, &cfg, err);
	if (rc)
		goto out;
	r->writer.write = xen_builder_write;
	r->writer.ctx = &r->builder;
	r->writer.stream.limits = xen_check_limits(&cfg);
	rc = xen_builder_start(&r->builder, &cfg, err);
	if (!rc)
		rc = xen_early_start(&r->early, &cfg, r->builder.image, err);
	if (rc)
		goto out;
	*restore = r;
	r = NULL; /* the caller owns it now */
out:
	libxl_domain_config_dispose(&cfg);
	xen_restore_abort(r);
	return rc;
}

/* A write failed: libxl has given up before, and knows why. */
static int explain(struct hv_restore *r, int rc, struct error *err)
{
	struct xen_builder_report report;

	if (rc == 0 || rc == -EPROTO)
		return rc;
	xen_early_cancel(&r->early);
	xen_builder_end(&r->builder, &report);
	if (report.rc == 0) {
		/* It cannot have succeeded before its image was complete, but then it stands here.
		 */
		r->built = true;
		r->dom.domid = report.domid;
		return error_set(
			err, -EPROTO, NULL, "libxl found the end of %s before we did", r->dom.name);
	}
	return error_set(err, report.rc, NULL, "%s",
		report.text[0] ? report.text : "libxl ended without a word");
}

int xen_restore_head(struct hv_restore *r, const void *data, size_t len, struct error *err)
{
	return explain(r, xen_writer_head(&r->writer, data, len, err), err);
}

int xen_restore_pages(struct hv_restore *r, const struct page_batch *batch, struct error *err)
{
	int rc = xen_early_check(&r->early, err); /* better now than when its guest stands still */

	return rc ? rc : explain(r, xen_writer_pages(&r->writer, batch, err), err);
}

int xen_restore_tail(struct hv_restore *r, const void *data, size_t len, struct error *err)
{
	return explain(r, xen_writer_tail(&r->writer, data, len, err), err);
}

/*
 * A guest announces that it can suspend when it boots, not when it arrives, and the new domain's
 * xenstore starts empty. It has just done it, so we may say it again: the next move asks.
 */
static void announce_suspend(uint32_t domid)
{
	struct xs_handle *xs = xs_open(0);
	char path[64];

	snprintf(path, sizeof(path), "/local/domain/%u/control/feature-suspend", domid);
	if (!xs || !xs_write(xs, XBT_NULL, path, "1", 1))
		log_debug("cannot write %s", path);
	if (xs)
		xs_close(xs);
}

/* What is known of it from its configuration saves asking libxl for it, in the pause. */
static int describe(struct hv_restore *r, struct domain *dom, struct error *err)
{
	*dom = r->dom;
	dom->state = DOMAIN_INCOMING;
	snprintf(dom->name, sizeof(dom->name), "%.63s", r->incoming);
	for (unsigned i = 0; i < dom->nr_vifs; i++) {
		if (r->devid[i] < 0)
			return xen_domain_by_domid(dom->domid, dom, err);
		xen_config_vif_device(&dom->vif[i], dom->domid, r->devid[i]);
	}
	return 0;
}

int xen_restore_finish(struct hv_restore *r, struct domain *dom, struct error *err)
{
	struct xen_builder_report report;
	int rc = explain(r, xen_writer_end(&r->writer, err), err);

	if (!rc)
		rc = xen_early_connect(&r->early, err); /* while libxl completes the domain */
	if (rc)
		return rc;
	xen_builder_end(&r->builder, &report);
	if (report.rc)
		return error_set(err, report.rc, NULL, "%s",
			report.text[0] ? report.text : "libxl ended without a word");
	r->built = true;
	r->dom.domid = report.domid;
	rc = xen_early_note(&r->early, err);
	if (!rc)
		rc = describe(r, dom, err);
	if (rc)
		return rc;
	announce_suspend(report.domid);
	xen_early_dispose(&r->early);
	free(r);
	return 0;
}

/* libxl destroys what it could not finish, unless its process was killed: then it is for us. */
static bool left_behind(struct hv_restore *r)
{
	struct domain found;
	struct error quiet = ERROR_INIT;

	if (xen_domain_find(r->incoming, &found, &quiet) != 0 ||
		memcmp(found.uuid, r->dom.uuid, sizeof(found.uuid)) != 0)
		return false;
	r->dom.domid = found.domid;
	return true;
}

void xen_restore_abort(struct hv_restore *r)
{
	struct xen_builder_report report;
	struct error why = ERROR_INIT;

	if (!r)
		return;
	xen_early_cancel(&r->early);
	if (!r->built) {
		xen_builder_end(&r->builder, &report);
		r->dom.domid = report.domid;
		r->built = report.rc == 0 || left_behind(r);
	}
	if (r->built && xen_domain_destroy(&r->dom, &why))
		log_error("%s is left behind: %s", r->incoming, why.what);
	xen_early_dispose(&r->early);
	free(r);
}
