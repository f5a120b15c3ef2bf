/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Xen backend's checks on both hosts against a libxl, a libxc and a xenstore of this file's
 * own: what they say is set by each case, what comes of it is the list of findings.
 */
#include "test.h"

#include <libxl.h>
#include <libxl_event.h>
#include <libxl_utils.h>
#include <xenstore.h>

#include "hypervisor/cpu.h"
#include "hypervisor/xen_check.h"
#include "hypervisor/xen_config.h"
#include "hypervisor/xen_ctrl.h"
#include "xen_fake.h"

#define DOMID 5u

static struct {
	/* this host */
	bool no_hap, no_pv, no_shadow;
	uint32_t khz;
	int xen_minor;
	uint64_t free_kb, need_kb;
	const char *most;  /* recorded policy of the most that it can give */
	const char *there; /* a domain on the destination */
	uint32_t there_domid;
	uint8_t there_uuid, there_mac;
	/* the domain */
	libxl_dominfo info;
	libxl_domain_type type;
	const char *kernel, *bridge, *disk, *script, *program;
	bool passthrough;
	uint64_t pod;
	const char *feature_suspend, *vif_state;
	uint32_t tsc_mode, tsc_khz;
	const char *cpu; /* its recorded policy */
} fake;

/* libxl */

int libxl_domain_info(libxl_ctx *ctx, libxl_dominfo *info, uint32_t domid)
{
	(void)ctx;
	assert_int_equal(domid, DOMID);
	*info = fake.info;
	return 0;
}

int libxl_get_physinfo(libxl_ctx *ctx, libxl_physinfo *phys)
{
	(void)ctx;
	phys->cap_hvm = true;
	phys->cap_hap = !fake.no_hap;
	phys->cap_pv = !fake.no_pv;
	phys->cap_shadow = !fake.no_shadow;
	phys->cpu_khz = fake.khz;
	phys->nr_cpus = 4;
	return 0;
}

const libxl_version_info *libxl_get_version_info(libxl_ctx *ctx)
{
	static libxl_version_info version = {.xen_version_major = 4};

	(void)ctx;
	version.xen_version_minor = fake.xen_minor;
	version.xen_version_extra = (char *)(uintptr_t) ".7";
	return &version;
}

static void fill_devices(libxl_domain_config *cfg)
{
	static const uint8_t mac[6] = {0, 0x16, 0x3e, 0, 0, 9};

	if (fake.bridge) {
		cfg->num_nics = 1;
		cfg->nics = calloc(1, sizeof(*cfg->nics));
		libxl_device_nic_init(cfg->nics);
		memcpy(cfg->nics[0].mac, mac, sizeof(mac));
		cfg->nics[0].bridge = strdup(fake.bridge);
		cfg->nics[0].script = fake.script ? strdup(fake.script) : NULL;
	}
	if (fake.disk) {
		cfg->num_disks = 1;
		cfg->disks = calloc(1, sizeof(*cfg->disks));
		libxl_device_disk_init(cfg->disks);
		cfg->disks[0].pdev_path = strdup(fake.disk);
		cfg->disks[0].vdev = strdup("xvda");
	}
	if (fake.passthrough) {
		cfg->num_pcidevs = 1;
		cfg->pcidevs = calloc(1, sizeof(*cfg->pcidevs));
		libxl_device_pci_init(cfg->pcidevs);
	}
}

static void fill_config(libxl_domain_config *cfg)
{
	cfg->c_info.type = fake.type;
	libxl_domain_build_info_init_type(&cfg->b_info, fake.type);
	cfg->c_info.name = strdup("web");
	cfg->c_info.uuid.uuid[0] = 7;
	cfg->b_info.max_memkb = cfg->b_info.target_memkb = 131072;
	cfg->b_info.max_vcpus = 8;
	cfg->b_info.kernel = fake.kernel ? strdup(fake.kernel) : NULL;
	cfg->b_info.bootloader = fake.program ? strdup(fake.program) : NULL;
	fill_devices(cfg);
}

int libxl_retrieve_domain_configuration(
	libxl_ctx *ctx, uint32_t domid, libxl_domain_config *cfg, const libxl_asyncop_how *how)
{
	(void)ctx;
	(void)how;
	assert_int_equal(domid, DOMID);
	fill_config(cfg);
	return 0;
}

char *libxl_domain_config_to_json(libxl_ctx *ctx, libxl_domain_config *cfg)
{
	(void)ctx;
	return strdup(cfg->c_info.name);
}

int libxl_domain_config_from_json(libxl_ctx *ctx, libxl_domain_config *cfg, const char *json)
{
	(void)ctx;
	assert_string_equal(json, "web");
	fill_config(cfg);
	return 0;
}

int libxl_name_to_domid(libxl_ctx *ctx, const char *name, uint32_t *domid)
{
	(void)ctx;
	*domid = fake.there_domid;
	return fake.there && strcmp(fake.there, name) == 0 ? 0 : ERROR_INVAL;
}

char *libxl_domid_to_name(libxl_ctx *ctx, uint32_t domid)
{
	(void)ctx;
	assert_int_equal(domid, fake.there_domid);
	return fake.there ? strdup(fake.there) : NULL;
}

libxl_dominfo *libxl_list_domain(libxl_ctx *ctx, int *nr)
{
	libxl_dominfo *list = calloc(2, sizeof(*list));

	(void)ctx;
	libxl_dominfo_init(&list[0]);
	libxl_dominfo_init(&list[1]);
	list[0].domid = 0;
	list[1].domid = fake.there_domid;
	list[1].domain_type = LIBXL_DOMAIN_TYPE_PVH;
	list[1].uuid.uuid[0] = fake.there_uuid;
	*nr = fake.there ? 2 : 1;
	return list;
}

void libxl_dominfo_list_free(libxl_dominfo *list, int nr)
{
	(void)nr;
	free(list);
}

libxl_device_nic *libxl_device_nic_list(libxl_ctx *ctx, uint32_t domid, int *num)
{
	libxl_device_nic *nics = calloc(1, sizeof(*nics));
	const uint8_t mac[6] = {0, 0x16, 0x3e, 0, 0, fake.there_mac};

	(void)ctx;
	(void)domid;
	libxl_device_nic_init(nics);
	memcpy(nics->mac, mac, sizeof(mac));
	*num = 1;
	return nics;
}

void libxl_device_nic_list_free(libxl_device_nic *list, int num)
{
	(void)num;
	free(list);
}

libxl_device_disk *libxl_device_disk_list(libxl_ctx *ctx, uint32_t domid, int *num)
{
	(void)ctx;
	(void)domid;
	*num = 0;
	return NULL;
}

void libxl_device_disk_list_free(libxl_device_disk *list, int num)
{
	(void)list;
	(void)num;
}

int libxl_domain_need_memory(
	libxl_ctx *ctx, libxl_domain_config *cfg, uint32_t domid, uint64_t *need_kb)
{
	(void)ctx;
	(void)cfg;
	(void)domid;
	*need_kb = fake.need_kb;
	return 0;
}

int libxl_get_free_memory(libxl_ctx *ctx, uint64_t *free_kb)
{
	(void)ctx;
	*free_kb = fake.free_kb;
	return 0;
}

/* libxc: a policy is the name of a recorded one. */

xc_interface *xc_interface_open(
	xentoollog_logger *logger, xentoollog_logger *dombuild_logger, unsigned flags)
{
	(void)dombuild_logger;
	(void)flags;
	return (xc_interface *)logger;
}

int xc_interface_close(xc_interface *xch)
{
	(void)xch;
	return 0;
}

int xc_domain_get_pod_target(xc_interface *xch, uint32_t domid, uint64_t *tot_pages,
	uint64_t *pod_cache_pages, uint64_t *pod_entries)
{
	(void)xch;
	(void)domid;
	*tot_pages = *pod_cache_pages = 0;
	*pod_entries = fake.pod;
	return 0;
}

int xc_domain_get_tsc_info(xc_interface *xch, uint32_t domid, uint32_t *tsc_mode,
	uint64_t *elapsed_nsec, uint32_t *gtsc_khz, uint32_t *incarnation)
{
	(void)xch;
	(void)domid;
	*tsc_mode = fake.tsc_mode;
	*elapsed_nsec = 0;
	*gtsc_khz = fake.tsc_khz;
	*incarnation = 0;
	return 0;
}

xc_cpu_policy_t *xc_cpu_policy_init(void)
{
	return calloc(1, sizeof(const char *));
}

void xc_cpu_policy_destroy(xc_cpu_policy_t *policy)
{
	free(policy);
}

int xc_cpu_policy_get_system(xc_interface *xch, unsigned index, xc_cpu_policy_t *policy)
{
	(void)xch;
	assert_int_equal(index, fake.type == LIBXL_DOMAIN_TYPE_PV ? XEN_SYSCTL_cpu_policy_pv_max
								  : XEN_SYSCTL_cpu_policy_hvm_max);
	*(const char **)policy = fake.most;
	return 0;
}

int xc_cpu_policy_get_domain(xc_interface *xch, uint32_t domid, xc_cpu_policy_t *policy)
{
	(void)xch;
	assert_int_equal(domid, DOMID);
	*(const char **)policy = fake.cpu;
	return 0;
}

int xc_cpu_policy_serialise(xc_interface *xch, const xc_cpu_policy_t *policy,
	xen_cpuid_leaf_t *leaves, uint32_t *nr_leaves, xen_msr_entry_t *msrs, uint32_t *nr_msrs)
{
	static struct cpu_policy p;
	char path[512];
	json_t *json;

	(void)xch;
	(void)msrs;
	snprintf(path, sizeof(path), TEST_DATA "/cpu/%s.json", *(const char *const *)policy);
	json = json_load_file(path, 0, NULL);
	assert_int_equal(cpu_policy_decode(json, &p), 0);
	json_decref(json);
	assert_in_range(p.nr_leaves, 1, *nr_leaves);
	for (unsigned i = 0; i < p.nr_leaves; i++)
		leaves[i] = (xen_cpuid_leaf_t){p.leaf[i].leaf, p.leaf[i].subleaf, p.leaf[i].reg[0],
			p.leaf[i].reg[1], p.leaf[i].reg[2], p.leaf[i].reg[3]};
	*nr_leaves = p.nr_leaves;
	*nr_msrs = 0;
	return 0;
}

/* xenstore */

struct xs_handle *xs_open(unsigned long flags)
{
	(void)flags;
	return (struct xs_handle *)&fake;
}

void xs_close(struct xs_handle *xs)
{
	(void)xs;
}

void *xs_read(struct xs_handle *xs, xs_transaction_t t, const char *path, unsigned *len)
{
	const char *value = strstr(path, "feature-suspend") ? fake.feature_suspend
			    : strstr(path, "/vif/0/state")  ? fake.vif_state
							    : NULL;

	(void)xs;
	(void)t;
	*len = value ? (unsigned)strlen(value) : 0;
	return value ? strdup(value) : NULL;
}

char **xs_directory(struct xs_handle *xs, xs_transaction_t t, const char *path, unsigned *num)
{
	char **list = calloc(1, sizeof(*list));

	(void)xs;
	(void)t;
	list[0] = (char *)(uintptr_t) "0";
	*num = strstr(path, "/vif") ? 1 : 0;
	return list;
}

/* The checks */

static struct findings found;

static int setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.khz = fake.tsc_khz = 2600000;
	fake.xen_minor = 17;
	fake.free_kb = 1 << 20;
	fake.need_kb = 140000;
	fake.cpu = "haswell-guest";
	fake.most = "haswell-max";
	fake.type = LIBXL_DOMAIN_TYPE_PVH;
	fake.feature_suspend = "1";
	fake.vif_state = "4";
	libxl_dominfo_init(&fake.info);
	fake.info.domain_type = LIBXL_DOMAIN_TYPE_PVH;
	fake.info.current_memkb = 131072;
	fake.info.shared_memkb = fake.info.paged_memkb = 0;
	fake.there_domid = 9;
	fake.there_uuid = 8;
	fake.there_mac = 8;
	return 0;
}

static const struct domain web = {.name = "web", .domid = DOMID, .type = DOMAIN_PVH};

/* What has been found, as "code code". */
static const char *codes(void)
{
	static char text[512];

	text[0] = '\0';
	for (unsigned i = 0; i < found.nr; i++) {
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
			found.list[i].code);
		assert_true(found.list[i].what[0] && found.list[i].fix[0]);
	}
	return text;
}

static const char *at_source(const struct domain *dom)
{
	struct error err = ERROR_INIT;

	found = (struct findings){0};
	assert_int_equal(xen_check_save(dom, &found, &err), 0);
	return codes();
}

/* As the source describes it, with the fake host as it is then; then `change` makes another of it.
 */
static const char *at_destination(void (*change)(void))
{
	struct error err = ERROR_INIT;
	struct domain dom;
	char *json;

	found = (struct findings){0};
	assert_int_equal(xen_config_json(&web, &json, &err), 0);
	if (change)
		change();
	assert_int_equal(xen_check_restore(json, &dom, &found, &err), 0);
	assert_string_equal(dom.name, "web");
	free(json);
	return codes();
}

static void test_nothing(void **state)
{
	(void)state;
	assert_string_equal(at_source(&web), "");
	/* 8 vCPUs on 4 processors */
	assert_string_equal(at_destination(NULL), "vcpus");
	assert_int_equal(found.list[0].severity, FINDING_WARNING);
}

static void test_source(void **state)
{
	struct domain pv = web;

	fake.info.paused = true;
	fake.info.paged_memkb = 4;
	fake.passthrough = true;
	fake.pod = 12;
	fake.feature_suspend = NULL;
	fake.vif_state = "1";
	assert_string_equal(at_source(&web), "state shared-memory passthrough unresponsive pod");
	assert_int_equal(findings_count(&found, FINDING_BLOCKER), 5);

	setup(state);
	fake.info.dying = true;
	assert_string_equal(at_source(&web), "state");
	assert_non_null(strstr(found.list[0].what, "web does not run"));

	setup(state);
	fake.feature_suspend = NULL; /* xl has moved it */
	assert_string_equal(at_source(&web), "suspend");
	assert_int_equal(found.list[0].severity, FINDING_WARNING);

	setup(state);
	pv.type = DOMAIN_PV;
	assert_string_equal(at_source(&pv), "");
	fake.no_shadow = true;
	assert_string_equal(at_source(&pv), "log-dirty");
	assert_non_null(strstr(found.list[0].what, "no shadow paging"));
}

static void test_balloon(void **state)
{
	(void)state;
	fake.info.current_memkb = 131072 + 1024;
	assert_string_equal(at_source(&web), "");
	fake.info.current_memkb = 131072 + 8192;
	assert_string_equal(at_source(&web), "balloon");
	assert_string_equal(found.list[0].what, "web holds 8 MiB more memory than its target");
	assert_string_equal(
		found.list[0].fix, "Set its target to what it holds: xl mem-set web 136");
}

static void test_devices(void **state)
{
	(void)state;
	fake.bridge = "lbtnosuch";
	fake.disk = "/nonexistent/disk";
	fake.script = "/tmp/evil";
	fake.kernel = "/nonexistent/vmlinuz";
	fake.program = "/tmp/evil";
	fake.free_kb = 100000;
	assert_string_equal(at_destination(NULL), "program vcpus bridge script disk kernel memory");
	assert_int_equal(findings_count(&found, FINDING_BLOCKER), 5);
	assert_int_equal(findings_count(&found, FINDING_RISK), 1);
	assert_string_equal(found.list[2].what, "there is no bridge lbtnosuch for web");
	assert_string_equal(
		found.list[6].what, "web needs 136 MiB of memory, only 97 MiB are free");
}

static void test_identity(void **state)
{
	(void)state;
	fake.bridge = "lbtnosuch";
	fake.there = "web";
	assert_string_equal(at_destination(NULL), "name vcpus bridge");
	assert_string_equal(found.list[0].what, "there is a domain web already (domain 9)");
	fake.there = "web--incoming";
	assert_string_equal(at_destination(NULL), "name vcpus bridge");
	fake.there = "other";
	assert_string_equal(at_destination(NULL), "vcpus bridge");
	fake.there_uuid = 7;
	assert_string_equal(at_destination(NULL), "uuid vcpus bridge");
	fake.there_uuid = 8;
	fake.there_mac = 9;
	assert_string_equal(at_destination(NULL), "mac vcpus bridge");
	assert_int_equal(found.list[0].severity, FINDING_RISK);
	assert_string_equal(found.list[0].what,
		"domain other on this host has the MAC address 00:16:3e:00:00:09 of web too");
}

static void less_virtualisation(void)
{
	fake.no_hap = fake.no_pv = true;
}

static void test_virtualisation(void **state)
{
	(void)state;
	assert_string_equal(at_destination(less_virtualisation), "hap vcpus");
	fake.type = LIBXL_DOMAIN_TYPE_PV;
	assert_string_equal(at_destination(less_virtualisation), "type vcpus");
}

static void another_machine(void)
{
	fake.most = "haswell-max";
	fake.khz = 2100000;
	fake.xen_minor = 16;
}

static void test_machine(void **state)
{
	(void)state;
	fake.cpu = "skylake-guest";
	assert_string_equal(at_destination(another_machine), "xen-version cpu-features tsc vcpus");
	assert_int_equal(findings_count(&found, FINDING_BLOCKER), 2);
	assert_non_null(strstr(found.list[1].what, "avx512f"));
	assert_non_null(strstr(found.list[1].fix, "avx512f=0"));
	assert_int_equal(found.list[2].severity, FINDING_WARNING);
	/* The reverse is fine but for the clock's rate. */
	setup(state);
	fake.most = "skylake-max";
	fake.tsc_mode = 2; /* native: it sees the processor's own, which Xen does not tell */
	fake.tsc_khz = 0;
	assert_string_equal(at_destination(NULL), "vcpus");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_nothing, setup),
		cmocka_unit_test_setup(test_source, setup),
		cmocka_unit_test_setup(test_balloon, setup),
		cmocka_unit_test_setup(test_devices, setup),
		cmocka_unit_test_setup(test_identity, setup),
		cmocka_unit_test_setup(test_virtualisation, setup),
		cmocka_unit_test_setup(test_machine, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
