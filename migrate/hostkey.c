/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/hostkey.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

static int make_key(const char *path, uint8_t secret[static HOST_KEY_LEN], struct error *err)
{
	int rc;

	randombytes_buf(secret, HOST_KEY_LEN);
	rc = io_write_file(path, secret, HOST_KEY_LEN, 0600);
	if (rc)
		return error_sys(err, rc, "Check that there is space and that you may write there",
			"cannot write the host key %s", path);
	log_info("made a new host key, %s", path);
	return 0;
}

static int read_key(
	int fd, const char *path, uint8_t secret[static HOST_KEY_LEN], struct error *err)
{
	struct stat st;
	int rc;

	if (fstat(fd, &st) < 0)
		return error_sys(err, -errno, NULL, "cannot look at %s", path);
	if (st.st_mode & 077) {
		error_set(err, -EACCES, NULL, "the host key %s can be read by others", path);
		error_fix(
			err, "chmod 600 %s, and make a new key if somebody may have read it", path);
		return -EACCES;
	}
	if (st.st_size != HOST_KEY_LEN)
		return error_set(err, -EINVAL,
			"Restore it from a backup, or delete it and tell the peers the new key",
			"the host key %s is damaged", path);
	rc = io_read_exact(fd, secret, HOST_KEY_LEN, DEADLINE_NEVER);
	return rc ? error_sys(err, rc, NULL, "cannot read %s", path) : 0;
}

/* Two programs may start at once on a new host: one makes the key, the other finds it. */
static int lock_state(const struct config *cfg, int *fd, struct error *err)
{
	int rc = io_mkdir_p(cfg->state_dir, 0700);

	if (rc == 0) {
		*fd = open(cfg->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (*fd < 0 || flock(*fd, LOCK_EX) < 0)
			rc = -errno;
	}
	if (rc)
		return error_sys(err, rc, "Run as root, or set state_dir in the config",
			"cannot use the state directory %s", cfg->state_dir);
	return 0;
}

int hostkey_load(const struct config *cfg, uint8_t secret[static HOST_KEY_LEN],
	uint8_t public_key[static HOST_KEY_LEN], struct error *err)
{
	char path[PATH_MAX];
	int lock = -1, fd = -1, rc;

	if (snprintf(path, sizeof(path), "%s/host.key", cfg->state_dir) >= (int)sizeof(path))
		return error_set(err, -ENAMETOOLONG, "Shorten state_dir", "state_dir is too long");
	rc = lock_state(cfg, &lock, err);
	if (rc)
		goto out;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0)
		rc = read_key(fd, path, secret, err);
	else if (errno == ENOENT)
		rc = make_key(path, secret, err);
	else
		rc = error_sys(err, -errno, "Run as root", "cannot open the host key %s", path);
	if (rc == 0)
		crypto_scalarmult_base(public_key, secret);
out:
	fd_close(&fd);
	fd_close(&lock);
	return rc;
}

void hostkey_text(const uint8_t public_key[static HOST_KEY_LEN], char out[static HOST_KEY_TEXT_LEN])
{
	sodium_bin2base64(
		out, HOST_KEY_TEXT_LEN, public_key, HOST_KEY_LEN, sodium_base64_VARIANT_ORIGINAL);
}
