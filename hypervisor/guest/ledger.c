/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ledger: a guest that notices when one page of it is lost or stale.
 *
 *   extra="fill=80 wss=20 rate=2000 verify=50000 tick=1000 seed=1 marker=LIFEBOAT-MARKER-..."
 *
 * `fill` percent of memory are ledger pages; `rate` of them a second are rewritten, chosen at
 * random within the first `wss` percent; `verify` pages a second are checked, all in turn. Every
 * `tick` milliseconds it says how it is.
 *
 *   page    +--------+-------+------------+---------------+-----------+---------+-----------+
 *           | marker | index | generation | previous hash | self hash | payload | (to 4096) |
 *           +--------+-------+------------+---------------+-----------+---------+-----------+
 *
 * Beside the pages a compact table holds for each page the generation and hash that it must have. A
 * lost page differs from its entry. A page and its table page that are both stale agree with each
 * other, so `sum`, the exclusive or of all entries, lives apart and is checked against the table
 * each time all pages have been seen. Even pages hold text, odd ones noise.
 */
#include "guest_rt.h"

#define PAGE	     4096u
#define MARKER	     "LIFEBOAT-MARKER-5d1a7c90e2b84f36a1c3e5f708192b4d"
#define MARKER_LEN   48
#define STACK_BYTES  (64u << 10)
#define SLICE_NS     10000000u /* work in slices of 10 ms, sleep in between */
#define SECOND_NS    1000000000u
#define FAULTS_SHOWN 20u
#define SLICE_PAGES  20000u /* at most so many pages a slice, so that events are seen */

struct entry {
	uint64_t generation;
	uint64_t hash;
};

struct page {
	char marker[MARKER_LEN];
	uint64_t index;
	uint64_t generation;
	uint64_t previous;
	uint64_t hash; /* of all other words */
	uint64_t payload[(PAGE - MARKER_LEN - 4 * 8) / 8];
};

_Static_assert(sizeof(struct page) == PAGE, "a ledger page is a page");

static struct {
	struct page *page;
	struct entry *entry;
	uint64_t nr_pages, nr_working;
	uint64_t rate, verify_rate, tick_ns;
	uint64_t random;
	uint64_t sum;	   /* of entry_mix over all entries */
	uint64_t next;	   /* page to verify next */
	uint64_t verified; /* pages verified since the start */
	uint64_t passes;
	uint64_t written;
	uint64_t faults;
	uint64_t tick;
	char marker[MARKER_LEN + 1];
} ledger;

extern char _end[];

static uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	return x ^ (x >> 32);
}

static uint64_t random_next(void)
{
	ledger.random += 0x9e3779b97f4a7c15u;
	return mix(ledger.random);
}

static uint64_t rotate(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

/* Four independent lanes over the 512 words of a page, the self hash left out. */
static uint64_t page_hash(const struct page *p)
{
	const uint64_t *w = (const uint64_t *)(const void *)p;
	const unsigned self = (unsigned)(offsetof(struct page, hash) / 8);
	uint64_t a = 1, b = 2, c = 3, d = 4;

	for (unsigned i = 0; i < PAGE / 8; i += 4) {
		a = rotate(a ^ w[i], 29) * 0x9fb21c651e98df25u;
		b = rotate(b ^ (i + 1 == self ? 0 : w[i + 1]), 31) * 0xd6e8feb86659fd93u;
		c = rotate(c ^ w[i + 2], 33) * 0xa0761d6478bd642fu;
		d = rotate(d ^ w[i + 3], 37) * 0xe7037ed1a0b428dbu;
	}
	return mix(a ^ rotate(b, 13) ^ rotate(c, 27) ^ rotate(d, 41));
}

_Static_assert(offsetof(struct page, hash) / 8 % 4 == 1, "page_hash leaves the self hash out");

static uint64_t entry_mix(uint64_t index, const struct entry *e)
{
	return mix(index * 0x9e3779b97f4a7c15u ^ mix(e->generation) ^ e->hash);
}

static void fill_payload(struct page *p, uint64_t index, uint64_t generation)
{
	const unsigned nr = sizeof(p->payload) / 8;
	char *text = (char *)p->payload;
	size_t len;

	if (index & 1) {
		uint64_t x = mix(index) ^ generation;

		for (unsigned i = 0; i < nr; i++)
			p->payload[i] = mix(x += 0x9e3779b97f4a7c15u);
		return;
	}
	len = text_format(text, 128, "ledger page %lu generation %lu: all is as it was written. ",
		index, generation);
	for (size_t done = len; done < sizeof(p->payload); done += len)
		memcpy(text + done, text,
			len < sizeof(p->payload) - done ? len : sizeof(p->payload) - done);
}

static void page_write(uint64_t index)
{
	struct page *p = &ledger.page[index];
	struct entry *e = &ledger.entry[index];

	ledger.sum ^= entry_mix(index, e);
	e->generation++;
	memcpy(p->marker, ledger.marker, MARKER_LEN);
	p->index = index;
	p->generation = e->generation;
	p->previous = e->hash;
	fill_payload(p, index, e->generation);
	p->hash = page_hash(p);
	e->hash = p->hash;
	ledger.sum ^= entry_mix(index, e);
	ledger.written++;
}

static void fault(const char *what, uint64_t index, uint64_t found, uint64_t expected)
{
	ledger.faults++;
	if (ledger.faults <= FAULTS_SHOWN)
		console_print("ledger: FAULT page %lu: %s is %lx, expected %lx\n", index, what,
			found, expected);
}

static void page_verify(uint64_t index)
{
	const struct page *p = &ledger.page[index];
	const struct entry *e = &ledger.entry[index];

	if (p->index != index)
		fault("index", index, p->index, index);
	else if (p->generation != e->generation)
		fault("generation", index, p->generation, e->generation);
	else if (p->hash != e->hash)
		fault("hash", index, p->hash, e->hash);
	else if (page_hash(p) != e->hash)
		fault("content hash", index, page_hash(p), e->hash);
	ledger.verified++;
}

static void table_verify(void)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < ledger.nr_pages; i++)
		sum ^= entry_mix(i, &ledger.entry[i]);
	if (sum != ledger.sum)
		fault("table sum", ledger.nr_pages, sum, ledger.sum);
	ledger.passes++;
}

static void verify_some(uint64_t nr)
{
	while (nr--) {
		page_verify(ledger.next);
		if (++ledger.next == ledger.nr_pages) {
			ledger.next = 0;
			table_verify();
		}
	}
}

static uint64_t at_most(uint64_t v, uint64_t max)
{
	return v < max ? v : max;
}

static void setup(const struct guest_info *info)
{
	uint64_t start = ((uintptr_t)_end + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	uint64_t room = GUEST_BASE + info->memory_bytes - STACK_BYTES - start;
	uint64_t fill = at_most(cmdline_number(info, "fill", 80), 100);
	uint64_t most = room / (PAGE + sizeof(struct entry)) - 1;

	ledger.nr_pages = at_most(info->memory_bytes / PAGE * fill / 100, most);
	if (ledger.nr_pages == 0)
		ledger.nr_pages = 1;
	ledger.nr_working = ledger.nr_pages * at_most(cmdline_number(info, "wss", 20), 100) / 100;
	if (ledger.nr_working == 0)
		ledger.nr_working = 1;
	ledger.rate = cmdline_number(info, "rate", 2000);
	ledger.verify_rate = cmdline_number(info, "verify", 50000);
	ledger.tick_ns = at_most(cmdline_number(info, "tick", 1000), 60000) * 1000000;
	ledger.random = cmdline_number(info, "seed", 1);
	memcpy(ledger.marker, MARKER, MARKER_LEN);
	cmdline_string(info, "marker", ledger.marker, sizeof(ledger.marker));
	ledger.page = (struct page *)start;
	ledger.entry = (struct entry *)(start + ledger.nr_pages * PAGE);
	for (uint64_t i = 0; i < ledger.nr_pages; i++)
		ledger.sum ^= entry_mix(i, &ledger.entry[i]);
	for (uint64_t i = 0; i < ledger.nr_pages; i++)
		page_write(i);
	console_print("ledger: %lu pages, %lu in the working set, %lu written a second, %s\n",
		ledger.nr_pages, ledger.nr_working, ledger.rate, ledger.marker);
}

static _Noreturn void finish(enum guest_exit reason)
{
	verify_some(ledger.nr_pages - ledger.next);
	verify_some(ledger.nr_pages);
	guest_call(HC_REPORT, ledger.tick, ledger.faults, 0, 0);
	console_print("ledger: final tick %lu, pages %lu, written %lu, faults %lu\n", ledger.tick,
		ledger.nr_pages, ledger.written, ledger.faults);
	guest_exit(reason);
}

/* How many of `rate` a second are due for a time that `ns` long; the rest is kept in `*debt`. */
static uint64_t due(uint64_t rate, uint64_t ns, uint64_t *debt)
{
	uint64_t units = *debt + rate * ns, nr = units / SECOND_NS;

	if (nr > SLICE_PAGES) { /* cannot keep up: forget the rest */
		*debt = 0;
		return SLICE_PAGES;
	}
	*debt = units % SECOND_NS;
	return nr;
}

static void slice(uint64_t ns)
{
	static uint64_t write_debt, verify_debt;

	for (uint64_t nr = due(ledger.rate, ns, &write_debt); nr; nr--)
		page_write(random_next() % ledger.nr_working);
	verify_some(due(ledger.verify_rate, ns, &verify_debt));
}

_Noreturn void guest_main(const struct guest_info *info)
{
	uint64_t last, now, told;

	setup(info);
	last = guest_clock_ns();
	told = last;
	for (;;) {
		uint32_t events = guest_wait(
			last + SLICE_NS, GUEST_EVENT_TIMER | GUEST_EVENT_SHUTDOWN |
						 GUEST_EVENT_REBOOT | GUEST_EVENT_RESUMED);

		if (events & GUEST_EVENT_SHUTDOWN)
			finish(GUEST_POWEROFF);
		if (events & GUEST_EVENT_REBOOT)
			finish(GUEST_REBOOT);
		if (events & GUEST_EVENT_RESUMED)
			console_print("ledger: resumed on another host at tick %lu\n", ledger.tick);
		now = guest_clock_ns();
		slice(at_most(now - last, SECOND_NS));
		last = now;
		if (now - told < ledger.tick_ns)
			continue;
		told = now;
		ledger.tick++;
		guest_call(HC_REPORT, ledger.tick, ledger.faults, 0, 0);
		console_print("ledger: tick %lu pages %lu verified %lu faults %lu\n", ledger.tick,
			ledger.nr_pages, ledger.verified, ledger.faults);
	}
}
