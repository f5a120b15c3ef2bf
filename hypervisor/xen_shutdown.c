/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_shutdown.h"

#include <errno.h>
#include <libxl_utils.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "hypervisor/xen_config.h"
#include "hypervisor/xen_host.h"

#define DUMP_DIR     "/var/lib/xen/dump"
#define CREATE_TRIES 3
#define CREATE_PAUSE_MS                                                                            \
	2000 /* backends may need a moment to let go of the old domain's devices                   \
	      */
#define NO_DOMID (~0u)

libxl_action_on_shutdown xen_shutdown_action(
	const libxl_domain_config *cfg, libxl_shutdown_reason reason)
{
	switch (reason) {
	case LIBXL_SHUTDOWN_REASON_POWEROFF:
		return cfg->on_poweroff;
	case LIBXL_SHUTDOWN_REASON_REBOOT:
		return cfg->on_reboot;
	case LIBXL_SHUTDOWN_REASON_CRASH:
		return cfg->on_crash;
	case LIBXL_SHUTDOWN_REASON_WATCHDOG:
		return cfg->on_watchdog;
	case LIBXL_SHUTDOWN_REASON_SOFT_RESET:
		return cfg->on_soft_reset;
	case LIBXL_SHUTDOWN_REASON_SUSPEND:
	case LIBXL_SHUTDOWN_REASON_UNKNOWN:
		break;
	}
	return LIBXL_ACTION_ON_SHUTDOWN_DESTROY;
}

struct xen_shutdown_steps xen_shutdown_steps(libxl_action_on_shutdown action)
{
	static const struct xen_shutdown_steps table[] = {
		[LIBXL_ACTION_ON_SHUTDOWN_DESTROY] = {.destroy = true},
		[LIBXL_ACTION_ON_SHUTDOWN_RESTART] = {.destroy = true, .create = true},
		[LIBXL_ACTION_ON_SHUTDOWN_RESTART_RENAME] = {.preserve = true, .create = true},
		[LIBXL_ACTION_ON_SHUTDOWN_PRESERVE] = {.dump = false},
		[LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_DESTROY] = {.dump = true, .destroy = true},
		[LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_RESTART] = {.dump = true,
			.destroy = true,
			.create = true},
		[LIBXL_ACTION_ON_SHUTDOWN_SOFT_RESET] = {.soft_reset = true},
	};

	if ((size_t)action >= sizeof(table) / sizeof(table[0]) || action == 0)
		action = LIBXL_ACTION_ON_SHUTDOWN_DESTROY;
	return table[action];
}

/* A dump that fails (no space, as a rule) must not keep the domain from coming back. */
static void dump(libxl_ctx *ctx, const libxl_domain_config *cfg, uint32_t domid)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", DUMP_DIR, cfg->c_info.name);
	log_info("writing the memory of %s to %s", cfg->c_info.name, path);
	if (libxl_domain_core_dump(ctx, domid, path, NULL))
		log_warn("%s was not written", path);
}

/* Keep the dead domain under another name and UUID, for somebody to look at. */
static int preserve(libxl_ctx *ctx, libxl_domain_config *cfg, uint32_t domid, struct error *err)
{
	time_t now = time(NULL);
	libxl_uuid uuid;
	char suffix[32];
	struct tm tm;
	int rc;

	gmtime_r(&now, &tm);
	strftime(suffix, sizeof(suffix), "-%Y%m%dT%H%M%SZ", &tm);
	libxl_uuid_generate(&uuid);
	rc = libxl_domain_preserve(ctx, domid, &cfg->c_info, suffix, uuid);
	return rc ? xen_host_error(err, rc, NULL, "%s could not be preserved", cfg->c_info.name)
		  : 0;
}

static int create(
	libxl_ctx *ctx, const libxl_domain_config *cfg, uint32_t *domid, struct error *err)
{
	libxl_domain_config copy;
	int rc = ERROR_FAIL;

	for (int i = 0; rc && i < CREATE_TRIES; i++) {
		if (i)
			clock_pause(CREATE_PAUSE_MS);
		/* libxl fills in what it is given, so each try gets its own. */
		libxl_domain_config_init(&copy);
		libxl_domain_config_copy(ctx, &copy, cfg);
		copy.c_info.domid = NO_DOMID;
		rc = libxl_domain_create_new(ctx, &copy, domid, NULL, NULL);
		libxl_domain_config_dispose(&copy);
	}
	return rc ? xen_host_error(err, rc, "Create it by hand: hv create",
			    "%s is gone: it could not be created again", cfg->c_info.name)
		  : 0;
}

static int renew(libxl_ctx *ctx, libxl_domain_config *cfg, struct xen_shutdown_steps steps,
	uint32_t *domid, struct error *err)
{
	int rc;

	if (steps.soft_reset) {
		rc = libxl_domain_soft_reset(ctx, cfg, *domid, NULL, NULL);
		if (rc)
			return xen_host_error(
				err, rc, NULL, "%s could not be reset", cfg->c_info.name);
	} else {
		rc = create(ctx, cfg, domid, err);
		if (rc)
			return rc;
	}
	rc = libxl_domain_unpause(ctx, *domid, NULL);
	return rc ? xen_host_error(err, rc, "Start it by hand: hv unpause", "%s stands paused",
			    cfg->c_info.name)
		  : 0;
}

/* Devices and memory may have changed since we began to watch: what is created again has them. */
static void refresh(libxl_ctx *ctx, libxl_domain_config *cfg, uint32_t domid)
{
	libxl_domain_config now;
	struct error why = ERROR_INIT;

	if (xen_config_retrieve(ctx, domid, &now, &why)) {
		log_warn("%s; using what was known before", why.what);
		libxl_domain_config_dispose(&now);
		return;
	}
	libxl_domain_config_dispose(cfg);
	*cfg = now; /* cfg owns its parts now */
}

int xen_shutdown_do(libxl_ctx *ctx, libxl_domain_config *cfg, libxl_action_on_shutdown action,
	uint32_t *domid, bool *again, struct error *err)
{
	struct xen_shutdown_steps steps = xen_shutdown_steps(action);
	int rc = 0;

	*again = false;
	if (steps.create || steps.soft_reset || steps.preserve)
		refresh(ctx, cfg, *domid);
	if (steps.dump)
		dump(ctx, cfg, *domid);
	if (steps.preserve)
		rc = preserve(ctx, cfg, *domid, err);
	if (!rc && steps.destroy && (rc = libxl_domain_destroy(ctx, *domid, NULL)) != 0)
		rc = xen_host_error(err, rc, NULL, "%s could not be destroyed", cfg->c_info.name);
	if (rc || !(steps.create || steps.soft_reset))
		return rc;
	rc = renew(ctx, cfg, steps, domid, err);
	*again = rc == 0;
	return rc;
}
