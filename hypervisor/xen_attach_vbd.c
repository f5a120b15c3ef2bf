/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A block device to blkback and from it, as the script `block` does it where nobody else has the
 * device.
 */
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "hypervisor/xen_attach.h"

#define LOCK_DIR  "/var/run/xen-hotplug"
#define LOCK_FILE LOCK_DIR "/block"
#define MM_LEN	  24 /* "major:minor", hexadecimal */

/*
 * The scripts' own lock: a file that its holder removes. So whoever gets it looks whether the
 * name still means the file that was locked.
 */
static int lock(void)
{
	struct stat held, named;
	int fd;

	mkdir(LOCK_DIR, 0755);
	for (;;) {
		fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		if (fd < 0 || flock(fd, LOCK_EX) < 0)
			break;
		if (fstat(fd, &held) == 0 && stat(LOCK_FILE, &named) == 0 &&
			held.st_dev == named.st_dev && held.st_ino == named.st_ino)
			return fd;
		close(fd);
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

static void unlock(int fd)
{
	unlink(LOCK_FILE);
	close(fd);
}

static bool is_mounted(dev_t dev, bool write)
{
	FILE *mounts = setmntent("/proc/mounts", "re");
	bool found = !mounts; /* not to be told: then it is for the script */
	struct mntent *m;
	struct stat st;

	while (!found && (m = getmntent(mounts)))
		found = stat(m->mnt_fsname, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == dev &&
			(write || !hasmntopt(m, "ro"));
	if (mounts)
		endmntent(mounts);
	return found;
}

static char *read_of(
	const struct hotplug *h, const char *dir, const char *dom, const char *dev, const char *key)
{
	char path[HOTPLUG_PATH_LEN];
	unsigned len = 0;

	snprintf(path, sizeof(path), "%s/%.16s/%.32s%s%s", dir, dom, dev, *dev ? "/" : "", key);
	return xs_read(h->xs, XBT_NULL, path, &len);
}

/* Are they one machine (a domain that restarts has two ids for a moment)? */
static bool same_vm(const struct hotplug *h, const char *dom)
{
	char *id = hotplug_read(h, "frontend-id");
	char *ours = id ? read_of(h, "/local/domain", id, "", "vm") : NULL;
	char *theirs = read_of(h, "/local/domain", dom, "", "vm");
	bool same = ours && theirs && strcmp(ours, theirs) == 0;

	free(id);
	free(ours);
	free(theirs);
	return same;
}

static bool domain_has(const struct hotplug *h, const char *dom, const char *mm, bool write)
{
	char path[HOTPLUG_PATH_LEN], **devs;
	bool found = false;
	unsigned nr = 0;

	snprintf(path, sizeof(path), "backend/vbd/%.16s", dom);
	devs = xs_directory(h->xs, XBT_NULL, path, &nr);
	for (unsigned i = 0; devs && i < nr && !found; i++) {
		char *theirs = read_of(h, "backend/vbd", dom, devs[i], "physical-device");
		char *mode = read_of(h, "backend/vbd", dom, devs[i], "mode");

		found = theirs && strcmp(theirs, mm) == 0 &&
			(write || !mode || strchr(mode, 'w')) && !same_vm(h, dom);
		free(theirs);
		free(mode);
	}
	free(devs);
	return found;
}

static bool is_attached(const struct hotplug *h, const char *mm, bool write)
{
	bool found = false;
	unsigned nr = 0;
	char **doms = xs_directory(h->xs, XBT_NULL, "backend/vbd", &nr);

	for (unsigned i = 0; doms && i < nr && !found; i++)
		found = domain_has(h, doms[i], mm, write);
	free(doms);
	return found;
}

/* Under the lock. */
static bool claim(const struct hotplug *h, const char *path, dev_t dev, const char *mode)
{
	bool write = strchr(mode, 'w') != NULL, shared = write && strchr(mode, '!');
	char mm[MM_LEN];

	snprintf(mm, sizeof(mm), "%x:%x", major(dev), minor(dev));
	if (!shared && (is_mounted(dev, write) || is_attached(h, mm, write)))
		return false; /* the script finds it, too, and has the words for it */
	return hotplug_write(h, "physical-device", mm) &&
	       hotplug_write(h, "physical-device-path", path) &&
	       hotplug_write(h, "hotplug-status", "connected");
}

bool hotplug_vbd(const struct hotplug *h)
{
	char *params = hotplug_read(h, "params"), *mode = hotplug_read(h, "mode");
	char *known = hotplug_read(h, "physical-device"), *path = NULL;
	bool done = false;
	struct stat st;
	int fd;

	if (known || !params || *params != '/' || !mode)
		goto out;
	path = realpath(params, NULL);
	if (!path || stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
		goto out;
	fd = lock();
	if (fd < 0)
		goto out;
	done = claim(h, path, st.st_rdev, mode);
	unlock(fd);
out:
	free(params);
	free(mode);
	free(known);
	free(path);
	return done;
}

/* blkback has let go of it by itself; what a script set up is not a device of type "phy". */
bool hotplug_vbd_gone(const struct hotplug *h)
{
	char *type = hotplug_read(h, "type");
	bool plain = type && strcmp(type, "phy") == 0;

	free(type);
	return plain;
}
