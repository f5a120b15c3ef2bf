/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Create a domain from an xl.cfg file. Turning such a file into a libxl_domain_config is 2,500
 * lines of xl that no library offers, so xl does it: `xl create -e -p -q FILE` builds the domain
 * and leaves it paused, and -e keeps xl from staying behind as its monitor. That is our keeper's
 * job, since xl's leaves at the first suspend.
 */
#include "hypervisor/xen_domain.h"

#include <errno.h>
#include <libxlutil.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"
#include "hypervisor/xen_check.h"
#include "hypervisor/xen_config.h"
#include "hypervisor/xen_host.h"
#include "hypervisor/xen_keeper.h"

#define CREATE_MS  (10 * 60 * 1000) /* bootloaders and hotplug scripts take their time */
#define DRY_RUN_MS 30000

/* The last line says most, as a rule: xl's own summary stands there. */
static const char *last_line(char *text)
{
	size_t len = strlen(text);
	char *line;

	while (len && text[len - 1] == '\n')
		text[--len] = '\0';
	line = strrchr(text, '\n');
	return line ? line + 1 : text;
}

/* xl's parser, to know the name of what will be created, and to tell of a bad file early. */
static int read_name(const char *file, char name[DOMAIN_NAME_LEN], struct error *err)
{
	char *report = NULL;
	size_t report_len = 0;
	FILE *f = open_memstream(&report, &report_len);
	XLU_Config *cfg = f ? xlu_cfg_init(f, file) : NULL;
	const char *found = "";
	int rc;

	if (!cfg) {
		rc = error_set(err, -ENOMEM, NULL, "no memory to read %s", file);
		goto out;
	}
	rc = xlu_cfg_readfile(cfg, file);
	fflush(f);
	if (rc)
		rc = error_set(err, -rc, NULL, "%s cannot be read: %s", file,
			report && report[0] ? last_line(report) : strerror(rc));
	else if (xlu_cfg_get_string(cfg, "name", &found, 1) != 0 || !domain_name_valid(found))
		rc = error_set(err, -EINVAL, "Write a line: name = \"...\"",
			"%s does not give the domain a valid name", file);
	else
		snprintf(name, DOMAIN_NAME_LEN, "%s", found);
out:
	if (cfg)
		xlu_cfg_destroy(cfg);
	if (f)
		fclose(f);
	free(report);
	return rc;
}

static int run_xl(const char *file, const char *name, struct error *err)
{
	char *argv[] = {"xl", "create", "-e", "-p", "-q", (char *)(uintptr_t)file, NULL};
	char text[8192];
	int rc = proc_run(argv, text, sizeof(text), deadline_in(CREATE_MS));

	if (rc == -ENOENT)
		return error_set(err, rc, "apt install xen-utils-common", "xl is not installed");
	if (rc < 0)
		return error_sys(err, rc, NULL, "xl could not be run");
	if (rc > 0) {
		log_info("xl create %s:\n%s", file, text);
		return error_set(err, -EIO, "See all that it says: xl create -n FILE",
			"%s could not be created: %.300s", name, last_line(text));
	}
	return 0;
}

/* Let xl turn the file into libxl's own terms: it prints them as JSON, after any warnings. */
static int dry_run(libxl_ctx *ctx, const char *file, libxl_domain_config *cfg, struct error *err)
{
	char *argv[] = {"xl", "create", "-n", "-q", (char *)(uintptr_t)file, NULL};
	char *text = malloc(HV_OPAQUE_MAX);
	const char *json;
	int rc;

	libxl_domain_config_init(cfg);
	if (!text)
		return error_set(err, -ENOMEM, NULL, "no memory to read %s", file);
	rc = proc_run(argv, text, HV_OPAQUE_MAX, deadline_in(DRY_RUN_MS));
	if (rc < 0)
		rc = error_sys(err, rc, "apt install xen-utils-common", "xl could not be run");
	else if (rc > 0)
		rc = error_set(err, -EINVAL, NULL, "%s: %.300s", file, last_line(text));
	json = strchr(text, '{');
	if (!rc) {
		libxl_domain_config_dispose(cfg);
		rc = xen_config_parse(ctx, json ? json : "", cfg, err);
	}
	free(text);
	return rc;
}

static int check_place(
	libxl_ctx *ctx, libxl_domain_config *cfg, const char *name, struct error *err)
{
	struct findings *found = calloc(1, sizeof(*found));
	int rc = found ? xen_check_place(ctx, cfg, name, found, err)
		       : error_sys(err, -ENOMEM, NULL, "cannot check %s", name);

	if (!rc)
		rc = findings_error(found, -EOPNOTSUPP, err);
	free(found);
	return rc;
}

int xen_domain_create_check(const char *file, struct domain *dom, struct error *err)
{
	struct error quiet = ERROR_INIT;
	char name[DOMAIN_NAME_LEN];
	libxl_domain_config cfg;
	struct domain there;
	libxl_ctx *ctx;
	int rc = xen_host_open(&ctx, err);

	if (!rc)
		rc = read_name(file, name, err);
	if (rc)
		return rc;
	rc = dry_run(ctx, file, &cfg, err);
	if (!rc)
		rc = xen_config_describe(&cfg, dom, err);
	if (!rc && xen_domain_find(dom->name, &there, &quiet) == 0)
		rc = error_set(err, -EEXIST, NULL, "there is a domain %s already", dom->name);
	if (!rc)
		rc = check_place(ctx, &cfg, dom->name, err);
	libxl_domain_config_dispose(&cfg);
	return rc;
}

int xen_domain_create(const char *file, bool paused, struct domain *dom, struct error *err)
{
	struct error quiet = ERROR_INIT;
	char name[DOMAIN_NAME_LEN];
	int rc = read_name(file, name, err);

	if (rc)
		return rc;
	if (xen_domain_find(name, dom, &quiet) == 0)
		return error_set(err, -EEXIST, NULL, "there is a domain %s already", name);
	rc = run_xl(file, name, err);
	if (!rc)
		rc = xen_domain_find(name, dom, err);
	if (rc)
		return rc;
	xen_keeper_start(dom->domid);
	if (!paused)
		rc = xen_domain_unpause(dom, err);
	return rc ? rc : xen_domain_by_domid(dom->domid, dom, err);
}
