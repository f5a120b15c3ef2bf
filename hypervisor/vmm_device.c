/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The console's ring and the disks. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hypervisor/vmm.h"

void vmm_console_write(struct vmm *vmm, const uint8_t *data, size_t len)
{
	struct vmm_ring *r = &vmm->ring;

	while (len) {
		size_t at = (size_t)(r->out_pos % VMM_RING_BYTES);
		size_t n = VMM_RING_BYTES - at < len ? VMM_RING_BYTES - at : len;

		memcpy(r->out + at, data, n);
		r->out_pos += n;
		data += n;
		len -= n;
	}
}

size_t vmm_console_tail(const struct vmm *vmm, uint8_t *out, size_t size)
{
	const struct vmm_ring *r = &vmm->ring;
	size_t len = r->out_pos < VMM_RING_BYTES ? (size_t)r->out_pos : VMM_RING_BYTES;
	uint64_t from;

	if (len > size)
		len = size;
	from = r->out_pos - len;
	for (size_t i = 0; i < len; i++)
		out[i] = r->out[(from + i) % VMM_RING_BYTES];
	return len;
}

int vmm_disk_open(struct vmm *vmm, struct error *err)
{
	for (unsigned i = 0; i < vmm->spec.nr_disks; i++) {
		const struct domain_disk *spec = &vmm->spec.disk[i];
		struct vmm_disk *disk = &vmm->disk[i];
		off_t end;

		disk->fd = open(spec->path, (spec->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		if (disk->fd < 0)
			return error_sys(err, -errno,
				"Make the file, or change disk= in the domain file",
				"cannot open disk %s", spec->path);
		end = lseek(disk->fd, 0, SEEK_END); /* works for block devices too */
		if (end < 0)
			return error_sys(err, -errno, NULL, "disk %s has no size", spec->path);
		disk->bytes = (uint64_t)end / GUEST_SECTOR * GUEST_SECTOR;
	}
	return 0;
}

void vmm_disk_close(struct vmm *vmm)
{
	for (unsigned i = 0; i < DOMAIN_DISKS_MAX; i++)
		fd_close(&vmm->disk[i].fd);
}
