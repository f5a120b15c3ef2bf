/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/clock.h"

static const struct {
	const char *name;
	enum record_role from;
} kinds[RECORD_TYPE_END] = {
	[RECORD_OFFER] = {"OFFER", ROLE_SOURCE},
	[RECORD_ACCEPT] = {"ACCEPT", ROLE_DESTINATION},
	[RECORD_REFUSED] = {"REFUSED", ROLE_DESTINATION},
	[RECORD_HEAD] = {"HEAD", ROLE_SOURCE},
	[RECORD_PAGES] = {"PAGES", ROLE_SOURCE},
	[RECORD_TAIL] = {"TAIL", ROLE_SOURCE},
	[RECORD_ROUND] = {"ROUND", ROLE_SOURCE},
	[RECORD_APPLIED] = {"APPLIED", ROLE_DESTINATION},
	[RECORD_QUIESCED] = {"QUIESCED", ROLE_SOURCE},
	[RECORD_READY] = {"READY", ROLE_DESTINATION},
	[RECORD_GO] = {"GO", ROLE_SOURCE},
	[RECORD_DONE] = {"DONE", ROLE_DESTINATION},
	[RECORD_GONE] = {"GONE", ROLE_SOURCE},
	[RECORD_CLOSED] = {"CLOSED", ROLE_DESTINATION},
	[RECORD_ABORT] = {"ABORT", ROLE_SOURCE},
	[RECORD_RESOLVE] = {"RESOLVE", ROLE_SOURCE},
	[RECORD_UNKNOWN] = {"UNKNOWN", ROLE_DESTINATION},
	[RECORD_FINDINGS] = {"FINDINGS", ROLE_DESTINATION},
	[RECORD_PROBE] = {"PROBE", ROLE_DESTINATION},
	[RECORD_PROBED] = {"PROBED", ROLE_SOURCE},
	[RECORD_ADDRESSES] = {"ADDRESSES", ROLE_SOURCE},
	[RECORD_PLACE] = {"PLACE", ROLE_DESTINATION},
	[RECORD_JOIN] = {"JOIN", ROLE_SOURCE},
	[RECORD_JOINED] = {"JOINED", ROLE_DESTINATION},
	[RECORD_SUSPENDING] = {"SUSPENDING", ROLE_SOURCE},
};

int record_init(struct record *rec)
{
	*rec = (struct record){.body = malloc(RECORD_BODY_MAX)};
	return rec->body ? 0 : -ENOMEM;
}

void record_dispose(struct record *rec)
{
	free(rec->body);
	*rec = (struct record){0};
}

void record_header_put(uint8_t out[static RECORD_HEADER_LEN], uint32_t type, uint32_t len)
{
	struct wire_writer w = wire_writer(out, RECORD_HEADER_LEN);

	wire_put_u32(&w, type);
	wire_put_u32(&w, len);
}

bool record_header_get(const uint8_t in[static RECORD_HEADER_LEN], uint32_t *type, uint32_t *len)
{
	struct wire_reader r = wire_reader(in, RECORD_HEADER_LEN);

	*type = wire_get_u32(&r);
	*len = wire_get_u32(&r);
	return *len <= RECORD_BODY_MAX;
}

bool record_allowed_from(enum record_role peer, uint32_t type)
{
	return type < RECORD_TYPE_END && kinds[type].name && kinds[type].from == peer;
}

const char *record_type_name(uint32_t type)
{
	return type < RECORD_TYPE_END && kinds[type].name ? kinds[type].name : "a local kind";
}

int record_read(int fd, struct record *rec, int64_t deadline)
{
	uint8_t header[RECORD_HEADER_LEN];
	int rc = io_read_exact(fd, header, sizeof(header), deadline);

	if (rc)
		return rc;
	if (!record_header_get(header, &rec->type, &rec->len))
		return -EPROTO;
	return io_read_exact(fd, rec->body, rec->len, deadline);
}

int record_write(int fd, uint32_t type, const void *body, size_t len, int64_t deadline)
{
	uint8_t header[RECORD_HEADER_LEN];
	int rc;

	if (len > RECORD_BODY_MAX)
		return -EMSGSIZE;
	record_header_put(header, type, (uint32_t)len);
	rc = io_write_all(fd, header, sizeof(header), deadline);
	return rc ? rc : io_write_all(fd, body, len, deadline);
}

static void put_entries(struct wire_writer *w, const struct page_batch *batch)
{
	wire_put_u32(w, batch->nr);
	wire_put_u32(w, batch->nr_data);
	for (uint32_t i = 0; i < batch->nr; i++)
		wire_put_u64(w, batch->entry[i]);
}

int record_write_pages(int fd, const struct page_batch *batch, int64_t deadline)
{
	uint8_t head[RECORD_HEADER_LEN + RECORD_SLOT_MAX];
	struct wire_writer w =
		wire_writer(head + RECORD_HEADER_LEN, sizeof(head) - RECORD_HEADER_LEN);
	size_t data_len = (size_t)batch->nr_data * PAGE_BYTES;
	int rc;

	if (batch->nr > PAGE_BATCH_MAX)
		return -EMSGSIZE;
	put_entries(&w, batch);
	record_header_put(head, RECORD_PAGES, (uint32_t)(wire_writer_len(&w) + data_len));
	rc = io_write_all(fd, head, RECORD_HEADER_LEN + wire_writer_len(&w), deadline);
	return rc ? rc : io_write_all(fd, batch->data, data_len, deadline);
}

static bool get_entries(struct wire_reader *r, struct page_batch *batch)
{
	uint32_t nr_data = 0;

	batch->nr = wire_get_u32(r);
	batch->nr_data = wire_get_u32(r);
	if (batch->nr == 0 || batch->nr > PAGE_BATCH_MAX)
		return false;
	for (uint32_t i = 0; i < batch->nr; i++) {
		batch->entry[i] = wire_get_u64(r);
		if (!page_entry_valid_here(batch->entry[i]))
			return false;
		nr_data += page_has_data(batch->entry[i]);
	}
	return nr_data == batch->nr_data;
}

bool record_get_pages(const struct record *rec, struct page_batch *batch)
{
	struct wire_reader r = wire_reader(rec->body, rec->len);

	if (!get_entries(&r, batch))
		return false;
	batch->data = rec->body + (rec->len - r.left);
	wire_get_bytes(&r, (size_t)batch->nr_data * PAGE_BYTES);
	return wire_reader_done(&r);
}

size_t record_put_slot(void *buf, size_t size, const struct page_batch *batch)
{
	struct wire_writer w = wire_writer(buf, size);

	put_entries(&w, batch);
	return w.failed ? 0 : wire_writer_len(&w);
}

bool record_get_slot(const struct record *rec, struct page_batch *batch)
{
	struct wire_reader r = wire_reader(rec->body, rec->len);

	batch->data = NULL;
	return get_entries(&r, batch) && wire_reader_done(&r);
}

/* The length written, or 0 when it did not fit: no body with fields is ever empty. */
static size_t finished(const struct wire_writer *w)
{
	return w->failed ? 0 : wire_writer_len(w);
}

size_t record_put_offer(void *buf, size_t size, const struct record_offer *offer)
{
	struct wire_writer w = wire_writer(buf, size);

	wire_put_u32(&w, offer->version);
	wire_put_u32(&w, offer->flags);
	wire_put_string(&w, offer->backend);
	wire_put_string(&w, offer->name);
	wire_put_bytes(&w, offer->uuid, sizeof(offer->uuid));
	wire_put_bytes(&w, offer->token, sizeof(offer->token));
	wire_put_u64(&w, offer->term);
	wire_put_u32(&w, offer->json_len);
	wire_put_bytes(&w, offer->json, offer->json_len);
	return finished(&w);
}

bool record_get_offer(const struct record *rec, struct record_offer *offer)
{
	struct wire_reader r = wire_reader(rec->body, rec->len);
	const uint8_t *uuid, *token, *json;

	offer->version = wire_get_u32(&r);
	offer->flags = wire_get_u32(&r);
	wire_get_string(&r, offer->backend, sizeof(offer->backend));
	wire_get_string(&r, offer->name, sizeof(offer->name));
	uuid = wire_get_bytes(&r, sizeof(offer->uuid));
	token = wire_get_bytes(&r, sizeof(offer->token));
	offer->term = wire_get_u64(&r);
	offer->json_len = wire_get_u32(&r);
	json = wire_get_bytes(&r, offer->json_len);
	if (!wire_reader_done(&r) || memchr(json, '\0', offer->json_len))
		return false;
	memcpy(offer->uuid, uuid, sizeof(offer->uuid));
	memcpy(offer->token, token, sizeof(offer->token));
	offer->json = (const char *)json;
	return true;
}

size_t record_put_reason(void *buf, size_t size, const struct error *why)
{
	struct wire_writer w = wire_writer(buf, size);

	wire_put_string(&w, why->what);
	wire_put_string(&w, why->fix);
	return finished(&w);
}

static size_t put_numbers(void *buf, size_t size, const uint64_t *numbers, size_t nr)
{
	struct wire_writer w = wire_writer(buf, size);

	for (size_t i = 0; i < nr; i++)
		wire_put_u64(&w, numbers[i]);
	return finished(&w);
}

static bool get_numbers(const struct record *rec, uint64_t *numbers, size_t nr)
{
	struct wire_reader r = wire_reader(rec->body, rec->len);

	for (size_t i = 0; i < nr; i++)
		numbers[i] = wire_get_u64(&r);
	return wire_reader_done(&r);
}

size_t record_put_applied(void *buf, size_t size, uint64_t count)
{
	return put_numbers(buf, size, &count, 1);
}

bool record_get_applied(const struct record *rec, uint64_t *count)
{
	return get_numbers(rec, count, 1);
}

size_t record_put_accept(void *buf, size_t size, uint64_t term)
{
	struct wire_writer w = wire_writer(buf, size);

	wire_put_u64(&w, term);
	return finished(&w);
}

bool record_get_accept(const struct record *rec, uint64_t *term)
{
	struct wire_reader r = wire_reader(rec->body, rec->len);

	*term = wire_get_u64(&r);
	return wire_reader_done(&r);
}

size_t record_put_pace(void *buf, size_t size, uint64_t bytes_per_s)
{
	return record_put_accept(buf, size, bytes_per_s);
}

bool record_get_pace(const struct record *rec, uint64_t *bytes_per_s)
{
	return record_get_accept(rec, bytes_per_s);
}

static size_t put_resolve(
	void *buf, size_t size, const struct record_resolve *resolve, uint32_t number)
{
	struct wire_writer w = wire_writer(buf, size);

	wire_put_bytes(&w, resolve->uuid, sizeof(resolve->uuid));
	wire_put_bytes(&w, resolve->token, sizeof(resolve->token));
	wire_put_u32(&w, number);
	wire_put_u64(&w, resolve->term);
	return finished(&w);
}

/* The number, or -1 when not every byte is as it must be. */
static int64_t get_resolve(const struct record *rec, uint32_t limit, struct record_resolve *resolve)
{
	struct wire_reader r = wire_reader(rec->body, rec->len);
	const uint8_t *uuid = wire_get_bytes(&r, sizeof(resolve->uuid));
	const uint8_t *token = wire_get_bytes(&r, sizeof(resolve->token));
	uint32_t number = wire_get_u32(&r);

	*resolve = (struct record_resolve){.term = wire_get_u64(&r)};
	if (!wire_reader_done(&r) || number >= limit)
		return -1;
	memcpy(resolve->uuid, uuid, sizeof(resolve->uuid));
	memcpy(resolve->token, token, sizeof(resolve->token));
	return number;
}

size_t record_put_resolve(void *buf, size_t size, const struct record_resolve *resolve)
{
	return put_resolve(buf, size, resolve, resolve->ceded);
}

bool record_get_resolve(const struct record *rec, struct record_resolve *resolve)
{
	int64_t ceded = get_resolve(rec, 2, resolve);

	resolve->ceded = ceded == 1;
	return ceded >= 0;
}

size_t record_put_join(void *buf, size_t size, const struct record_resolve *join)
{
	return put_resolve(buf, size, join, join->stream);
}

bool record_get_join(const struct record *rec, struct record_resolve *join)
{
	int64_t stream = get_resolve(rec, RECORD_STREAMS_MAX, join);

	join->stream = (uint32_t)stream;
	return stream >= 0;
}

/* A peer's text ends on a terminal and in JSON: nothing but printable ASCII comes through. */
static void get_text(struct wire_reader *r, char *out, size_t size)
{
	wire_get_string(r, out, size);
	for (char *p = out; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

bool record_get_reason(const struct record *rec, struct error *why)
{
	struct wire_reader r = wire_reader(rec->body, rec->len);

	get_text(&r, why->what, sizeof(why->what));
	get_text(&r, why->fix, sizeof(why->fix));
	why->rc = wire_reader_done(&r) ? -EREMOTEIO : 0;
	return why->rc != 0;
}

size_t record_put_findings(void *buf, size_t size, const struct findings *found)
{
	struct wire_writer w = wire_writer(buf, size);

	wire_put_u32(&w, found->nr);
	for (unsigned i = 0; i < found->nr; i++) {
		wire_put_u32(&w, found->list[i].severity);
		wire_put_string(&w, found->list[i].code);
		wire_put_string(&w, found->list[i].what);
		wire_put_string(&w, found->list[i].fix);
	}
	return finished(&w);
}

static bool get_finding(struct wire_reader *r, struct finding *one)
{
	uint32_t severity = wire_get_u32(r);

	get_text(r, one->code, sizeof(one->code));
	get_text(r, one->what, sizeof(one->what));
	get_text(r, one->fix, sizeof(one->fix));
	if (severity < FINDING_BLOCKER || severity >= FINDING_SEVERITY_END)
		return false;
	one->severity = (enum finding_severity)severity;
	return !r->failed && one->code[0] && one->what[0] && one->fix[0];
}

bool record_get_findings(const struct record *rec, struct findings *got)
{
	struct wire_reader r = wire_reader(rec->body, rec->len);

	*got = (struct findings){.nr = wire_get_u32(&r)};
	if (got->nr == 0 || got->nr > FINDINGS_MAX)
		return false;
	for (unsigned i = 0; i < got->nr; i++)
		if (!get_finding(&r, &got->list[i]))
			return false;
	return wire_reader_done(&r);
}

size_t record_put_round(void *buf, size_t size, const struct record_round *round)
{
	struct wire_writer w = wire_writer(buf, size);

	wire_put_u32(&w, round->round);
	wire_put_u64(&w, round->pages);
	return finished(&w);
}

bool record_get_round(const struct record *rec, struct record_round *round)
{
	struct wire_reader r = wire_reader(rec->body, rec->len);

	round->round = wire_get_u32(&r);
	round->pages = wire_get_u64(&r);
	return wire_reader_done(&r);
}

size_t record_put_stats(void *buf, size_t size, const struct record_stats *stats)
{
	return put_numbers(buf, size, (const uint64_t[]){stats->bytes_out, stats->bytes_in}, 2);
}

bool record_get_stats(const struct record *rec, struct record_stats *stats)
{
	uint64_t n[2];
	bool good = get_numbers(rec, n, 2);

	*stats = (struct record_stats){n[0], n[1]};
	return good;
}

size_t record_put_quiesced(void *buf, size_t size, const struct verify_sums *sums)
{
	const uint64_t *s = sums->sum;

	return put_numbers(buf, size, (const uint64_t[]){sums->pages, s[0], s[1], s[2]}, 4);
}

bool record_get_quiesced(const struct record *rec, struct verify_sums *sums)
{
	uint64_t n[1 + VERIFY_SUMS];
	bool good = get_numbers(rec, n, 1 + VERIFY_SUMS);

	*sums = (struct verify_sums){n[0], {n[1], n[2], n[3]}};
	return good && n[1] < VERIFY_PRIME && n[2] < VERIFY_PRIME && n[3] < VERIFY_PRIME;
}

size_t record_put_done(void *buf, size_t size, const struct record_done *done)
{
	return put_numbers(buf, size,
		(const uint64_t[]){done->finish_us, done->activate_us, done->verify_us}, 3);
}

bool record_get_done(const struct record *rec, struct record_done *done)
{
	uint64_t n[3];
	bool good = get_numbers(rec, n, 3);

	*done = (struct record_done){n[0], n[1], n[2]};
	return good;
}

size_t record_put_link(void *buf, size_t size, const struct record_link *link)
{
	struct wire_writer w = wire_writer(buf, size);

	wire_put_string(&w, link->peer);
	wire_put_string(&w, link->cipher);
	return finished(&w);
}

bool record_get_link(const struct record *rec, struct record_link *link)
{
	struct wire_reader r = wire_reader(rec->body, rec->len);

	wire_get_string(&r, link->peer, sizeof(link->peer));
	wire_get_string(&r, link->cipher, sizeof(link->cipher));
	return wire_reader_done(&r);
}
