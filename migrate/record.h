/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * record: the typed unit of everything that two hosts say to each other (docs/wire-format.md).
 *
 *    0        4        8
 *   +--------+--------+---------------------+
 *   |  type  |  len   |  body, len bytes    |    little-endian, no padding
 *   +--------+--------+---------------------+
 *
 * Between hosts one record is one encrypted frame. Between a privileged engine and its
 * lifeboat-wire the same records go over a socket pair in clear, with PAGES uncompressed and
 * a few local kinds that never leave the host.
 */
#ifndef MIGRATE_RECORD_H
#define MIGRATE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/findings.h"
#include "base/io.h"
#include "base/wire.h"
#include "hypervisor/hypervisor.h"
#include "migrate/verify.h"

#define RECORD_HEADER_LEN 8u
#define RECORD_BODY_MAX	  ((1u << 20) + 4096u)
#define RECORD_MAX	  (RECORD_HEADER_LEN + RECORD_BODY_MAX)
#define RECORD_VERSION	  3u
#define RECORD_TOKEN_LEN  16u

enum record_type {
	RECORD_OFFER = 1, /* source: this domain wants to move to you */
	RECORD_ACCEPT,	  /* destination: checked, being built */
	RECORD_REFUSED,	  /* destination: it does not live here; nothing of it is left here */
	RECORD_HEAD,	  /* source: opaque, before the first page */
	RECORD_PAGES,	  /* source: a page batch */
	RECORD_TAIL,	  /* source: opaque, after the last page */
	RECORD_ROUND,	  /* source: a round ends here */
	RECORD_APPLIED,	  /* destination, while it builds: what it has by now */
	RECORD_QUIESCED,  /* source: the guest stands still, all is sent, disks are at rest */
	RECORD_READY,	  /* destination: complete and paused, waiting for GO */
	RECORD_GO,	  /* source: it is yours */
	RECORD_DONE,	  /* destination: it runs here */
	RECORD_GONE,	  /* source: my copy is destroyed, my disks are secondary */
	RECORD_CLOSED,	  /* destination: dual-primary is closed here too */
	RECORD_ABORT,	  /* source: forget it */
	RECORD_RESOLVE,	  /* source, instead of OFFER: what became of that hand-over? */
	RECORD_UNKNOWN,	  /* destination, to RESOLVE: it cannot be told, now or ever */
	RECORD_FINDINGS,  /* destination, before ACCEPT or REFUSED: what stands in the way here */
	RECORD_PROBE,	  /* destination, before FINDINGS: send frames with this token */
	RECORD_PROBED,	  /* source: from these vifs they went out */
	RECORD_ADDRESSES, /* source, while it runs: what the guest is called on its network */
	RECORD_PLACE,	  /* destination, after DONE: whether it is reached here */
	RECORD_JOIN,   /* source, instead of OFFER: a stream of that hand-over, from now on here */
	RECORD_JOINED, /* destination, to JOIN: what it has of it */
	RECORD_SUSPENDING, /* source, while it runs: it is about to stand still */
	RECORD_TYPE_END,

	RECORD_LOCAL = 0x1000,
	RECORD_SETUP = RECORD_LOCAL, /* engine -> wire: keys and peers, first of all */
	RECORD_LINK_UP,		     /* wire -> engine: handshake done, who the peer is */
	RECORD_LINK_DOWN,	     /* wire -> engine: link lost, why */
	RECORD_STATS, /* wire -> engine: bytes so far, before each record of the peer */
	RECORD_PACE,  /* engine -> wire: frames after it leave at most this fast */
	RECORD_LANE,  /* engine -> wire: lane.h's memory, with its descriptors */
	RECORD_SLOT,  /* either way: a page batch whose contents are in the lane's next slot */
};

struct record {
	uint32_t type;
	uint32_t len;
	uint8_t *body; /* RECORD_BODY_MAX bytes of room */
};

/* The body buffer. 0 or -ENOMEM; record_dispose(NULL body) is fine. */
int record_init(struct record *rec) WARN_UNUSED;
void record_dispose(struct record *rec);

/* Header to and from its 8 bytes. record_header_get returns false for a length over the bound. */
void record_header_put(uint8_t out[static RECORD_HEADER_LEN], uint32_t type, uint32_t len);
bool record_header_get(const uint8_t in[static RECORD_HEADER_LEN], uint32_t *type, uint32_t *len);

/* May this kind come from a peer in this role (source or destination)? Local kinds never may. */
enum record_role { ROLE_SOURCE = 1, ROLE_DESTINATION };
bool record_allowed_from(enum record_role peer, uint32_t type);
const char *record_type_name(uint32_t type);

/*
 * Blocking, over the local socket pair. record_read: -EPIPE at end of file, -EPROTO for a bad
 * header, -ETIMEDOUT. Bodies are trusted no further than their length.
 */
int record_read(int fd, struct record *rec, int64_t deadline) WARN_UNUSED;
int record_write(int fd, uint32_t type, const void *body, size_t len, int64_t deadline) WARN_UNUSED;
int record_write_pages(int fd, const struct page_batch *batch, int64_t deadline) WARN_UNUSED;

/* A PAGES body in its uncompressed, local form; `batch->data` points into `rec->body`. */
bool record_get_pages(const struct record *rec, struct page_batch *batch);
/* The same without the contents, which the caller finds in the lane: `batch->data` is NULL. */
size_t record_put_slot(void *buf, size_t size, const struct page_batch *batch);
bool record_get_slot(const struct record *rec, struct page_batch *batch);
#define RECORD_SLOT_MAX (8u + 8u * PAGE_BATCH_MAX)

/*
 * Bodies with fields. `put` returns the length or 0 when `size` is too small; `get` returns false
 * unless every byte was as it must be.
 */
#define OFFER_CHECK_ONLY 1u /* answer ACCEPT or REFUSED and forget it */
#define OFFER_FORCE	 2u /* a risk is no reason to refuse it */
#define OFFER_TRIAL	 4u /* with CHECK_ONLY: after ACCEPT come pages to be thrown away */
#define OFFER_FLAGS	 (OFFER_CHECK_ONLY | OFFER_FORCE | OFFER_TRIAL)
#define TRIAL_PAGES_MAX	 16384u /* with contents */

struct record_offer {
	uint32_t version;
	uint32_t flags;
	char backend[16];
	char name[DOMAIN_NAME_LEN];
	uint8_t uuid[DOMAIN_UUID_LEN];
	uint8_t token[RECORD_TOKEN_LEN]; /* of this hand-over */
	uint64_t term;			 /* that it would have */
	const char *json; /* the domain's configuration; points into the body when got */
	uint32_t json_len;
};
size_t record_put_offer(void *buf, size_t size, const struct record_offer *offer);
bool record_get_offer(const struct record *rec, struct record_offer *offer);

/* ACCEPT: the term the hand-over has, not less than the offered one. */
size_t record_put_accept(void *buf, size_t size, uint64_t term);
bool record_get_accept(const struct record *rec, uint64_t *term);

/*
 * JOINED, APPLIED: so many of the source's records on this stream since ACCEPT are applied (HEAD,
 * PAGES, TAIL, ROUND, ADDRESSES, SUSPENDING).
 */
size_t record_put_applied(void *buf, size_t size, uint64_t count);
bool record_get_applied(const struct record *rec, uint64_t *count);

/*
 * RESOLVE: the source has ceded the domain (`ceded`: answer DONE, activating it if need be, or
 * REFUSED if nothing of it is left) or has taken it back (answer REFUSED when nothing of it is
 * left).
 */
struct record_resolve {
	uint8_t uuid[DOMAIN_UUID_LEN];
	uint8_t token[RECORD_TOKEN_LEN];
	bool ceded;	 /* RESOLVE */
	uint32_t stream; /* JOIN: 0 is the one that the offer was made on */
	uint64_t term;	 /* of the source's journal; higher than the destination's after a claim */
};
size_t record_put_resolve(void *buf, size_t size, const struct record_resolve *resolve);
bool record_get_resolve(const struct record *rec, struct record_resolve *resolve);

/*
 * JOIN: this link is a stream of that hand-over, in place of one that was lost if there was one.
 * When nobody builds that domain any more, it means the same as a RESOLVE that is not ceded.
 */
#define RECORD_STREAMS_MAX 8u
size_t record_put_join(void *buf, size_t size, const struct record_resolve *join);
bool record_get_join(const struct record *rec, struct record_resolve *join);

/* REFUSED, UNKNOWN, LINK_DOWN: a sentence and its fix. */
size_t record_put_reason(void *buf, size_t size, const struct error *why);
bool record_get_reason(const struct record *rec, struct error *why);

/* FINDINGS: 1 to FINDINGS_MAX of them, without their hosts. `got` is overwritten. */
#define RECORD_FINDINGS_MAX (4 + FINDINGS_MAX * (10 + FINDING_CODE_LEN + 2 * ERROR_TEXT_LEN))
size_t record_put_findings(void *buf, size_t size, const struct findings *found);
bool record_get_findings(const struct record *rec, struct findings *got);

/* PROBE's body is a token; PROBED tells of each of the domain's vifs whether its frames went out.
 */
struct record_probed {
	uint32_t nr;
	struct {
		bool sent;
		uint32_t mtu; /* of its bridge; 0 = not known */
	} vif[DOMAIN_VIFS_MAX];
};
size_t record_put_probed(void *buf, size_t size, const struct record_probed *probed);
bool record_get_probed(const struct record *rec, struct record_probed *probed);

/* PLACE: enum place_state of netfix/announce.h, milliseconds since it ran there, a sentence. */
#define RECORD_PLACE_STATES 5
struct record_place {
	uint32_t state, forwarding_ms, reachable_ms, frames;
	char what[160];
};
size_t record_put_place(void *buf, size_t size, const struct record_place *place);
bool record_get_place(const struct record *rec, struct record_place *place);

struct record_round {
	uint32_t round;
	uint64_t pages; /* with contents, so far on this stream */
};
size_t record_put_round(void *buf, size_t size, const struct record_round *round);
bool record_get_round(const struct record *rec, struct record_round *round);

struct record_stats {
	uint64_t bytes_out; /* on the wire, frames with their overhead */
	uint64_t bytes_in;
};
size_t record_put_stats(void *buf, size_t size, const struct record_stats *stats);
bool record_get_stats(const struct record *rec, struct record_stats *stats);

/* PACE: bytes a second on the wire, 0 = no limit. */
size_t record_put_pace(void *buf, size_t size, uint64_t bytes_per_s);
bool record_get_pace(const struct record *rec, uint64_t *bytes_per_s);

struct record_link {
	char peer[HOST_NAME_LEN];
	char cipher[32];
};
size_t record_put_link(void *buf, size_t size, const struct record_link *link);
bool record_get_link(const struct record *rec, struct record_link *link);

/* QUIESCED: what the source's pages come to, each sum below VERIFY_PRIME. */
size_t record_put_quiesced(void *buf, size_t size, const struct verify_sums *sums);
bool record_get_quiesced(const struct record *rec, struct verify_sums *sums);

/* DONE: how long the destination took, for the summary. */
struct record_done {
	uint64_t finish_us;   /* QUIESCED to READY: devices, state */
	uint64_t activate_us; /* GO to running */
	uint64_t verify_us;   /* of CPU, for the sums */
};
size_t record_put_done(void *buf, size_t size, const struct record_done *done);
bool record_get_done(const struct record *rec, struct record_done *done);

#endif
