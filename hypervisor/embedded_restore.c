/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The domain builder of the embedded backend. What it is fed came from a peer: all is checked. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hypervisor/embedded.h"
#include "hypervisor/embedded_state.h"

struct hv_restore {
	struct embedded_host host;
	struct domain_spec spec;
	int sock; /* the vmm ends when this closes before ACTIVATE */
	int memory_fd, image_fd;
	uint64_t nr_pages;
	uint8_t *touched; /* pages that were written here, a bit each */
	struct embedded_head head;
	bool have_head;
	uint32_t image_len; /* received so far */
	uint8_t *tail;
	size_t tail_len;
};

int embedded_restore_check(
	const char *json, struct domain *dom, struct findings *found, struct error *err)
{
	struct domain_spec spec;
	int rc = embedded_config_decode(json, &spec, err);

	if (rc)
		return rc;
	embedded_config_domain(&spec, dom);
	return embedded_check(&embedded_host, &spec, found, err);
}

static void restore_free(struct hv_restore *r)
{
	fd_close(&r->sock);
	fd_close(&r->memory_fd);
	fd_close(&r->image_fd);
	free(r->touched);
	free(r->tail);
	free(r);
}

static int allocate(struct hv_restore *r, struct error *err)
{
	uint64_t bytes = r->spec.memory_mb << 20;

	r->memory_fd = embedded_memory_create(bytes, err);
	if (r->memory_fd < 0)
		return r->memory_fd;
	r->image_fd = embedded_image_create(err);
	if (r->image_fd < 0)
		return r->image_fd;
	r->nr_pages = bytes / PAGE_BYTES;
	r->touched = calloc(1, r->nr_pages / 8 + 1);
	r->tail = malloc(STATE_TAIL_MAX);
	if (!r->touched || !r->tail)
		return error_sys(err, -ENOMEM, NULL, "cannot build the domain");
	return 0;
}

int embedded_restore_begin(const char *json, struct hv_restore **restore, struct error *err)
{
	char name[DOMAIN_NAME_LEN];
	struct hv_restore *r = calloc(1, sizeof(*r));
	int rc;

	*restore = NULL;
	if (!r)
		return error_sys(err, -ENOMEM, NULL, "cannot build the domain");
	r->host = embedded_host;
	r->sock = r->memory_fd = r->image_fd = -1;
	rc = embedded_config_decode(json, &r->spec, err);
	if (!rc)
		rc = embedded_check_all(&r->host, &r->spec, err);
	if (!rc && (size_t)snprintf(name, sizeof(name), "%s" SUFFIX_INCOMING, r->spec.name) >=
			   sizeof(name))
		rc = error_set(err, -ENAMETOOLONG, "Rename the domain",
			"the name `%s' is too long to be moved", r->spec.name);
	if (!rc)
		rc = allocate(r, err);
	if (!rc) {
		r->sock =
			embedded_spawn(&r->host, name, json, true, r->memory_fd, r->image_fd, err);
		rc = r->sock < 0 ? r->sock : 0;
	}
	if (rc)
		restore_free(r);
	else
		*restore = r;
	return rc;
}

static int malformed(struct error *err, const char *what)
{
	return error_set(err, -EPROTO, NULL, "the domain's stream is malformed: %s", what);
}

static int take_piece(struct hv_restore *r, const void *data, size_t len, struct error *err)
{
	const uint8_t *piece;
	uint32_t offset;
	size_t n;

	if (!r->have_head || embedded_piece_decode(data, len, &offset, &piece, &n))
		return malformed(err, "kernel image");
	/* In order and without gaps: then what was received is a prefix of the image. */
	if (offset != r->image_len || n == 0 || n > r->head.image_len - r->image_len)
		return malformed(err, "kernel image");
	if (pwrite(r->image_fd, piece, n, offset) != (ssize_t)n)
		return error_sys(err, -errno, NULL, "cannot keep the kernel image");
	r->image_len += (uint32_t)n;
	return 0;
}

int embedded_restore_head(struct hv_restore *r, const void *data, size_t len, struct error *err)
{
	int rc;

	switch (embedded_head_kind(data, len)) {
	case 1:
		if (r->have_head)
			return malformed(err, "two headers");
		rc = embedded_head_decode(&r->head, data, len, err);
		if (rc)
			return rc;
		if (r->head.nr_pages != r->nr_pages)
			return malformed(err, "memory size");
		r->have_head = true;
		return 0;
	case 2:
		return take_piece(r, data, len, err);
	default:
		return malformed(err, "header");
	}
}

/* A zero page for memory that was never written needs no memory here. */
static bool needs_write(struct hv_restore *r, uint64_t pfn, const uint8_t *data)
{
	uint8_t *flags = &r->touched[pfn / 8], flag = (uint8_t)(1u << (pfn % 8));

	if (!(*flags & flag) && page_is_zero(data))
		return false;
	*flags |= flag;
	return true;
}

/* Pages whose numbers and contents follow each other, written as one. */
struct run {
	uint64_t pfn;
	const uint8_t *data;
	size_t nr;
};

static int write_run(struct hv_restore *r, struct run *run, struct error *err)
{
	size_t len = run->nr * PAGE_BYTES;
	ssize_t n = len ? pwrite(r->memory_fd, run->data, len, (off_t)(run->pfn * PAGE_BYTES)) : 0;

	run->nr = 0;
	if (n == (ssize_t)len)
		return 0;
	return error_sys(err, n < 0 ? -errno : -ENOMEM, "Stop a domain or a program here",
		"cannot write the domain's memory");
}

static int put_page(
	struct hv_restore *r, struct run *run, uint64_t pfn, const uint8_t *data, struct error *err)
{
	int rc = 0;

	if (!needs_write(r, pfn, data))
		return 0;
	if (run->nr && (pfn != run->pfn + run->nr || data != run->data + run->nr * PAGE_BYTES))
		rc = write_run(r, run, err);
	if (run->nr == 0)
		*run = (struct run){.pfn = pfn, .data = data};
	run->nr++;
	return rc;
}

int embedded_restore_pages(struct hv_restore *r, const struct page_batch *batch, struct error *err)
{
	static const uint8_t zero[PAGE_BYTES];
	struct run run = {0};
	uint32_t nr_data = 0;
	int rc = 0;

	if (!r->have_head || batch->nr == 0 || batch->nr > PAGE_BATCH_MAX)
		return malformed(err, "page batch");
	for (uint32_t i = 0; i < batch->nr && !rc; i++) {
		uint64_t entry = batch->entry[i];
		const uint8_t *data = zero;

		if (!page_entry_valid_here(entry) || page_pfn(entry) >= r->nr_pages)
			return malformed(err, "page number");
		if (!page_has_contents(entry))
			continue;
		if (page_type(entry) != PAGE_TYPE_NOTAB ||
			(page_has_data(entry) && nr_data == batch->nr_data))
			return malformed(err, "page type");
		if (page_has_data(entry))
			data = batch->data + (size_t)nr_data++ * PAGE_BYTES;
		rc = put_page(r, &run, page_pfn(entry), data, err);
	}
	if (!rc)
		rc = write_run(r, &run, err);
	if (!rc && nr_data != batch->nr_data)
		rc = malformed(err, "page batch");
	return rc;
}

int embedded_restore_tail(struct hv_restore *r, const void *data, size_t len, struct error *err)
{
	if (len > STATE_TAIL_MAX - r->tail_len)
		return malformed(err, "CPU state");
	memcpy(r->tail + r->tail_len, data, len);
	r->tail_len += len;
	return 0;
}

static int tail_file(const struct hv_restore *r, struct error *err)
{
	int fd = memfd_create("lifeboat-tail", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, r->tail, r->tail_len) == (ssize_t)r->tail_len)
		return fd;
	fd_close(&fd);
	return error_sys(err, -EIO, NULL, "cannot hand over the domain's CPU state");
}

int embedded_restore_finish(struct hv_restore *r, struct domain *dom, struct error *err)
{
	struct client_call call = {.op = VMM_FINISH};
	struct vmm_reply reply;
	int rc;

	if (!r->have_head || r->image_len != r->head.image_len || r->tail_len == 0)
		return malformed(err, "it ends too early");
	rc = embedded_image_seal(r->image_fd, err);
	if (rc)
		return rc;
	call.fd_out = tail_file(r, err);
	if (call.fd_out < 0)
		return call.fd_out;
	rc = client_request(r->sock, &call, &reply, NULL, NULL, err);
	fd_close(&call.fd_out);
	if (rc)
		return rc;
	*dom = reply.dom;
	restore_free(r);
	return 0;
}

int embedded_activate(struct domain *dom, const char *name, struct error *err)
{
	struct vmm_reply reply;
	int rc;

	/* The name and the state change in one step of the vmm. */
	if (dom->state != DOMAIN_INCOMING)
		return 0;
	rc = client_simple(embedded_host.run_dir, dom->name, VMM_ACTIVATE, 0, name, &reply, err);
	if (rc == 0)
		*dom = reply.dom;
	return rc;
}

void embedded_restore_abort(struct hv_restore *r)
{
	struct client_call call = {.op = VMM_DESTROY, .fd_out = -1};
	struct vmm_reply reply;

	if (!r)
		return;
	/* Asked for politely, then waited for; if that fails, the closed connection ends it. */
	if (client_request(r->sock, &call, &reply, NULL, NULL, NULL) ||
		client_wait_gone(r->sock, NULL)) {
		fd_close(&r->sock);
	}
	restore_free(r);
}
