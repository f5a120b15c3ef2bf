/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The proof that runs inside a lab guest: one lost, stale or torn page or sector is a
 * counted error in the status that the guest serves over HTTP.
 *
 * Memory. Every page is a function of (index, generation, chain). A table elsewhere in
 * memory holds the generation and chain each page must have, and one word the sum of
 * all chains. So a page that arrives stale contradicts the table; a page that is stale
 * together with its table entry contradicts the sum.
 *
 *      page:  | index gen chain 0.. | random from (index, gen, chain) | marker x 32 |
 *             0                     64                               2048         4096
 *
 * Disk: see proof_disk.c, a process of its own, so that a stalled disk does not stop the ticks.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "proof.h"

#define MARKER "LIFEBOAT-MARKER-7f3Qz9LmX2vB8kRtY5wHc1NdJ6sGp4EaUoKiZqTfWbVxMyCr"
_Static_assert(sizeof(MARKER) == 65, "the marker is 64 bytes");

#define PAGE	 4096U
#define SECTOR	 512U
#define RING_MAX 1024U
#define TICK_MS	 10U

struct page {
	uint64_t index, gen, chain, zero[5];
	uint64_t random[(PAGE / 2 - 64) / 8];
	char marker[PAGE / 2];
};
_Static_assert(sizeof(struct page) == PAGE, "a page");

struct want {
	uint64_t gen, chain;
};

struct memory {
	struct page *pages;
	struct want *table;
	uint64_t nr, sum, random, next_verify;
	uint64_t ticks, writes, verified, passes, errors;
};

uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void sleep_ms(uint64_t ms)
{
	struct timespec ts = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

/* ---- memory ---- */

static void page_fill(struct page *p, uint64_t index, const struct want *w)
{
	uint64_t x = chain_next(w->chain, index, w->gen);

	memset(p, 0, 64);
	p->index = index;
	p->gen = w->gen;
	p->chain = w->chain;
	for (size_t i = 0; i < sizeof(p->random) / 8; i++)
		p->random[i] = x = mix(x + i);
	for (size_t i = 0; i < sizeof(p->marker); i += 64)
		memcpy(p->marker + i, MARKER, 64);
}

static void page_write(struct memory *m, uint64_t index)
{
	struct want *w = &m->table[index];
	uint64_t old = w->chain;

	w->gen++;
	w->chain = chain_next(old, index, w->gen);
	m->sum += w->chain - old;
	page_fill(&m->pages[index], index, w);
	m->writes++;
}

static void page_verify(struct memory *m, uint64_t index)
{
	struct page want;

	page_fill(&want, index, &m->table[index]);
	m->verified++;
	if (memcmp(&want, &m->pages[index], PAGE) == 0)
		return;
	m->errors++;
	printf("proof: page %" PRIu64 " is wrong: generation %" PRIu64 ", expected %" PRIu64 "\n",
		index, m->pages[index].gen, m->table[index].gen);
}

static void pass_end(struct memory *m)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < m->nr; i++)
		sum += m->table[i].chain;
	if (sum != m->sum) {
		m->errors++;
		printf("proof: the chains of all pages do not add up\n");
	}
	m->passes++;
}

void *memory_map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("proof: memory");
		exit(1);
	}
	return p;
}

static void memory_init(struct memory *m, uint64_t mib)
{
	memset(m, 0, sizeof(*m));
	m->nr = mib * 1024 * 1024 / PAGE;
	m->pages = memory_map(m->nr * PAGE);
	m->table = memory_map(m->nr * sizeof(*m->table));
	m->random = 0x4c61624c61624c61U;
	for (uint64_t i = 0; i < m->nr; i++)
		page_write(m, i);
}

static void memory_tick(struct memory *m, uint64_t nr_writes, uint64_t nr_verifies)
{
	while (nr_writes--) {
		m->random = mix(m->random + 0x9e3779b97f4a7c15U);
		page_write(m, m->random % m->nr);
	}
	while (nr_verifies--) {
		page_verify(m, m->next_verify);
		if (++m->next_verify == m->nr) {
			m->next_verify = 0;
			pass_end(m);
		}
	}
	m->ticks++;
}

/* ---- status ---- */

static void status_write(const struct options *o, const struct memory *m, struct disk_state *d,
	uint64_t boot, uint64_t uptime_ms)
{
	char tmp[256];
	FILE *f;

	snprintf(tmp, sizeof(tmp), "%s.new", o->status);
	f = fopen(tmp, "we");
	if (!f)
		return;
	fprintf(f,
		"{\"name\": \"%s\", \"boot\": \"%016" PRIx64 "\", \"ticks\": %" PRIu64
		", \"uptime_ms\": %" PRIu64 ", \"pages\": %" PRIu64 ", \"writes\": %" PRIu64
		", \"verified\": %" PRIu64 ", \"passes\": %" PRIu64 ", \"errors\": %" PRIu64,
		o->name, boot, m->ticks, uptime_ms, m->nr, m->writes, m->verified, m->passes,
		m->errors);
	fprintf(f,
		", \"disk_seq\": %" PRIu64 ", \"disk_start_seq\": %" PRIu64
		", \"disk_verified\": %" PRIu64 ", \"disk_errors\": %" PRIu64
		", \"disk_slowest_ms\": %" PRIu64 "}\n",
		atomic_load(&d->seq), atomic_load(&d->start_seq), atomic_load(&d->verified),
		atomic_load(&d->errors), atomic_load(&d->slowest_ms));
	if (fclose(f) == 0)
		rename(tmp, o->status); /* a reader never sees half a status */
}

static void run(const struct options *o, struct disk_state *disk)
{
	struct memory m;
	uint64_t boot = 0, start = now_ms(), status_due = 0, say_due = 0, last, owed_w = 0,
		 owed_v = 0;

	if (getrandom(&boot, sizeof(boot), 0) != sizeof(boot))
		boot = mix(start);
	memory_init(&m, o->mib);
	for (last = now_ms();; sleep_ms(TICK_MS)) {
		uint64_t now = now_ms(), passed = now - last;

		/* After a pause the work of the pause is not caught up with. */
		passed = passed > 100 ? 100 : passed;
		last = now;
		owed_w += o->writes_per_s * passed;
		owed_v += o->verifies_per_s * passed;
		memory_tick(&m, owed_w / 1000, owed_v / 1000);
		owed_w %= 1000;
		owed_v %= 1000;
		if (now >= status_due) {
			status_write(o, &m, disk, boot, now - start);
			status_due = now + 100;
		}
		if (now >= say_due) {
			printf("proof: %s: tick %" PRIu64 ", %" PRIu64 " passes, %" PRIu64
			       " errors; disk %" PRIu64 ", %" PRIu64 " errors\n",
				o->name, m.ticks, m.passes, m.errors, atomic_load(&disk->seq),
				atomic_load(&disk->errors));
			say_due = now + 10000;
		}
	}
}

static int option_set(struct options *o, char *arg)
{
	struct {
		const char *key;
		uint64_t *number;
		const char **text;
	} table[] = {
		{"mib", &o->mib, NULL},
		{"rate", &o->writes_per_s, NULL},
		{"verify", &o->verifies_per_s, NULL},
		{"disk_ms", &o->disk_ms, NULL},
		{"ring", &o->ring, NULL},
		{"disk", NULL, &o->disk},
		{"status", NULL, &o->status},
		{"name", NULL, &o->name},
	};
	char *value = strchr(arg, '=');

	if (!value)
		return -1;
	*value++ = '\0';
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (strcmp(arg, table[i].key) != 0)
			continue;
		if (table[i].text)
			*table[i].text = value;
		else
			*table[i].number = strtoull(value, NULL, 10);
		return 0;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct options o = {32, 64, 512, 1000, 256, "/dev/xvda", "/www/status", "g"};
	struct disk_state *disk = memory_map(sizeof(*disk));

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++) {
		if (option_set(&o, argv[i]) == 0)
			continue;
		fprintf(stderr,
			"usage: proof [mib=32] [rate=PAGES/S] [verify=PAGES/S] [disk_ms=1000]"
			" [ring=SECTORS] [disk=DEV] [status=FILE] [name=NAME]\n");
		return 2;
	}
	if (o.mib == 0 || o.ring < 2 || o.ring > RING_MAX || o.ring % 8) {
		fprintf(stderr,
			"proof: mib must be at least 1, ring a multiple of 8 from 8 to %u\n",
			RING_MAX);
		return 2;
	}
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		disk_run(&o, disk);
		return 1;
	}
	run(&o, disk);
	return 0;
}
