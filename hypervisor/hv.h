/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv: what its files share. */
#ifndef HYPERVISOR_HV_H
#define HYPERVISOR_HV_H

#include "hypervisor/hypervisor.h"

/* The command line of one verb, and what it works on. */
struct hv {
	const struct hypervisor *hv;
	const char *arg; /* FILE or DOM, NULL = none */
	bool json, dry_run, paused;
	struct error err;
};

/* hv_show.c */
int hv_list(struct hv *h);
int hv_info(struct hv *h);

/* hv_act.c */
int hv_create(struct hv *h);
int hv_console(struct hv *h);
int hv_pause(struct hv *h);
int hv_unpause(struct hv *h);
int hv_shutdown(struct hv *h);
int hv_reboot(struct hv *h);
int hv_destroy(struct hv *h);

#endif
