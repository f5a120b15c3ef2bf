/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_writer.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/wire.h"
#include "hypervisor/hypervisor.h"

/* libxl's stream header is big-endian: "LibxlFmt", version 2, no options. */
static const uint8_t libxl_header[] = {'L', 'i', 'b', 'x', 'l', 'F', 'm', 't', 0, 0, 0, 2, 0, 0, 0,
	0,
	/* LIBXC_CONTEXT: type 1, length 0; the image follows without a frame of its own */
	1, 0, 0, 0, 0, 0, 0, 0};

static const uint8_t end_record[XEN_STREAM_RECORD_HEADER_LEN]; /* of libxc and of libxl alike */

#define LIBXL_EMULATOR_CONTEXT 3u

static int bad(struct error *err, const char *what)
{
	return error_set(err, -EPROTO, NULL, "the domain image is not valid: %s", what);
}

static int write_bytes(struct xen_writer *w, const void *data, size_t len)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};

	return w->write(w->ctx, &iov, 1);
}

/* Every byte of `data` must belong to whole records that may stand in this part. */
static int check_records(struct xen_writer *w, enum xen_part part, const uint8_t *data, size_t len,
	struct error *err)
{
	struct wire_reader r = wire_reader(data, len);
	int rc;

	while (r.left) {
		uint32_t type = wire_get_u32(&r);
		size_t body_len = wire_get_u32(&r);
		size_t padded = XEN_STREAM_ALIGN(body_len);
		const uint8_t *body =
			r.failed || padded > r.left ? NULL : wire_get_bytes(&r, padded);

		if (!body && (r.failed || padded))
			return bad(err, "a record is cut off");
		for (size_t i = body_len; i < padded; i++)
			if (body[i])
				return bad(err, "padding that is not zero");
		rc = xen_stream_check_record(&w->stream, part, type, body, body_len, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int begin(struct xen_writer *w, const uint8_t *data, size_t len, struct error *err)
{
	int rc;

	if (len < XEN_STREAM_HEADERS_LEN)
		return bad(err, "its headers are cut off");
	rc = xen_stream_check_headers(&w->stream, data, err);
	if (rc)
		return rc;
	w->phase = XEN_WRITER_HEAD;
	return write_bytes(w, libxl_header, sizeof(libxl_header));
}

int xen_writer_head(struct xen_writer *w, const void *data, size_t len, struct error *err)
{
	const uint8_t *p = data;
	size_t skip = 0;
	int rc;

	if (w->phase > XEN_WRITER_HEAD || len == 0 || len > HV_OPAQUE_MAX)
		return bad(err, "a head out of order");
	if (w->phase == XEN_WRITER_NEW) {
		rc = begin(w, p, len, err);
		if (rc)
			return rc;
		skip = XEN_STREAM_HEADERS_LEN;
	}
	rc = check_records(w, XEN_PART_HEAD, p + skip, len - skip, err);
	return rc ? rc : write_bytes(w, p, len);
}

static int end_head(struct xen_writer *w, struct error *err)
{
	if (w->phase == XEN_WRITER_PAGES)
		return 0;
	if (w->phase != XEN_WRITER_HEAD)
		return bad(err, "pages out of order");
	w->phase = XEN_WRITER_PAGES;
	return xen_stream_check_part(&w->stream, XEN_PART_HEAD, err);
}

static int check_batch(struct xen_writer *w, const struct page_batch *batch, struct error *err)
{
	uint32_t nr_data = 0;
	int rc;

	if (batch->nr == 0 || batch->nr > PAGE_BATCH_MAX)
		return bad(err, "a batch of pages with a wrong count");
	for (uint32_t i = 0; i < batch->nr; i++) {
		if (!page_entry_valid_here(batch->entry[i]))
			return bad(err, "a page of an unknown type");
		rc = xen_stream_check_entry(&w->stream, batch->entry[i] & ~PAGE_ZERO, err);
		if (rc)
			return rc;
		nr_data += page_has_data(batch->entry[i]);
	}
	return nr_data == batch->nr_data ? 0 : bad(err, "a batch of pages with a wrong count");
}

/* The contents in the order of their entries: stretches of the data and pages of zeros. */
static int gather(const struct page_batch *batch, struct iovec *iov)
{
	static const uint8_t zero[PAGE_BYTES];
	const uint8_t *data = batch->data, *end = NULL;
	int nr = 0;

	for (uint32_t i = 0; i < batch->nr; i++) {
		const uint8_t *page = zero;

		if (!page_has_contents(batch->entry[i]))
			continue;
		if (page_has_data(batch->entry[i])) {
			page = data;
			data += PAGE_BYTES;
		}
		if (page == end) {
			iov[nr - 1].iov_len += PAGE_BYTES;
			end += PAGE_BYTES;
			continue;
		}
		iov[nr++] = (struct iovec){(void *)(uintptr_t)page, PAGE_BYTES};
		end = page == zero ? NULL : page + PAGE_BYTES;
	}
	return nr;
}

int xen_writer_pages(struct xen_writer *w, const struct page_batch *batch, struct error *err)
{
	uint8_t head[XEN_STREAM_RECORD_HEADER_LEN + XEN_STREAM_PAGE_HEADER_LEN +
		     8 * PAGE_BATCH_MAX];
	struct wire_writer out = wire_writer(head, sizeof(head));
	struct iovec iov[1 + PAGE_BATCH_MAX];
	int rc = end_head(w, err);
	size_t data_len;

	if (!rc)
		rc = check_batch(w, batch, err);
	if (rc)
		return rc;
	data_len = (size_t)page_batch_contents(batch) * PAGE_BYTES;
	wire_put_u32(&out, XEN_RECORD_PAGE_DATA);
	wire_put_u32(
		&out, (uint32_t)(XEN_STREAM_PAGE_HEADER_LEN + 8 * (size_t)batch->nr + data_len));
	wire_put_u32(&out, batch->nr);
	wire_put_u32(&out, 0);
	for (uint32_t i = 0; i < batch->nr; i++)
		wire_put_u64(&out, batch->entry[i] & ~PAGE_ZERO);
	iov[0] = (struct iovec){.iov_base = head, .iov_len = wire_writer_len(&out)};
	return w->write(w->ctx, iov, 1 + (size_t)gather(batch, iov + 1));
}

static bool is_emulator(const void *data, size_t len)
{
	struct wire_reader r = wire_reader(data, len);

	return wire_get_u32(&r) == XEN_RECORD_EMULATOR && !r.failed;
}

/* The domain image is complete: libxc's part ends, and libxl's own records follow. */
static int end_image(struct xen_writer *w, struct error *err)
{
	int rc;

	if (w->phase != XEN_WRITER_TAIL)
		return bad(err, "it ends before the guest's state");
	rc = xen_stream_check_part(&w->stream, XEN_PART_TAIL, err);
	return rc ? rc : write_bytes(w, end_record, sizeof(end_record));
}

/* One record: the rules have no second one in this part. */
static int write_emulator(struct xen_writer *w, const void *data, size_t len, struct error *err)
{
	uint8_t type[4];
	struct wire_writer out = wire_writer(type, sizeof(type));
	int rc = check_records(w, XEN_PART_EMULATOR, data, len, err);

	if (!rc)
		rc = end_image(w, err);
	if (rc)
		return rc;
	w->phase = XEN_WRITER_EMULATOR;
	wire_put_u32(&out, LIBXL_EMULATOR_CONTEXT);
	rc = write_bytes(w, type, sizeof(type));
	return rc ? rc : write_bytes(w, (const uint8_t *)data + sizeof(type), len - sizeof(type));
}

int xen_writer_tail(struct xen_writer *w, const void *data, size_t len, struct error *err)
{
	int rc;

	if (w->phase == XEN_WRITER_TAIL && is_emulator(data, len) && len <= HV_OPAQUE_MAX)
		return write_emulator(w, data, len, err);
	if (w->phase != XEN_WRITER_TAIL) {
		rc = end_head(w, err);
		if (rc)
			return rc;
		w->phase = XEN_WRITER_TAIL;
	}
	if (len == 0 || len > HV_OPAQUE_MAX)
		return bad(err, "a tail of the wrong size");
	rc = check_records(w, XEN_PART_TAIL, data, len, err);
	return rc ? rc : write_bytes(w, data, len);
}

int xen_writer_end(struct xen_writer *w, struct error *err)
{
	int rc;

	rc = w->phase >= XEN_WRITER_TAIL ? xen_stream_check_part(&w->stream, XEN_PART_EMULATOR, err)
					 : 0;
	if (!rc && w->phase != XEN_WRITER_EMULATOR)
		rc = end_image(w, err);
	if (rc)
		return rc;
	w->phase = XEN_WRITER_END;
	return write_bytes(w, end_record, sizeof(end_record));
}
