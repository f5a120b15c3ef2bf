/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>

#include "hypervisor/hv.h"

int hv_create(struct hv *h)
{
	struct domain dom;
	int rc;

	if (h->dry_run) {
		rc = h->hv->create_check(h->arg, &dom, &h->err);
		if (!rc)
			printf("would create %s with %llu MiB\n", dom.name,
				(unsigned long long)dom.memory_kb >> 10);
		return rc;
	}
	rc = h->hv->create(h->arg, h->paused, &dom, &h->err);
	if (!rc)
		printf("created %s, ID %u%s\n", dom.name, dom.domid, h->paused ? ", paused" : "");
	return rc;
}

static int act(
	struct hv *h, const char *what, int (*fn)(const struct domain *dom, struct error *err))
{
	struct domain dom;
	int rc = h->hv->find(h->arg, &dom, &h->err);

	if (rc)
		return rc;
	if (!h->dry_run)
		return fn(&dom, &h->err);
	printf("would %s %s, ID %u, now %s\n", what, dom.name, dom.domid,
		domain_state_name(dom.state));
	return 0;
}

int hv_console(struct hv *h)
{
	return act(h, "show", h->hv->console);
}

int hv_pause(struct hv *h)
{
	return act(h, "pause", h->hv->pause);
}

int hv_unpause(struct hv *h)
{
	return act(h, "unpause", h->hv->unpause);
}

int hv_shutdown(struct hv *h)
{
	return act(h, "shut down", h->hv->shutdown);
}

int hv_reboot(struct hv *h)
{
	return act(h, "reboot", h->hv->reboot);
}

int hv_destroy(struct hv *h)
{
	return act(h, "destroy", h->hv->destroy);
}
