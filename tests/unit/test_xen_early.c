/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices that are attached before their guest comes, against a libxl and a xenstore of this file's
 * own: the processes and pipes are real, domains and devices are not. What the fakes saw lies in
 * memory that all the processes share.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>
#include <libxl.h>
#include <libxl_event.h>
#include <libxl_utils.h>
#include <xenstore.h>

#include "hypervisor/xen_attach.h"
#include "hypervisor/xen_early.h"
#include "hypervisor/xen_hotplug.h"
#include "xen_fake.h"

#define DOMID	  7u
#define NAME	  "g" SUFFIX_INCOMING
#define VBD	  "51712"
#define NODES_MAX 32

struct fake {
	/* what shall happen */
	bool nic_fails, add_waits, vbd_refused, gone, other;
	volatile bool exists, released;
	/* what happened */
	volatile bool looking, adding;
	unsigned nics, disks;
	const char *hotplug_error;
	char nic_script[256], disk_script[256], device_at_add[64];
	char json[256]; /* the configuration that is written down: "NAME nics disks" */
	struct {
		char path[128], value[256];
	} node[NODES_MAX];
};

static struct fake *fake;
static char program[PATH_MAX], block[64] = "/tmp/lifeboat-early.XXXXXX";
static bool have_block;

/* xenstore */

static struct xs_handle *const handle = (struct xs_handle *)&fake;

struct xs_handle *xs_open(unsigned long flags)
{
	(void)flags;
	return handle;
}

void xs_close(struct xs_handle *h)
{
	assert_ptr_equal(h, handle);
}

static int node(const char *path)
{
	for (int i = 0; i < NODES_MAX; i++)
		if (strcmp(fake->node[i].path, path) == 0)
			return i;
	return -1;
}

static const char *value(const char *path)
{
	int i = node(path);

	return i < 0 ? NULL : fake->node[i].value;
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data,
	unsigned int len)
{
	int i = node(path);

	(void)h;
	(void)t;
	if (i < 0)
		i = node("");
	assert_true(i >= 0);
	snprintf(fake->node[i].path, sizeof(fake->node[i].path), "%s", path);
	snprintf(fake->node[i].value, sizeof(fake->node[i].value), "%.*s", (int)len,
		(const char *)data);
	return true;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
	const char *found = value(path);

	(void)h;
	(void)t;
	*len = found ? (unsigned)strlen(found) : 0;
	return found ? strdup(found) : NULL;
}

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	(void)h;
	(void)t;
	for (int i = 0; i < NODES_MAX; i++)
		if (strncmp(fake->node[i].path, path, strlen(path)) == 0)
			fake->node[i].path[0] = '\0';
	return true;
}

/* One device of a kind is all that there is. */
char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
	char script[160];
	char **list;

	(void)h;
	(void)t;
	*num = 0;
	for (int i = 0; i < 2; i++) {
		snprintf(script, sizeof(script), "%s/%s/script", path, i ? VBD : "0");
		if (!value(script))
			continue;
		list = malloc(sizeof(*list) + 8);
		snprintf((char *)(list + 1), 8, "%s", i ? VBD : "0");
		list[0] = (char *)(list + 1);
		*num = 1;
		return list;
	}
	return NULL;
}

/* It fires all the time: who watches looks again and again. */
bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
	(void)h;
	(void)token;
	return strcmp(path, "/libxl") == 0;
}

int xs_fileno(struct xs_handle *h)
{
	(void)h;
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

char **xs_check_watch(struct xs_handle *h)
{
	(void)h;
	sched_yield();
	return NULL;
}

/* libxl */

static int complain(libxl_ctx *ctx, const char *words)
{
	xtl_log((xentoollog_logger *)ctx, XTL_ERROR, -1, "libxl", "libxl_device.c:42:add: %s",
		words);
	return ERROR_FAIL;
}

void libxl_postfork_child_noexec(libxl_ctx *ctx)
{
	(void)ctx;
}

int libxl_name_to_domid(libxl_ctx *ctx, const char *name, uint32_t *domid)
{
	(void)ctx;
	*domid = DOMID;
	fake->looking = true;
	return fake->exists && strcmp(name, NAME) == 0 ? 0 : ERROR_INVAL;
}

int libxl_domain_info(libxl_ctx *ctx, libxl_dominfo *info, uint32_t domid)
{
	(void)ctx;
	assert_int_equal(domid, DOMID);
	if (info)
		info->uuid.uuid[0] = fake->other ? 2 : 1;
	return fake->gone ? ERROR_DOMAIN_NOTFOUND : 0;
}

static void wait_for_release(void)
{
	fake->adding = true;
	while (fake->add_waits && !fake->released)
		sched_yield();
}

int libxl_device_nic_add(
	libxl_ctx *ctx, uint32_t domid, libxl_device_nic *nic, const libxl_asyncop_how *how)
{
	(void)domid;
	(void)how;
	wait_for_release();
	if (fake->nic_fails)
		return complain(ctx, "no such bridge");
	fake->nics++;
	snprintf(fake->nic_script, sizeof(fake->nic_script), "%s", nic->script);
	xs_write(handle, 0, "backend/vif/7/0/script", nic->script, (unsigned)strlen(nic->script));
	xs_write(handle, 0, "/libxl/7/device/vif/0/script", nic->script,
		(unsigned)strlen(nic->script));
	return 0;
}

int libxl_device_disk_add(
	libxl_ctx *ctx, uint32_t domid, libxl_device_disk *disk, const libxl_asyncop_how *how)
{
	(void)ctx;
	(void)domid;
	(void)how;
	fake->disks++;
	snprintf(fake->disk_script, sizeof(fake->disk_script), "%s", disk->script);
	xs_write(handle, 0, "backend/vbd/7/" VBD "/script", disk->script,
		(unsigned)strlen(disk->script));
	return 0;
}

int libxl_device_disk_getinfo(
	libxl_ctx *ctx, uint32_t domid, const libxl_device_disk *disk, libxl_diskinfo *info)
{
	(void)ctx;
	(void)domid;
	assert_string_equal(disk->vdev, "xvda");
	info->devid = atoi(VBD);
	return 0;
}

int libxl_userdata_store(
	libxl_ctx *ctx, uint32_t domid, const char *id, const uint8_t *data, int len)
{
	(void)ctx;
	assert_int_equal(domid, DOMID);
	assert_string_equal(id, "libxl-json");
	snprintf(fake->json, sizeof(fake->json), "%.*s", len, (const char *)data);
	return 0;
}

int libxl_userdata_retrieve(
	libxl_ctx *ctx, uint32_t domid, const char *id, uint8_t **data, int *len)
{
	(void)ctx;
	(void)domid;
	(void)id;
	*data = (uint8_t *)strdup(fake->json);
	*len = (int)strlen(fake->json) + 1;
	return 0;
}

char *libxl_domain_config_to_json(libxl_ctx *ctx, libxl_domain_config *cfg)
{
	char text[256];

	(void)ctx;
	snprintf(text, sizeof(text), "%s %d %d", cfg->c_info.name, cfg->num_nics, cfg->num_disks);
	return strdup(text);
}

int libxl_domain_config_from_json(libxl_ctx *ctx, libxl_domain_config *cfg, const char *json)
{
	char name[64];

	(void)ctx;
	if (sscanf(json, "%63s %d %d", name, &cfg->num_nics, &cfg->num_disks) != 3)
		return ERROR_INVAL;
	cfg->c_info.name = strdup(name);
	cfg->nics = calloc((size_t)cfg->num_nics + 1, sizeof(*cfg->nics));
	cfg->disks = calloc((size_t)cfg->num_disks + 1, sizeof(*cfg->disks));
	return 0;
}

void libxl_domain_create_info_copy(
	libxl_ctx *ctx, libxl_domain_create_info *dst, const libxl_domain_create_info *src)
{
	(void)ctx;
	dst->name = strdup(src->name);
}

void libxl_domain_build_info_copy(
	libxl_ctx *ctx, libxl_domain_build_info *dst, const libxl_domain_build_info *src)
{
	(void)ctx;
	dst->max_vcpus = src->max_vcpus;
}

void libxl_device_nic_copy(libxl_ctx *ctx, libxl_device_nic *dst, const libxl_device_nic *src)
{
	(void)ctx;
	assert_null(src->script); /* the stock one, whatever it was attached by */
	dst->devid = src->devid;
}

void libxl_device_disk_copy(libxl_ctx *ctx, libxl_device_disk *dst, const libxl_device_disk *src)
{
	(void)ctx;
	assert_null(src->script);
	dst->vdev = strdup(src->vdev);
}

/* The hotplug program */

char *hotplug_read(const struct hotplug *h, const char *key)
{
	assert_string_equal(key, "hotplug-error");
	if (!fake->hotplug_error || strcmp(h->backend, "backend/vif/7/0") != 0)
		return NULL;
	return strdup(fake->hotplug_error);
}

bool hotplug_write(const struct hotplug *h, const char *key, const char *text)
{
	(void)h;
	(void)key;
	(void)text;
	return false;
}

bool hotplug_vbd(const struct hotplug *h)
{
	assert_string_equal(h->backend, "backend/vbd/7/" VBD);
	if (fake->vbd_refused)
		return false;
	return xs_write(h->xs, 0, "backend/vbd/7/" VBD "/physical-device", "fe:0", 4);
}

/* The tests. */

static void add_nic(libxl_domain_config *cfg, const char *script, const char *backend)
{
	libxl_device_nic *nic = &cfg->nics[cfg->num_nics++];

	libxl_device_nic_init(nic);
	nic->devid = cfg->num_nics - 1;
	nic->script = script ? strdup(script) : NULL;
	nic->backend_domname = backend ? strdup(backend) : NULL;
}

static void add_disk(libxl_domain_config *cfg, const char *path, const char *vdev, bool cdrom)
{
	libxl_device_disk *disk = &cfg->disks[cfg->num_disks++];

	libxl_device_disk_init(disk);
	disk->format = LIBXL_DISK_FORMAT_RAW;
	disk->pdev_path = strdup(path);
	disk->vdev = strdup(vdev);
	disk->is_cdrom = cdrom;
}

static void config_of(libxl_domain_config *cfg, libxl_domain_type type)
{
	libxl_domain_config_init(cfg);
	cfg->c_info.type = type;
	cfg->c_info.name = strdup(NAME);
	cfg->c_info.uuid.uuid[0] = 1;
	cfg->nics = calloc(4, sizeof(*cfg->nics));
	cfg->disks = calloc(4, sizeof(*cfg->disks));
}

static void test_take(void **state)
{
	static const libxl_domain_type types[] = {
		LIBXL_DOMAIN_TYPE_PVH, LIBXL_DOMAIN_TYPE_PV, LIBXL_DOMAIN_TYPE_HVM};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		int taken = types[i] != LIBXL_DOMAIN_TYPE_HVM, disks = taken && have_block;
		struct xen_early e = XEN_EARLY_INIT;
		struct error err = ERROR_INIT;
		libxl_domain_config cfg;

		config_of(&cfg, types[i]);
		add_nic(&cfg, "/opt/vif-route", NULL);
		add_nic(&cfg, "vif-bridge", NULL);
		add_nic(&cfg, NULL, "driver-domain");
		add_disk(&cfg, "/dev/null", "xvda", false); /* no block device */
		add_disk(&cfg, block, "xvdb", false);
		add_disk(&cfg, block, "xvdc", true);
		assert_int_equal(xen_early_take(&e, &cfg, &err), 0);
		assert_int_equal(e.devices.num_nics, taken);
		assert_int_equal(e.devices.num_disks, disks);
		assert_int_equal(cfg.num_nics, 3 - taken);
		assert_int_equal(cfg.num_disks, 3 - disks);
		assert_int_equal(cfg.nics[0].devid, 0);
		assert_int_equal(cfg.nics[cfg.num_nics - 1].devid, 2);
		assert_string_equal(cfg.disks[cfg.num_disks - 1].vdev, "xvdc");
		if (taken)
			assert_int_equal(e.devices.nics[0].devid, 1);
		if (disks)
			assert_string_equal(e.devices.disks[0].vdev, "xvdb");
		assert_int_equal(xen_early_check(&e, &err), 0);
		xen_early_dispose(&e);
		libxl_domain_config_dispose(&cfg);
	}
}

struct move {
	struct xen_early e;
	libxl_domain_config cfg;
	struct error err;
	int image[2];
};

/* A vif and, where this machine has a block device or lets us make one, a disk. */
static void start(struct move *m)
{
	*m = (struct move){.e = XEN_EARLY_INIT, .err = ERROR_INIT};
	config_of(&m->cfg, LIBXL_DOMAIN_TYPE_PVH);
	add_nic(&m->cfg, NULL, NULL);
	if (have_block)
		add_disk(&m->cfg, block, "xvda", false);
	assert_int_equal(pipe2(m->image, O_CLOEXEC), 0);
	assert_int_equal(xen_early_take(&m->e, &m->cfg, &m->err), 0);
	assert_int_equal(xen_early_start(&m->e, &m->cfg, m->image[1], &m->err), 0);
	fd_close(&m->image[1]);
}

static void end(struct move *m)
{
	xen_early_dispose(&m->e);
	libxl_domain_config_dispose(&m->cfg);
	fd_close(&m->image[0]);
}

static void test_attach(void **state)
{
	struct move m;
	char after[64];

	(void)state;
	start(&m);
	fake->exists = true;
	assert_int_equal(xen_early_connect(&m.e, &m.err), 0);
	assert_int_equal(fake->nics, 1);
	assert_string_equal(fake->nic_script, program);
	assert_string_equal(fake->json, NAME " 0 0"); /* what libxl needs to add to it */
	assert_string_equal(value("backend/vif/7/0/script"), "/etc/xen/scripts/vif-bridge");
	assert_string_equal(value("/libxl/7/device/vif/0/script"), "/etc/xen/scripts/vif-bridge");
	if (have_block) {
		assert_string_equal(fake->disk_script, "/bin/true");
		assert_string_equal(
			value("backend/vbd/7/" VBD "/script"), "/etc/xen/scripts/block");
		assert_non_null(value("backend/vbd/7/" VBD "/physical-device"));
	}
	/* libxl completes the domain, with a vif that it attached itself. */
	snprintf(fake->json, sizeof(fake->json), NAME " 1 0");
	assert_int_equal(xen_early_note(&m.e, &m.err), 0);
	snprintf(after, sizeof(after), NAME " 2 %d", have_block);
	assert_string_equal(fake->json, after);
	end(&m);
	assert_non_null(value("backend/vif/7/0/script")); /* it stands */
}

/* The device behind a disk must not be opened before the source has let go of it. */
static void test_no_device_before(void **state)
{
	struct move m;

	(void)state;
	if (!have_block)
		skip();
	start(&m);
	fake->exists = true;
	while (xen_early_check(&m.e, &m.err) == 0 && m.e.pid >= 0)
		sched_yield();
	assert_int_equal(m.err.rc, 0);
	assert_int_equal(fake->disks, 1);
	assert_null(value("backend/vbd/7/" VBD "/physical-device"));
	assert_int_equal(xen_early_connect(&m.e, &m.err), 0);
	assert_non_null(value("backend/vbd/7/" VBD "/physical-device"));
	end(&m);
}

static void test_disk_in_use(void **state)
{
	struct move m;

	(void)state;
	if (!have_block)
		skip();
	start(&m);
	fake->exists = fake->vbd_refused = true;
	/* The script has the last word, and none is here; or it finds no xenstore. */
	assert_int_equal(xen_early_connect(&m.e, &m.err), -EIO);
	assert_non_null(strstr(m.err.what, "its disk could not be attached"));
	end(&m);
}

/* It is known as soon as it happens, and again to whoever asks later. */
static void test_add_fails(void **state)
{
	struct move m;

	(void)state;
	start(&m);
	fake->nic_fails = fake->exists = true;
	while (xen_early_check(&m.e, &m.err) == 0)
		sched_yield();
	assert_non_null(strstr(m.err.what, "no such bridge"));
	assert_int_equal(fake->disks, 0);
	m.err = ERROR_INIT;
	assert_int_equal(xen_early_connect(&m.e, &m.err), -EIO);
	assert_non_null(strstr(m.err.what, "no such bridge"));
	end(&m);
}

/* libxl only knows that a script failed; what it has to say stands in xenstore. */
static void test_script_fails(void **state)
{
	struct move m;

	(void)state;
	fake->nic_fails = fake->exists = true;
	fake->hotplug_error = "no vif today";
	start(&m);
	assert_int_equal(xen_early_connect(&m.e, &m.err), -EIO);
	assert_string_equal(m.err.what, "a vif of domain 7 could not be attached: no vif today");
	assert_non_null(strstr(m.err.fix, "journalctl"));
	end(&m);
}

static void test_called_off_while_it_waits(void **state)
{
	struct move m;

	(void)state;
	fake->other = fake->exists = true; /* somebody else's of that name */
	start(&m);
	while (!fake->looking)
		sched_yield();
	assert_int_equal(xen_early_check(&m.e, &m.err), 0);
	xen_early_cancel(&m.e);
	assert_int_equal(fake->nics, 0);
	assert_int_equal(xen_early_connect(&m.e, &m.err), -ECANCELED);
	end(&m);
}

static void test_called_off_between_two(void **state)
{
	struct move m;

	(void)state;
	if (!have_block)
		skip();
	fake->add_waits = fake->exists = true;
	start(&m);
	while (!fake->adding)
		sched_yield();
	shutdown(m.e.control, SHUT_WR);
	fake->released = true;
	xen_early_cancel(&m.e);
	assert_int_equal(fake->nics, 1);
	assert_int_equal(fake->disks, 0);
	end(&m);
}

/* Should we die, libxl must not destroy the domain while a device is being added to it. */
static void test_image_stays_open(void **state)
{
	struct pollfd p = {.events = POLLIN};
	struct move m;

	(void)state;
	fake->add_waits = fake->exists = true;
	start(&m);
	p.fd = m.image[0];
	while (!fake->adding)
		sched_yield();
	assert_int_equal(poll(&p, 1, 0), 0);
	fake->released = true;
	xen_early_cancel(&m.e);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_true(p.revents & POLLHUP);
	end(&m);
}

static void test_killed(void **state)
{
	struct move m;

	(void)state;
	start(&m);
	kill(m.e.pid, SIGKILL);
	assert_int_equal(xen_early_connect(&m.e, &m.err), -EIO);
	assert_non_null(strstr(m.err.what, "died"));
	end(&m);
}

/* libxl destroyed the domain meanwhile, and knew nothing of these devices. */
static void test_swept(void **state)
{
	struct move m;

	(void)state;
	start(&m);
	fake->exists = true;
	assert_int_equal(xen_early_connect(&m.e, &m.err), 0);
	fake->gone = true;
	end(&m);
	assert_null(value("backend/vif/7/0/script"));
	assert_null(value("backend/vbd/7/" VBD "/physical-device"));
}

static int reset(void **state)
{
	(void)state;
	alarm(60);
	memset(fake, 0, sizeof(*fake));
	return 0;
}

/* A block device of this machine, or one that we may make; it is never opened. */
static void find_block(void)
{
	static const char *const known[] = {"/dev/loop0", "/dev/vda", "/dev/sda", "/dev/nvme0n1"};
	struct stat st;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]) && !have_block; i++)
		if (stat(known[i], &st) == 0 && S_ISBLK(st.st_mode)) {
			snprintf(block, sizeof(block), "%s", known[i]);
			have_block = true;
		}
	if (have_block || mkstemp(block) < 0)
		return;
	unlink(block);
	have_block = mknod(block, S_IFBLK | 0600, makedev(7, 0)) == 0;
}

/* Where the build has it, beside the programs; tests lie elsewhere. */
static bool make_program(void)
{
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 32);
	char *slash = n > 0 ? strrchr(program, '/') : NULL;
	int fd;

	if (!slash)
		return false;
	strcpy(slash, "/lifeboat-hotplug");
	fd = open(program, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	fd_close(&fd);
	return access(program, X_OK) == 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_take, reset),
		cmocka_unit_test_setup(test_attach, reset),
		cmocka_unit_test_setup(test_no_device_before, reset),
		cmocka_unit_test_setup(test_disk_in_use, reset),
		cmocka_unit_test_setup(test_add_fails, reset),
		cmocka_unit_test_setup(test_script_fails, reset),
		cmocka_unit_test_setup(test_called_off_while_it_waits, reset),
		cmocka_unit_test_setup(test_called_off_between_two, reset),
		cmocka_unit_test_setup(test_image_stays_open, reset),
		cmocka_unit_test_setup(test_killed, reset),
		cmocka_unit_test_setup(test_swept, reset),
	};
	int failed = 1;

	signal(SIGPIPE, SIG_IGN);
	find_block();
	fake = mmap(NULL, sizeof(*fake), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fake != MAP_FAILED && make_program())
		failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(program);
	if (strncmp(block, "/tmp/", 5) == 0)
		unlink(block);
	return failed;
}
