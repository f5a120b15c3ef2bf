/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel image comes from a domain file or from a peer: every number in it is checked. */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hypervisor/vmm.h"

#define SEGMENTS_MAX 64

static int bad_image(struct error *err, const char *why)
{
	return error_set(err, -ENOEXEC,
		"Give a static x86-64 ELF linked for GUEST_BASE; hypervisor/guest/guest.h describes it",
		"the kernel image cannot be run: %s", why);
}

static int load_segment(
	struct vmm *vmm, const Elf64_Phdr *ph, uint64_t image_bytes, struct error *err)
{
	uint64_t at = ph->p_vaddr - GUEST_BASE;

	if (ph->p_vaddr < GUEST_BASE + PAGE_BYTES || ph->p_filesz > ph->p_memsz ||
		at > vmm->memory_bytes || ph->p_memsz > vmm->memory_bytes - at)
		return bad_image(err, "a segment lies outside of the domain's memory");
	if (ph->p_offset > image_bytes || ph->p_filesz > image_bytes - ph->p_offset)
		return bad_image(err, "a segment lies outside of the file");
	if (pread(vmm->image_fd, vmm->memory + at, ph->p_filesz, (off_t)ph->p_offset) !=
		(ssize_t)ph->p_filesz)
		return error_sys(err, -EIO, NULL, "cannot read the kernel image");
	return 0;
}

int vmm_image_load(struct vmm *vmm, uint64_t *entry, struct error *err)
{
	Elf64_Phdr ph[SEGMENTS_MAX];
	Elf64_Ehdr eh;
	struct stat st;
	size_t len;
	int rc = 0;

	if (fstat(vmm->image_fd, &st) < 0 ||
		pread(vmm->image_fd, &eh, sizeof(eh), 0) != sizeof(eh) ||
		memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0)
		return bad_image(err, "it is no ELF file");
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_machine != EM_X86_64 || eh.e_type != ET_EXEC)
		return bad_image(err, "it is no static x86-64 executable");
	if (eh.e_phentsize != sizeof(ph[0]) || eh.e_phnum == 0 || eh.e_phnum > SEGMENTS_MAX)
		return bad_image(err, "its program headers are malformed");
	len = eh.e_phnum * sizeof(ph[0]);
	if (pread(vmm->image_fd, ph, len, (off_t)eh.e_phoff) != (ssize_t)len)
		return bad_image(err, "its program headers are malformed");
	for (unsigned i = 0; i < eh.e_phnum && !rc; i++) {
		if (ph[i].p_type == PT_INTERP)
			rc = bad_image(err, "it is dynamically linked");
		else if (ph[i].p_type == PT_LOAD && ph[i].p_memsz)
			rc = load_segment(vmm, &ph[i], (uint64_t)st.st_size, err);
	}
	if (!rc && (eh.e_entry < GUEST_BASE || eh.e_entry - GUEST_BASE >= vmm->memory_bytes))
		rc = bad_image(err, "its entry point lies outside of the domain's memory");
	*entry = eh.e_entry;
	return rc;
}
