/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lifeboat-hotplug's parts with a xenstore of this file's own: a real bridge and a real network
 * device in a namespace of the test's.
 */
#include "test.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include "hypervisor/xen_attach.h"

#define VIF    "vif5.0"
#define BRIDGE "xenbr0"

/* ---- xenstore ---- */

#define NODES 8

static struct {
	char path[64], value[64];
} store[NODES];

static size_t place_of(const char *path)
{
	size_t i = 0;

	while (i < NODES - 1 && *store[i].path && strcmp(store[i].path, path) != 0)
		i++;
	return i;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned *len)
{
	size_t i = place_of(path);

	(void)h;
	(void)t;
	*len = (unsigned)strlen(store[i].value);
	return *store[i].path ? strdup(store[i].value) : NULL;
}

bool xs_write(
	struct xs_handle *h, xs_transaction_t t, const char *path, const void *data, unsigned len)
{
	size_t i = place_of(path);

	(void)h;
	(void)t;
	snprintf(store[i].path, sizeof(store[i].path), "%s", path);
	snprintf(store[i].value, sizeof(store[i].value), "%.*s", (int)len, (const char *)data);
	return true;
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned *nr)
{
	(void)h;
	(void)t;
	(void)path;
	*nr = 0;
	return NULL;
}

static void put(const char *path, const char *value)
{
	xs_write(NULL, XBT_NULL, path, value, (unsigned)strlen(value));
}

/* ---- the network ---- */

static void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

static bool in_bridge(void)
{
	return access("/sys/class/net/" BRIDGE "/brif/" VIF, F_OK) == 0;
}

static bool is_up(void)
{
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = {.ifr_name = VIF};
	int rc = ioctl(sock, SIOCGIFFLAGS, &req);

	close(sock);
	return rc == 0 && req.ifr_flags & IFF_UP;
}

static int own_network(void **state)
{
	(void)state;
	if (geteuid() != 0 && unshare(CLONE_NEWUSER) < 0)
		return -1;
	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 ||
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("sysfs", "/sys", "sysfs", 0, NULL) < 0)
		return -1;
	return system("[ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || "
		      "echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables");
}

static int devices(void **state)
{
	static const struct hotplug vif = {.backend = "backend/vif/5/0", .vif = VIF};

	memset(store, 0, sizeof(store));
	put("backend/vif/5/0/bridge", BRIDGE);
	put("backend/vif/5/0/frontend", "/local/domain/5/device/vif/0");
	run("ip link add " BRIDGE " type bridge && ip link set " BRIDGE " up mtu 1400 && "
	    "ip link add " VIF " type veth peer name guest");
	*state = (void *)(uintptr_t)&vif;
	return 0;
}

static int no_devices(void **state)
{
	(void)state;
	return system("ip link del " VIF " 2>/dev/null; ip link del " BRIDGE);
}

static void test_a_vif_comes_and_goes(void **state)
{
	const struct hotplug *h = *state;

	assert_true(hotplug_vif(h));
	assert_true(in_bridge() && is_up());
	assert_string_equal(store[place_of("/local/domain/5/device/vif/0/mtu")].value, "1400");
	assert_string_equal(store[place_of("backend/vif/5/0/hotplug-status")].value, "connected");
	assert_true(hotplug_vif_gone(h));
	assert_false(in_bridge() || is_up());
	assert_true(hotplug_vif_gone(h)); /* once more harms nobody */
	run("ip link del " VIF);
	assert_true(hotplug_vif_gone(h));
}

/* What only the script can do is left to it, untouched. */
static void test_what_is_for_the_script(void **state)
{
	static const char *const keys[] = {"backend/vif/5/0/ip", "backend/vif/5/0/vifname"};
	const struct hotplug *h = *state;

	for (size_t i = 0; i < COUNT(keys); i++) {
		put(keys[i], "something");
		assert_false(hotplug_vif(h));
		assert_false(in_bridge());
		put(keys[i], "");
		assert_true(hotplug_vif(h));
		put(keys[i], "something");
		assert_false(hotplug_vif_gone(h));
		assert_true(in_bridge() && is_up());
		put(keys[i], "");
		assert_true(hotplug_vif_gone(h));
	}
	put("backend/vif/5/0/bridge", "nosuch");
	assert_false(hotplug_vif(h));
	assert_false(hotplug_vif_gone(h));
}

static void test_a_disk_goes(void **state)
{
	const struct hotplug disk = {.backend = "backend/vbd/5/51712"};

	(void)state;
	assert_false(hotplug_vbd_gone(&disk));
	put("backend/vbd/5/51712/type", "file"); /* a loop device is to be taken down */
	assert_false(hotplug_vbd_gone(&disk));
	put("backend/vbd/5/51712/type", "phy");
	assert_true(hotplug_vbd_gone(&disk));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_vif_comes_and_goes, devices, no_devices),
		cmocka_unit_test_setup_teardown(test_what_is_for_the_script, devices, no_devices),
		cmocka_unit_test(test_a_disk_goes),
	};

	return cmocka_run_group_tests(tests, own_network, NULL);
}
