/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the Xen backend decides by looking only: configurations, xl's logs, libxl's words. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libxl.h>

#include "hypervisor/xen_check.h"
#include "hypervisor/xen_config.h"
#include "hypervisor/xen_hotplug.h"
#include "hypervisor/xen_keeper.h"
#include "hypervisor/xen_log.h"
#include "hypervisor/xen_ring.h"
#include "hypervisor/xen_shutdown.h"

static void config_of(libxl_domain_config *cfg, libxl_domain_type type)
{
	libxl_domain_config_init(cfg);
	cfg->c_info.type = type;
	libxl_domain_build_info_init_type(&cfg->b_info, type);
	cfg->c_info.name = strdup("g");
	cfg->b_info.max_memkb = cfg->b_info.target_memkb = 131072;
	cfg->b_info.max_vcpus = 1;
}

static void set_pci(libxl_domain_config *cfg)
{
	cfg->num_pcidevs = 1;
	cfg->pcidevs = calloc(1, sizeof(*cfg->pcidevs));
	libxl_device_pci_init(cfg->pcidevs);
}

static void set_9p(libxl_domain_config *cfg)
{
	cfg->num_p9s = 1;
	cfg->p9s = calloc(1, sizeof(*cfg->p9s));
	libxl_device_p9_init(cfg->p9s);
}

static void set_driver_domain(libxl_domain_config *cfg)
{
	cfg->num_disks = 1;
	cfg->disks = calloc(1, sizeof(*cfg->disks));
	libxl_device_disk_init(cfg->disks);
	cfg->disks[0].backend_domid = 3;
}

static void set_no_migrate(libxl_domain_config *cfg)
{
	libxl_defbool_set(&cfg->b_info.disable_migrate, true);
}

static void set_nested(libxl_domain_config *cfg)
{
	libxl_defbool_set(&cfg->b_info.nested_hvm, true);
}

static void set_vnuma(libxl_domain_config *cfg)
{
	cfg->b_info.num_vnuma_nodes = 1;
	cfg->b_info.vnuma_nodes = calloc(1, sizeof(*cfg->b_info.vnuma_nodes));
	libxl_vnode_info_init(cfg->b_info.vnuma_nodes);
}

static void set_altp2m(libxl_domain_config *cfg)
{
	cfg->b_info.altp2m = LIBXL_ALTP2M_MODE_EXTERNAL;
}

static void test_refusals(void **state)
{
	static const struct {
		void (*set)(libxl_domain_config *cfg);
		const char *word;
	} cases[] = {{set_pci, "passthrough"}, {set_9p, "9p"}, {set_driver_domain, "driver domain"},
		{set_no_migrate, "disable_migrate"}, {set_nested, "nestedhvm"}, {set_vnuma, "NUMA"},
		{set_altp2m, "altp2m"}};
	libxl_domain_config cfg;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct findings found = {0};

		config_of(&cfg, LIBXL_DOMAIN_TYPE_PVH);
		xen_check_config(&cfg, "g", &found);
		assert_int_equal(found.nr, 0);
		cases[i].set(&cfg);
		xen_check_config(&cfg, "g", &found);
		assert_int_equal(found.nr, 1);
		assert_int_equal(found.list[0].severity, FINDING_BLOCKER);
		assert_non_null(strstr(found.list[0].what, cases[i].word));
		assert_true(found.list[0].code[0] && found.list[0].fix[0]);
		libxl_domain_config_dispose(&cfg);
	}
}

static void set_stub(libxl_domain_config *cfg)
{
	libxl_defbool_set(&cfg->b_info.device_model_stubdomain, true);
}

static void set_traditional(libxl_domain_config *cfg)
{
	cfg->b_info.device_model_version = LIBXL_DEVICE_MODEL_VERSION_QEMU_XEN_TRADITIONAL;
}

static void set_arguments(libxl_domain_config *cfg)
{
	cfg->b_info.extra_hvm = calloc(2, sizeof(char *));
	cfg->b_info.extra_hvm[0] = strdup("-snapshot");
}

static void set_serial_file(libxl_domain_config *cfg)
{
	cfg->b_info.u.hvm.serial = strdup("file:/etc/shadow");
}

static void set_graphics(libxl_domain_config *cfg)
{
	libxl_defbool_set(&cfg->b_info.u.hvm.gfx_passthru, true);
}

static void set_other_kind(libxl_domain_config *cfg)
{
	cfg->c_info.type = LIBXL_DOMAIN_TYPE_PV; /* b_info still says HVM */
}

/* An HVM guest moves, unless its QEMU is one that cannot, or that root should not start. */
static void test_hvm_refusals(void **state)
{
	static const struct {
		void (*set)(libxl_domain_config *cfg);
		const char *code;
	} cases[] = {{set_stub, "device-model"}, {set_traditional, "device-model"},
		{set_arguments, "device-model"}, {set_serial_file, "device-model"},
		{set_graphics, "passthrough"}, {set_other_kind, "type"}};
	libxl_domain_config cfg;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct findings found = {0};

		config_of(&cfg, LIBXL_DOMAIN_TYPE_HVM);
		cfg.b_info.u.hvm.serial = i == 3 ? NULL : strdup("pty");
		xen_check_config(&cfg, "g", &found);
		assert_int_equal(found.nr, 0);
		cases[i].set(&cfg);
		xen_check_config(&cfg, "g", &found);
		assert_int_equal(found.nr, 1);
		assert_string_equal(found.list[0].code, cases[i].code);
		libxl_domain_config_dispose(&cfg);
	}
}

static void test_all_refusals_at_once(void **state)
{
	struct findings found = {0};
	libxl_domain_config cfg;

	(void)state;
	config_of(&cfg, LIBXL_DOMAIN_TYPE_PVH);
	set_pci(&cfg);
	set_nested(&cfg);
	set_vnuma(&cfg);
	set_altp2m(&cfg);
	xen_check_config(&cfg, "g", &found);
	assert_int_equal(findings_count(&found, FINDING_BLOCKER), 4);
	libxl_domain_config_dispose(&cfg);
}

static void test_types(void **state)
{
	struct findings found = {0};
	libxl_domain_config cfg;

	(void)state;
	config_of(&cfg, LIBXL_DOMAIN_TYPE_PV);
	xen_check_config(&cfg, "g", &found);
	assert_int_equal(found.nr, 0);
	assert_int_equal(xen_check_limits(&cfg).guest, XEN_GUEST_PV);
	libxl_domain_config_dispose(&cfg);
	config_of(&cfg, LIBXL_DOMAIN_TYPE_HVM);
	xen_check_config(&cfg, "g", &found);
	assert_int_equal(found.nr, 0);
	assert_int_equal(xen_check_limits(&cfg).guest, XEN_GUEST_HVM);
	assert_true(xen_check_limits(&cfg).emulator);
	libxl_domain_config_dispose(&cfg);
	libxl_domain_config_init(&cfg); /* what a peer may send */
	found.nr = 0;
	xen_check_config(&cfg, "g", &found);
	assert_non_null(findings_stop(&found, true));
	libxl_domain_config_dispose(&cfg);
}

static void test_limits(void **state)
{
	libxl_domain_config cfg;
	struct xen_stream_limits limits;

	(void)state;
	config_of(&cfg, LIBXL_DOMAIN_TYPE_PVH);
	limits = xen_check_limits(&cfg);
	assert_int_equal(limits.guest, XEN_GUEST_HVM);
	assert_int_equal(limits.xen_minor, 17);
	assert_false(limits.emulator); /* no record for a QEMU that is not there */
	assert_true(limits.pfn_max >= 0x100000 + 32768); /* memory above a hole up to 4 GiB */
	assert_true(limits.pfn_max < UINT64_C(1) << 28); /* a bitmap of 32 MiB would be too much */
	libxl_domain_config_dispose(&cfg);
}

static void test_describe(void **state)
{
	struct error err = ERROR_INIT;
	libxl_domain_config cfg;
	struct domain dom;

	(void)state;
	config_of(&cfg, LIBXL_DOMAIN_TYPE_PVH);
	set_driver_domain(&cfg);
	cfg.disks[0].pdev_path = strdup("/dev/drbd1");
	cfg.disks[0].vdev = strdup("xvda");
	cfg.disks[0].readwrite = 1;
	assert_int_equal(xen_config_describe(&cfg, &dom, &err), 0);
	assert_string_equal(dom.name, "g");
	assert_int_equal(dom.type, DOMAIN_PVH);
	assert_int_equal(dom.memory_kb, 131072);
	assert_int_equal(dom.nr_disks, 1);
	assert_string_equal(dom.disk[0].path, "/dev/drbd1");
	assert_false(dom.disk[0].readonly);
	free(cfg.c_info.name);
	cfg.c_info.name = strdup("../../etc/passwd");
	assert_int_equal(xen_config_describe(&cfg, &dom, &err), -EINVAL);
	libxl_domain_config_dispose(&cfg);
}

static void test_xl_log(void **state)
{
	static const char text[] = "Waiting for domain g (domid 3) to die [pid 800]\n"
				   "Domain 3 has shut down, reason code 1 0x1\n"
				   "Done. Rebooting now\n"
				   "Waiting for domain g (domid 12) to die [pid 900]\n"
				   "Waiting for domain torn (domid 9\n"
				   "Waiting for domain h (domid 14) to die [pid 901]\n";
	uint32_t domid = 0;

	(void)state;
	assert_int_equal(xen_keeper_log_domid(text, 900, &domid), 0);
	assert_int_equal(domid, 12);
	assert_int_equal(xen_keeper_log_domid(text, 901, &domid), 0);
	assert_int_equal(domid, 14);
	assert_int_equal(xen_keeper_log_domid(text, 902, &domid), -ENOENT);
	assert_int_equal(xen_keeper_log_domid("", 900, &domid), -ENOENT);
}

static void test_reasons(void **state)
{
	xentoollog_logger *lg = xen_log_logger();
	char text[256];

	(void)state;
	xen_log_clear();
	xen_log_reason(text, sizeof(text));
	assert_string_equal(text, "");
	xtl_log(lg, XTL_INFO, -1, "libxl", "nothing to see");
	xtl_log(lg, XTL_ERROR, -1, "libxl", "libxl_dom.c:99:fn: Domain 5:no memory");
	xen_log_reason(text, sizeof(text));
	assert_string_equal(text, "Domain 5:no memory");
	xtl_log(lg, XTL_ERROR, EBUSY, "xc", "in the middle\n");
	xtl_log(lg, XTL_CRITICAL, ENOENT, "xc", "see a.c: it is gone");
	xen_log_reason(text, sizeof(text));
	assert_string_equal(text, "Domain 5:no memory; then see a.c: it is gone: "
				  "No such file or directory");
}

static void test_actions(void **state)
{
	libxl_domain_config cfg;

	(void)state;
	config_of(&cfg, LIBXL_DOMAIN_TYPE_PVH);
	cfg.on_poweroff = LIBXL_ACTION_ON_SHUTDOWN_DESTROY;
	cfg.on_reboot = LIBXL_ACTION_ON_SHUTDOWN_RESTART;
	cfg.on_crash = LIBXL_ACTION_ON_SHUTDOWN_PRESERVE;
	cfg.on_watchdog = LIBXL_ACTION_ON_SHUTDOWN_RESTART_RENAME;
	cfg.on_soft_reset = LIBXL_ACTION_ON_SHUTDOWN_SOFT_RESET;
	for (int reason = -1; reason < 300; reason++) {
		libxl_action_on_shutdown action = xen_shutdown_action(&cfg, reason);
		struct xen_shutdown_steps steps = xen_shutdown_steps(action);

		/* Never made again beside one that still has its name, disks and memory. */
		assert_true(!steps.create || steps.destroy || steps.preserve);
		assert_false(steps.destroy && steps.preserve);
		if (reason > LIBXL_SHUTDOWN_REASON_SOFT_RESET)
			assert_int_equal(action, LIBXL_ACTION_ON_SHUTDOWN_DESTROY);
	}
	assert_true(xen_shutdown_steps(cfg.on_reboot).create);
	assert_false(xen_shutdown_steps(cfg.on_crash).destroy);
	assert_true(xen_shutdown_steps(LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_RESTART).dump);
	assert_true(xen_shutdown_steps((libxl_action_on_shutdown)77).destroy);
	libxl_domain_config_dispose(&cfg);
}

/* A ring is idle when the last request that the guest put there is answered; 32 bits wrap. */
static void test_ring(void **state)
{
	static const struct {
		uint32_t req, req_event, rsp, rsp_event;
		bool idle;
	} cases[] = {
		{0, 1, 0, 1, true},
		{7, 8, 7, 1, true},
		{7, 8, 6, 7, false},
		{2, 3, UINT32_MAX, 0, false},
		{UINT32_MAX, 5, UINT32_MAX, 9, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t page[1024] = {
			cases[i].req, cases[i].req_event, cases[i].rsp, cases[i].rsp_event};

		assert_int_equal(xen_ring_idle(page), cases[i].idle);
	}
}

/* Ours attaches what a stock script would; another's script is never touched. */
static void test_hotplug(void **state)
{
	static char *const scripts[] = {
		NULL, "vif-bridge", "/etc/xen/scripts/vif-bridge", "/opt/vif-route"};
	libxl_domain_config cfg;

	(void)state;
	config_of(&cfg, LIBXL_DOMAIN_TYPE_PVH);
	cfg.num_nics = 4;
	cfg.nics = calloc(4, sizeof(*cfg.nics));
	for (int i = 0; i < 4; i++) {
		libxl_device_nic_init(&cfg.nics[i]);
		cfg.nics[i].script = scripts[i] ? strdup(scripts[i]) : NULL;
	}
	cfg.num_disks = 1;
	cfg.disks = calloc(1, sizeof(*cfg.disks));
	libxl_device_disk_init(cfg.disks);
	cfg.disks[0].format = LIBXL_DISK_FORMAT_RAW;
	cfg.disks[0].pdev_path = strdup("/dev/null"); /* no block device */
	assert_false(xen_hotplug_forget(&cfg, "/ours"));
	xen_hotplug_use(&cfg, "/ours");
	for (int i = 0; i < 3; i++)
		assert_string_equal(cfg.nics[i].script, "/ours");
	assert_string_equal(cfg.nics[3].script, "/opt/vif-route");
	assert_null(cfg.disks[0].script);
	assert_true(xen_hotplug_forget(&cfg, "/ours"));
	for (int i = 0; i < 3; i++)
		assert_string_equal(cfg.nics[i].script, "/etc/xen/scripts/vif-bridge");
	libxl_domain_config_dispose(&cfg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_hvm_refusals),
		cmocka_unit_test(test_all_refusals_at_once),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_describe),
		cmocka_unit_test(test_xl_log),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_hotplug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
