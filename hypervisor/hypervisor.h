/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hypervisor: the domains of this host. Two backends stand behind this one contract, "xen"
 * (hypervisor/xen*.c) and "embedded" (hypervisor/embedded*.c, vmm*.c).
 *
 * Every function is implemented by each backend. Unless said otherwise they return 0 or -errno
 * with `err` filled (what failed on this host and the fix), and may block for as long as the
 * hypervisor takes. None is thread safe; a process uses one backend from one thread.
 */
#ifndef HYPERVISOR_HYPERVISOR_H
#define HYPERVISOR_HYPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/config.h"
#include "base/error.h"
#include "base/findings.h"
#include "base/io.h"
#include "hypervisor/page.h"

#define DOMAIN_NAME_LEN	 64 /* with its NUL; [A-Za-z0-9_.+-] only, no leading '.' or '-' */
#define DOMAIN_UUID_LEN	 16
#define DOMAIN_VIFS_MAX	 8
#define DOMAIN_DISKS_MAX 8

/* While a move runs the copy on the destination carries this suffix; after GO the source's does. */
#define SUFFIX_INCOMING "--incoming"
#define SUFFIX_AWAY	"--migratedaway"

enum domain_type { DOMAIN_PV = 1, DOMAIN_PVH, DOMAIN_HVM, DOMAIN_EMBEDDED };

enum domain_state {
	DOMAIN_RUNNING = 1, /* runs or waits for an event */
	DOMAIN_PAUSED,	    /* by an administrator */
	DOMAIN_SUSPENDED,   /* stopped at its own suspend point, state complete */
	DOMAIN_INCOMING,    /* being built by a move, never ran here */
	DOMAIN_SHUTDOWN,    /* powered off or crashed, kept */
};

struct domain_vif {
	uint8_t mac[6];
	char bridge[16]; /* "" = the backend's default */
	char device[16]; /* the host's end of a domain that is built, e.g. vif5.0; else "" */
	char ip[128];	 /* addresses that its configuration ties it to, between blanks; or "" */
	char told[128];	 /* addresses that the guest itself reported, likewise; or "" */
};

struct domain_disk {
	char path[256]; /* backing device or file on this host */
	char vdev[16];
	bool readonly;
};

struct domain {
	char name[DOMAIN_NAME_LEN];
	uint8_t uuid[DOMAIN_UUID_LEN];
	uint32_t domid; /* Xen's; embedded: pid of its vmm */
	enum domain_type type;
	enum domain_state state;
	uint64_t memory_kb; /* what it holds now */
	uint32_t vcpus;
	uint64_t cpu_ms; /* CPU time used */
	struct domain_vif vif[DOMAIN_VIFS_MAX];
	unsigned nr_vifs;
	struct domain_disk disk[DOMAIN_DISKS_MAX];
	unsigned nr_disks;
	char tracker[16]; /* how dirty pages are found: "log-dirty", "pagemap", "compare", "none" */
	uint64_t tick;	  /* embedded: the guest's own report of progress, else 0 */
	uint64_t faults;  /* embedded: the guest's own count of integrity failures, else 0 */
};

struct hv_host {
	char backend[16];	 /* "xen" or "embedded" */
	char version[64];	 /* "4.17.7", or lifeboat's own version */
	uint64_t memory_free_kb; /* for new domains, without ballooning */
	uint64_t memory_total_kb;
	uint32_t cpus;
	char tracker[16];
	char tracker_reason[128]; /* embedded: why not "pagemap"; "" when there is nothing to say */
};

/* What a round hook is told, by value. Pages are PAGE_BYTES each. */
struct hv_round {
	unsigned round;	      /* 0 = the first, which sends all memory */
	uint64_t dirty_pages; /* to be sent in the round that now begins */
	uint64_t hot_pages;   /* dirty again and again, so postponed: sent in the pause */
	uint64_t sent_pages;  /* entries with contents handed over so far */
	uint64_t total_pages; /* of the domain */
};

enum hv_decision {
	HV_CONTINUE = 1, /* send this round live, then ask again */
	HV_LAST,	 /* send this round live, then suspend and send what it dirtied */
	HV_STOP,	 /* suspend now, and send this round and what else is dirty then */
	HV_ABORT,	 /* stop; the guest goes on running, save() returns -ECANCELED */
};

/*
 * save()'s consumer. Called on the thread that called save(), in this order:
 *   head+ (round (room pages)* [drain])+ suspending suspended (room pages)* tail+
 * A save that is not live (`still`) calls head+ suspending suspended (room pages)* tail+: the guest
 * stands still from the first page, and its writes need not be followed.
 * A hook that returns nonzero ends the save as HV_ABORT does and its value is returned.
 * Data is only valid during the call.
 */
struct hv_save_hooks {
	/*
	 * Where to put the contents of the next batch, of which the entries are known: room for
	 * PAGE_BATCH_MAX pages, until pages() is called. NULL ends the save with -EPIPE. Without
	 * this hook a backend uses memory of its own.
	 */
	uint8_t *(*room)(void *ctx, const struct page_batch *batch);
	int (*head)(void *ctx, const void *data, size_t len); /* opaque, <= HV_OPAQUE_MAX a call */
	int (*pages)(void *ctx, struct page_batch *batch);    /* the hook may mark zero pages */
	enum hv_decision (*round)(void *ctx, const struct hv_round *round);
	/* After a round, before it is looked what is dirty by now: let arrive what is on its way.
	 */
	int (*drain)(void *ctx);
	int (*suspending)(void *ctx); /* just before the guest is asked to suspend */
	int (*suspended)(void *ctx);  /* the guest stands still */
	int (*tail)(void *ctx, const void *data, size_t len); /* opaque, <= HV_OPAQUE_MAX a call */
	bool still;
};

/* What save_check() calls the finding that a domain's writes cannot be followed. */
#define HV_FINDING_UNTRACKED "log-dirty"

#define HV_OPAQUE_MAX (1u << 20)

/*
 * What a domain writes, watched for a while: how many different pages it had dirtied so many
 * milliseconds after the start. The times double.
 */
#define HV_WATCH_FIRST_MS 25u
#define HV_WATCH_POINTS	  8u /* the last one after 3200 ms */

struct hv_watch {
	uint64_t first_pages; /* that a first round would send with contents */
	uint64_t total_pages; /* of the domain */
	unsigned nr;
	struct {
		uint32_t ms;
		uint64_t dirty_pages;
	} at[HV_WATCH_POINTS];
};

#define HV_SAMPLE_PAGES 1024u

/*
 * Which one of `step` pages is in the sample, for the `nr`th time: not always the first, because
 * memory has patterns.
 */
static inline uint64_t hv_sample_offset(uint64_t nr, uint64_t step)
{
	return (nr * UINT64_C(0x9e3779b97f4a7c15) >> 33) % step;
}

/* watch()'s consumer. A hook that returns nonzero ends it, and its value is returned. */
struct hv_watch_hooks {
	int (*wait)(void *ctx, uint32_t ms); /* so long; it may return early only to end it all */
	/*
	 * At the end: up to HV_SAMPLE_PAGES pages spread over all of the domain that a first round
	 * would send, then (`dirty`) as many of those that it wrote while it was watched.
	 */
	int (*sample)(void *ctx, bool dirty, const struct page_batch *batch);
};

/* A domain being built by a stream. Opaque, made by restore_begin, gone after finish or abort. */
struct hv_restore;

struct hypervisor {
	const char *name;

	/* 0 when this host runs this hypervisor and we may use it; the sentence says what is
	 * missing. */
	int (*probe)(const struct config *cfg, struct error *err);

	int (*host)(struct hv_host *host, struct error *err);

	/* All domains but dom0. The caller frees `*list`. */
	int (*list)(struct domain **list, size_t *nr, struct error *err);
	int (*find)(const char *name, struct domain *dom, struct error *err); /* -ENOENT */
	/*
	 * Is the domain that list, find or restore_finish gave still there? 0: `name` and `state`
	 * are what they are now, the rest is as it was. -ENOENT when it cannot be told so quickly:
	 * a hand-over asks in the pause.
	 */
	int (*refresh)(struct domain *dom);

	/* Build a domain from a domain file (xl.cfg syntax) and, unless `paused`, start it. */
	int (*create)(const char *file, bool paused, struct domain *dom, struct error *err);
	/* Would create() do it? `dom` is filled with what the file says. Changes nothing. */
	int (*create_check)(const char *file, struct domain *dom, struct error *err);
	int (*pause)(const struct domain *dom, struct error *err);
	int (*unpause)(const struct domain *dom, struct error *err);
	int (*shutdown)(
		const struct domain *dom, struct error *err); /* asks the guest, returns at once */
	int (*reboot)(const struct domain *dom, struct error *err);
	int (*destroy)(const struct domain *dom, struct error *err);
	/* Afterwards `dom->name` is the new name. */
	int (*rename)(struct domain *dom, const char *name, struct error *err);
	/* Connect stdin/stdout to the console until ^] or the domain's end. */
	int (*console)(const struct domain *dom, struct error *err);

	/*
	 * The domain's configuration as it is now, as JSON text; opaque to all but the same
	 * backend. The caller frees. At most HV_OPAQUE_MAX bytes.
	 */
	int (*config)(const struct domain *dom, char **json, struct error *err);

	/*
	 * Source: add to `found` all that stands in the way of moving `dom` live. 0 also when
	 * something was found; -errno only when it cannot be told. Changes nothing.
	 */
	int (*save_check)(const struct domain *dom, struct findings *found, struct error *err);

	/*
	 * Source: stream the running domain. On 0 the domain is suspended and complete in the
	 * hooks' hands. On failure it runs again as before (if even that failed, `err` says so).
	 */
	int (*save)(const struct domain *dom, const struct hv_save_hooks *hooks, void *ctx,
		struct error *err);

	/*
	 * Source: wait until this host has answered every disk request of a domain that save()
	 * suspended, so that no write of it can come after one of the destination's. Bounded to
	 * seconds; -EBUSY when requests are still open then.
	 */
	int (*quiesce)(const struct domain *dom, struct error *err);

	/*
	 * Source: fill `watch`, with the domain running on as before. -EOPNOTSUPP where its writes
	 * cannot be followed, -EBUSY while it is moved. Tracking is off again on every path, also
	 * when this process dies.
	 */
	int (*watch)(const struct domain *dom, const struct hv_watch_hooks *hooks, void *ctx,
		struct hv_watch *watch, struct error *err);

	/*
	 * Source: leave a running domain `percent` (1 to 100) of the CPU time that it has by its
	 * configuration, to let a move converge. 100 takes that back, whichever process slowed it,
	 * and may be said at any time, of any domain. -EOPNOTSUPP where its scheduler cannot.
	 */
	int (*throttle)(const struct domain *dom, unsigned percent, struct error *err);

	/* Source: let a domain that save() suspended run on here, monitored as before. */
	int (*resume)(const struct domain *dom, struct error *err);

	/*
	 * Destination: add to `found` all that stands in the way of building a domain with this
	 * configuration here: memory, names, devices, processor. 0 also when something was found,
	 * and `dom` is filled with what the configuration says; -errno only when it cannot be told.
	 * Changes nothing.
	 */
	int (*restore_check)(
		const char *json, struct domain *dom, struct findings *found, struct error *err);

	/* Destination: begin; the domain is called NAME--incoming and never runs before activate.
	 */
	int (*restore_begin)(const char *json, struct hv_restore **restore, struct error *err);
	int (*restore_head)(struct hv_restore *r, const void *data, size_t len, struct error *err);
	int (*restore_pages)(
		struct hv_restore *r, const struct page_batch *batch, struct error *err);
	int (*restore_tail)(struct hv_restore *r, const void *data, size_t len, struct error *err);
	/*
	 * The stream is complete: attach devices. On 0 `dom` stands complete and paused as
	 * NAME--incoming, `r` is freed, and the domain no longer depends on this process: it stays
	 * until activate or destroy. On failure `r` is still the caller's, for abort.
	 */
	int (*restore_finish)(struct hv_restore *r, struct domain *dom, struct error *err);
	/* Take back a domain that is not finished; frees `r`. NULL is fine. */
	void (*restore_abort)(struct hv_restore *r);
	/*
	 * Destination: give a finished domain its name and run it, monitored. May be repeated, by
	 * another process too, in case one died in the middle; `dom` is as find or finish gave it.
	 */
	int (*activate)(struct domain *dom, const char *name, struct error *err);
};

extern const struct hypervisor hypervisor_embedded;
#ifdef HAVE_XEN
extern const struct hypervisor hypervisor_xen;
#endif

/* The backend of this host as the config says; auto = Xen when dom0 runs on it, else embedded. */
int hypervisor_open(
	const struct config *cfg, const struct hypervisor **hv, struct error *err) WARN_UNUSED;

/*
 * The domain with this UUID under whatever name it has now; -ENOENT (without `err`) when none is
 * here. `dom` is all zero or what is known of it, which then only is refreshed if it is that still.
 */
int hypervisor_find_uuid(const struct hypervisor *hv, const uint8_t uuid[static DOMAIN_UUID_LEN],
	struct domain *dom, struct error *err) WARN_UNUSED;

/* For restore_check: a risk for each vif whose MAC address `there`, a domain of this host, has too.
 */
void hypervisor_check_macs(const struct domain *there, const char *name,
	const struct domain_vif *vif, unsigned nr, struct findings *found);

const char *domain_type_name(enum domain_type type);
const char *domain_state_name(enum domain_state state);
bool domain_name_valid(const char *name);

#endif
