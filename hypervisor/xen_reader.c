/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_reader.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "hypervisor/hypervisor.h"

enum phase { PHASE_HEAD = 1, PHASE_PAGES, PHASE_TAIL };

struct reader {
	xen_reader_read *read;
	void *read_ctx;
	const struct xen_sink *sink;
	void *sink_ctx;
	struct error *err;
	struct xen_stream stream;
	enum phase phase;
	uint8_t *record; /* HV_OPAQUE_MAX: header, body and padding of one record */
	uint8_t *data;	 /* PAGE_BATCH_MAX pages */
	uint64_t entries[XEN_STREAM_PAGES_MAX];
	struct page_batch batch;
};

static int bad(struct reader *r, const char *what)
{
	return error_set(r->err, -EPROTO, NULL, "the domain image is not valid: %s", what);
}

static int read_bytes(struct reader *r, void *buf, size_t len)
{
	return r->read(r->read_ctx, buf, len);
}

static int read_headers(struct reader *r)
{
	int rc = read_bytes(r, r->record, XEN_STREAM_HEADERS_LEN);

	if (rc)
		return rc;
	rc = xen_stream_check_headers(&r->stream, r->record, r->err);
	if (rc)
		return rc;
	return r->sink->head(r->sink_ctx, r->record, XEN_STREAM_HEADERS_LEN);
}

/* Read the body of a record that is not PAGE_DATA behind its header in r->record. */
static int read_body(struct reader *r, size_t len, size_t *total)
{
	size_t padded = XEN_STREAM_ALIGN(len);
	uint8_t *body = r->record + XEN_STREAM_RECORD_HEADER_LEN;
	int rc;

	if (padded > HV_OPAQUE_MAX - XEN_STREAM_RECORD_HEADER_LEN)
		return error_set(r->err, -EPROTO, NULL,
			"the domain image holds a record of %zu bytes, more than lifeboat handles",
			len);
	rc = read_bytes(r, body, padded);
	if (rc)
		return rc;
	for (size_t i = len; i < padded; i++)
		if (body[i])
			return bad(r, "padding that is not zero");
	*total = XEN_STREAM_RECORD_HEADER_LEN + padded;
	return 0;
}

/* The head ends with whatever comes first of a page or a mark. */
static int end_head(struct reader *r)
{
	if (r->phase != PHASE_HEAD)
		return 0;
	r->phase = PHASE_PAGES;
	return xen_stream_check_part(&r->stream, XEN_PART_HEAD, r->err);
}

/* Read the header and the entries of a PAGE_DATA record and check that its length is just right. */
static int read_entries(struct reader *r, size_t len, size_t *count)
{
	uint8_t raw[XEN_STREAM_PAGES_MAX * 8];
	struct wire_reader w;
	size_t expect;
	int rc;

	if (len < XEN_STREAM_PAGE_HEADER_LEN)
		return bad(r, "a page record without its header");
	rc = read_bytes(r, raw, XEN_STREAM_PAGE_HEADER_LEN);
	if (rc)
		return rc;
	w = wire_reader(raw, XEN_STREAM_PAGE_HEADER_LEN);
	*count = wire_get_u32(&w);
	expect = XEN_STREAM_PAGE_HEADER_LEN + *count * 8;
	if (wire_get_u32(&w) != 0 || *count == 0 || *count > XEN_STREAM_PAGES_MAX || expect > len)
		return bad(r, "a page record with a wrong count");
	rc = read_bytes(r, raw, *count * 8);
	if (rc)
		return rc;
	w = wire_reader(raw, *count * 8);
	for (size_t i = 0; i < *count; i++) {
		r->entries[i] = wire_get_u64(&w);
		rc = xen_stream_check_entry(&r->stream, r->entries[i], r->err);
		if (rc)
			return rc;
		if (page_has_data(r->entries[i]))
			expect += PAGE_BYTES;
	}
	return expect == len ? 0 : bad(r, "a page record of the wrong length");
}

/* How many of `nr` entries make a batch. */
static uint32_t run(const uint64_t *entry, size_t nr)
{
	uint32_t n = 1;

	while (n < nr && n < PAGE_BATCH_MAX && page_region(entry[n]) == page_region(entry[0]))
		n++;
	return n;
}

static int read_pages(struct reader *r, size_t len)
{
	size_t count = 0;
	int rc = read_entries(r, len, &count);

	for (size_t done = 0; !rc && done < count; done += r->batch.nr) {
		uint32_t nr_asked = run(r->entries + done, count - done);

		r->batch.nr = nr_asked;
		r->batch.nr_data = 0;
		memcpy(r->batch.entry, r->entries + done, nr_asked * sizeof(r->entries[0]));
		for (uint32_t i = 0; i < nr_asked; i++)
			r->batch.nr_data += page_has_data(r->batch.entry[i]);
		r->batch.data = r->sink->room ? r->sink->room(r->sink_ctx, &r->batch) : r->data;
		if (!r->batch.data)
			return -EPIPE;
		rc = read_bytes(r, r->batch.data, (size_t)r->batch.nr_data * PAGE_BYTES);
		if (!rc)
			rc = r->sink->pages(r->sink_ctx, &r->batch);
		r->batch.nr = nr_asked; /* the sink may have compacted the batch */
	}
	return rc;
}

static int read_mark(struct reader *r, size_t len)
{
	struct xen_mark mark;
	size_t total = 0;
	int rc = read_body(r, len, &total);

	if (rc)
		return rc;
	rc = xen_stream_mark_decode(&mark, r->record + XEN_STREAM_RECORD_HEADER_LEN, len, r->err);
	return rc ? rc : r->sink->mark(r->sink_ctx, &mark);
}

static int read_opaque(struct reader *r, uint32_t type, size_t len)
{
	size_t total = 0;
	int rc;

	if (r->phase == PHASE_PAGES)
		r->phase = PHASE_TAIL;
	rc = read_body(r, len, &total);
	if (rc)
		return rc;
	rc = xen_stream_check_record(&r->stream,
		r->phase == PHASE_HEAD ? XEN_PART_HEAD : XEN_PART_TAIL, type,
		r->record + XEN_STREAM_RECORD_HEADER_LEN, len, r->err);
	if (rc)
		return rc;
	return r->phase == PHASE_HEAD ? r->sink->head(r->sink_ctx, r->record, total)
				      : r->sink->tail(r->sink_ctx, r->record, total);
}

static int read_end(struct reader *r, size_t len)
{
	if (len)
		return bad(r, "an end record with contents");
	return xen_stream_check_part(&r->stream, XEN_PART_TAIL, r->err);
}

/* One record; `*end` when it was the last. */
static int read_record(struct reader *r, bool *end)
{
	struct wire_reader w;
	uint32_t type, len;
	int rc = read_bytes(r, r->record, XEN_STREAM_RECORD_HEADER_LEN);

	if (rc)
		return rc;
	w = wire_reader(r->record, XEN_STREAM_RECORD_HEADER_LEN);
	type = wire_get_u32(&w);
	len = wire_get_u32(&w);
	if (type == XEN_RECORD_END) {
		*end = true;
		return read_end(r, len);
	}
	if (type != XEN_RECORD_PAGE_DATA && type != XEN_RECORD_MARK)
		return read_opaque(r, type, len);
	if (r->phase == PHASE_TAIL)
		return bad(r, "pages after the guest's state");
	rc = end_head(r);
	if (rc)
		return rc;
	return type == XEN_RECORD_MARK ? read_mark(r, len) : read_pages(r, len);
}

int xen_reader_run(xen_reader_read *read, void *read_ctx, const struct xen_sink *sink,
	void *sink_ctx, const struct xen_stream_limits *limits, struct error *err)
{
	struct reader *r = calloc(1, sizeof(*r));
	bool end = false;
	int rc = -ENOMEM;

	if (!r)
		goto out;
	r->read = read;
	r->read_ctx = read_ctx;
	r->sink = sink;
	r->sink_ctx = sink_ctx;
	r->err = err;
	r->stream.limits = *limits;
	r->phase = PHASE_HEAD;
	r->record = malloc(HV_OPAQUE_MAX);
	r->data = malloc((size_t)PAGE_BATCH_MAX * PAGE_BYTES);
	if (!r->record || !r->data)
		goto out;
	rc = read_headers(r);
	while (!rc && !end)
		rc = read_record(r, &end);
out:
	if (r) {
		free(r->record);
		free(r->data);
	}
	free(r);
	if (rc == -ENOMEM)
		error_sys(err, rc, NULL, "cannot read the domain image");
	return rc;
}
