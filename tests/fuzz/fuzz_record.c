/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bodies with fields. The first byte says which kind; what is read must be put back to the same
 * bytes. */
#include "fuzz.h"

#include "migrate/record.h"

static uint8_t out[4096 + RECORD_BODY_MAX];

static void check_same(const struct record *rec, size_t len)
{
	fuzz_check(len == rec->len && memcmp(out, rec->body, len) == 0);
}

static void try_offer(const struct record *rec)
{
	struct record_offer offer;

	if (!record_get_offer(rec, &offer))
		return;
	fuzz_check(memchr(offer.backend, 0, sizeof(offer.backend)) &&
		   memchr(offer.name, 0, sizeof(offer.name)));
	check_same(rec, record_put_offer(out, sizeof(out), &offer));
}

/* Its text is cleaned, so only the length must come back. */
static void try_reason(const struct record *rec)
{
	struct error why = ERROR_INIT;

	if (!record_get_reason(rec, &why))
		return;
	for (const char *p = why.what; *p; p++)
		fuzz_check(*p >= ' ' && *p <= '~');
	fuzz_check(record_put_reason(out, sizeof(out), &why) == rec->len);
}

static void try_round(const struct record *rec)
{
	struct record_round round;

	if (record_get_round(rec, &round))
		check_same(rec, record_put_round(out, sizeof(out), &round));
}

static void try_stats(const struct record *rec)
{
	struct record_stats stats;

	if (record_get_stats(rec, &stats))
		check_same(rec, record_put_stats(out, sizeof(out), &stats));
}

static void try_link(const struct record *rec)
{
	struct record_link link;

	if (record_get_link(rec, &link))
		check_same(rec, record_put_link(out, sizeof(out), &link));
}

static void try_done(const struct record *rec)
{
	struct record_done done;

	if (record_get_done(rec, &done))
		check_same(rec, record_put_done(out, sizeof(out), &done));
}

static void try_quiesced(const struct record *rec)
{
	struct verify_sums sums;

	if (record_get_quiesced(rec, &sums))
		check_same(rec, record_put_quiesced(out, sizeof(out), &sums));
}

/* Its text is cleaned, too. */
static void try_findings(const struct record *rec)
{
	static struct findings found;

	if (!record_get_findings(rec, &found))
		return;
	for (unsigned i = 0; i < found.nr; i++)
		for (const char *p = found.list[i].what; *p; p++)
			fuzz_check(*p >= ' ' && *p <= '~');
	fuzz_check(record_put_findings(out, sizeof(out), &found) == rec->len);
}

static void try_pages(const struct record *rec)
{
	static struct page_batch batch;
	unsigned sum = 0;

	if (!record_get_pages(rec, &batch))
		return;
	for (size_t i = 0; i < (size_t)batch.nr_data * PAGE_BYTES; i++)
		sum += batch.data[i];
	fuzz_check(sum <= UINT32_MAX);
}

static void try_probed(const struct record *rec)
{
	struct record_probed probed;

	if (record_get_probed(rec, &probed))
		check_same(rec, record_put_probed(out, sizeof(out), &probed));
}

static void try_place(const struct record *rec)
{
	struct record_place place;

	if (record_get_place(rec, &place))
		fuzz_check(record_put_place(out, sizeof(out), &place) == rec->len);
}

static void try_resolve(const struct record *rec)
{
	struct record_resolve resolve;

	if (record_get_resolve(rec, &resolve))
		check_same(rec, record_put_resolve(out, sizeof(out), &resolve));
}

static void try_join(const struct record *rec)
{
	struct record_resolve join;

	if (!record_get_join(rec, &join))
		return;
	fuzz_check(join.stream < RECORD_STREAMS_MAX);
	check_same(rec, record_put_join(out, sizeof(out), &join));
}

static void (*const tries[])(const struct record *) = {try_offer, try_reason, try_round, try_stats,
	try_link, try_done, try_pages, try_findings, try_probed, try_place, try_quiesced,
	try_resolve, try_join};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record rec = {.len = (uint32_t)size - 1};

	if (size < 1 || size > RECORD_BODY_MAX)
		return 0;
	rec.body = malloc(size);
	fuzz_check(rec.body != NULL);
	memcpy(rec.body, data + 1, size - 1);
	tries[data[0] % (sizeof(tries) / sizeof(tries[0]))](&rec);
	free(rec.body);
	return 0;
}

static void fuzz_seeds(void)
{
	const struct record_offer offer = {
		.version = 1, .backend = "xen", .name = "g", .json = "{}", .json_len = 2};
	const struct error why = {.what = "no", .fix = "yes"};
	static struct findings found;

	findings_add_error(&found, FINDING_RISK, "memory", &why);
	findings_add_error(&found, FINDING_BLOCKER, "bridge", &why);

	for (uint8_t kind = 0; kind < sizeof(tries) / sizeof(tries[0]); kind++) {
		size_t len = 0;

		memset(out, 0, 64);
		out[0] = kind;
		if (kind == 0)
			len = record_put_offer(out + 1, 256, &offer);
		else if (kind == 1)
			len = record_put_reason(out + 1, 256, &why);
		else if (kind == 4)
			len = record_put_link(out + 1, 256, &(struct record_link){"a", "b"});
		else if (kind == 6)
			out[1] = 1, out[16] = 0xf0, len = 16;
		else if (kind == 7)
			len = record_put_findings(out + 1, 256, &found);
		else
			len = kind == 2	   ? 12
			      : kind == 5  ? 24
			      : kind == 10 ? 32
			      : kind > 10  ? 44
					   : 16;
		fuzz_seed(out, len + 1);
	}
}
