/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/proc.h"
#include "hypervisor/embedded.h"

static bool all_zero(const uint8_t *p, size_t len)
{
	return sodium_is_zero(p, len) != 0;
}

/* A random UUID (version 4) and MACs of Xen's range where the domain file gives none. */
static void fill_identity(struct domain_spec *spec)
{
	static const uint8_t xen_oui[3] = {0x00, 0x16, 0x3e};

	if (all_zero(spec->uuid, sizeof(spec->uuid))) {
		randombytes_buf(spec->uuid, sizeof(spec->uuid));
		spec->uuid[6] = (uint8_t)((spec->uuid[6] & 0x0f) | 0x40);
		spec->uuid[8] = (uint8_t)((spec->uuid[8] & 0x3f) | 0x80);
	}
	for (unsigned i = 0; i < spec->nr_vifs; i++) {
		uint8_t *mac = spec->vif[i].mac;

		if (!all_zero(mac, 6))
			continue;
		randombytes_buf(mac, 6);
		memcpy(mac, xen_oui, sizeof(xen_oui));
		mac[3] &= 0x7f;
	}
}

/* "ledger" is a guest that ships with lifeboat; anything with a slash is a path. */
static int resolve_kernel(struct domain_spec *spec, struct error *err)
{
	char path[PATH_MAX], *real;

	if (strchr(spec->kernel, '/'))
		snprintf(path, sizeof(path), "%s", spec->kernel);
	else if (proc_guest_image(spec->kernel, path, sizeof(path)))
		return error_set(err, -ENOENT, "Give one of ledger, pong, or a path with a slash",
			"no guest named `%s' ships with lifeboat", spec->kernel);
	real = realpath(path, NULL);
	if (!real)
		return error_sys(err, -errno, "Correct kernel= in the domain file",
			"cannot read the kernel %s", path);
	snprintf(spec->kernel, sizeof(spec->kernel), "%s", real);
	free(real);
	return 0;
}

/* The vmm reads the whole header; this much is known before there is one, and by --dry-run. */
static int check_elf(const char *path, int fd, struct error *err)
{
	char magic[SELFMAG];

	if (pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
		memcmp(magic, ELFMAG, SELFMAG) == 0)
		return 0;
	return error_set(err, -ENOEXEC,
		"Give a static x86-64 ELF linked for GUEST_BASE; hypervisor/guest/guest.h describes it",
		"the kernel %s is no ELF file", path);
}

/* What runs is a copy: the file may change or go while the domain lives. */
static int load_image(const char *path, int *image_fd, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
	struct stat st;
	off_t left;

	*image_fd = embedded_image_create(err);
	if (fd < 0 || fstat(fd, &st) < 0)
		rc = error_sys(err, -errno, "Correct kernel= in the domain file",
			"cannot read the kernel %s", path);
	else if (*image_fd < 0)
		rc = *image_fd;
	else if (!S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > 64 << 20)
		rc = error_set(err, -EINVAL, "Correct kernel= in the domain file",
			"the kernel %s is no file of 1 byte to 64 MiB", path);
	for (left = rc ? 0 : st.st_size; left > 0;) {
		ssize_t n = sendfile(*image_fd, fd, NULL, (size_t)left);

		if (n <= 0) {
			rc = error_sys(err, n < 0 ? -errno : -EIO, NULL, "cannot read %s", path);
			break;
		}
		left -= n;
	}
	fd_close(&fd);
	if (!rc)
		rc = check_elf(path, *image_fd, err);
	if (!rc)
		rc = embedded_image_seal(*image_fd, err);
	return rc;
}

static int prepare(const char *file, struct domain_spec *spec, struct error *err)
{
	int rc = sodium_init() < 0 ? -EIO : domain_file_load(file, spec, err);

	if (rc)
		return rc;
	fill_identity(spec);
	rc = resolve_kernel(spec, err);
	return rc ? rc : embedded_check_all(&embedded_host, spec, err);
}

int embedded_create_check(const char *file, struct domain *dom, struct error *err)
{
	struct domain_spec spec;
	int rc = prepare(file, &spec, err), image = -1;

	if (!rc)
		rc = load_image(spec.kernel, &image, err);
	fd_close(&image);
	if (!rc)
		embedded_config_domain(&spec, dom);
	return rc;
}

int embedded_create(const char *file, bool paused, struct domain *dom, struct error *err)
{
	struct client_call boot = {.op = VMM_BOOT, .arg = paused, .fd_out = -1};
	int memory = -1, image = -1, sock = -1, rc;
	struct domain_spec spec;
	struct vmm_reply reply;
	char *json = NULL;

	rc = prepare(file, &spec, err);
	if (rc)
		return rc;
	rc = load_image(spec.kernel, &image, err);
	if (rc)
		goto out;
	memory = embedded_memory_create(spec.memory_mb << 20, err);
	rc = memory;
	if (rc < 0)
		goto out;
	json = embedded_config_encode(&spec);
	if (!json) {
		rc = error_sys(err, -ENOMEM, NULL, "cannot write the configuration");
		goto out;
	}
	sock = embedded_spawn(&embedded_host, spec.name, json, false, memory, image, err);
	rc = sock;
	if (rc < 0)
		goto out;
	rc = client_request(sock, &boot, &reply, NULL, NULL, err);
	if (!rc)
		*dom = reply.dom;
out:
	fd_close(&sock);
	fd_close(&image);
	fd_close(&memory);
	free(json);
	return rc;
}
