/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/drbd_tool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "migrate/drbd.h"

#define DRBD_MAJOR 147u
#define BY_RES	   "/dev/drbd/by-res"

bool drbd_is(const char *path)
{
	struct stat st;

	if (strncmp(path, "/dev/drbd", 9) != 0)
		return false;
	return stat(path, &st) < 0 ||
	       (S_ISBLK(st.st_mode) && (st.st_rdev >> 8 & 0xfff) == DRBD_MAJOR);
}

/* Does this resource back the device at `path`? */
static bool backs(const char *resource, const char *path)
{
	char devices[DRBD_OUTPUT_MAX], *save = NULL;
	struct stat want, have;

	if (stat(path, &want) < 0 ||
		drbd_adm((const char *const[]){"sh-dev", NULL}, resource, devices, NULL))
		return false;
	for (char *dev = strtok_r(devices, "\n", &save); dev; dev = strtok_r(NULL, "\n", &save))
		if (stat(dev, &have) == 0 && have.st_rdev == want.st_rdev)
			return true;
	return false;
}

/* udev's name: by-res/RESOURCE where it has one volume, by-res/RESOURCE/VOLUME else. */
static int by_name(int dir, dev_t dev, char out[static DRBD_RESOURCE_LEN], bool below)
{
	DIR *d = fdopendir(dir);
	struct dirent *e;
	int rc = -ENOENT;

	while (d && rc && (e = readdir(d))) {
		struct stat st;

		if (*e->d_name == '.' || strlen(e->d_name) >= DRBD_RESOURCE_LEN ||
			fstatat(dirfd(d), e->d_name, &st, 0) < 0)
			continue;
		if (S_ISDIR(st.st_mode) && !below)
			rc = by_name(
				openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
				dev, out, true);
		else if (S_ISBLK(st.st_mode) && st.st_rdev == dev)
			rc = 0;
		if (rc == 0 && !below)
			strcpy(out, e->d_name);
	}
	if (d)
		closedir(d);
	else
		fd_close(&dir);
	return rc;
}

int drbd_find(const char *path, char out[static DRBD_RESOURCE_LEN], struct error *err)
{
	char names[DRBD_OUTPUT_MAX], *save = NULL;
	struct stat st;
	int rc;

	if (stat(path, &st) == 0 && by_name(open(BY_RES, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
					    st.st_rdev, out, false) == 0)
		return 0;
	rc = drbd_adm((const char *const[]){"sh-resources", NULL}, NULL, names, err);

	if (rc)
		return rc;
	for (char *name = strtok_r(names, " \n", &save); name; name = strtok_r(NULL, " \n", &save))
		if (strlen(name) < DRBD_RESOURCE_LEN && backs(name, path)) {
			strcpy(out, name);
			return 0;
		}
	return error_set(err, -ENOENT,
		"Define the resource on this host as on the other and 'drbdadm up' it",
		"no DRBD resource here has the device %s", path);
}
