/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Xen backend: libxl at the edges, libxenguest for memory. */
#include "hypervisor/hypervisor.h"
#include "hypervisor/xen_check.h"
#include "hypervisor/xen_config.h"
#include "hypervisor/xen_domain.h"
#include "hypervisor/xen_host.h"
#include "hypervisor/xen_restore.h"
#include "hypervisor/xen_ring.h"
#include "hypervisor/xen_save.h"
#include "hypervisor/xen_throttle.h"
#include "hypervisor/xen_watch.h"

const struct hypervisor hypervisor_xen = {
	.name = "xen",
	.probe = xen_host_probe,
	.host = xen_host_info,
	.list = xen_domain_list,
	.find = xen_domain_find,
	.refresh = xen_domain_refresh,
	.create = xen_domain_create,
	.create_check = xen_domain_create_check,
	.pause = xen_domain_pause,
	.unpause = xen_domain_unpause,
	.shutdown = xen_domain_shutdown,
	.reboot = xen_domain_reboot,
	.destroy = xen_domain_destroy,
	.rename = xen_domain_rename,
	.console = xen_domain_console,
	.config = xen_config_json,
	.save_check = xen_check_save,
	.save = xen_save,
	.quiesce = xen_ring_drain,
	.watch = xen_watch,
	.throttle = xen_throttle,
	.resume = xen_domain_resume,
	.restore_check = xen_check_restore,
	.restore_begin = xen_restore_begin,
	.restore_head = xen_restore_head,
	.restore_pages = xen_restore_pages,
	.restore_tail = xen_restore_tail,
	.restore_finish = xen_restore_finish,
	.restore_abort = xen_restore_abort,
	.activate = xen_domain_activate,
};
