/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * link: an engine's end of the way to a peer. The privileged engine never touches the network:
 *
 *   engine (root) <-- records in clear, socket pair --> lifeboat-wire (no power) <-- frames -->
 * peer
 *
 * The source's engine is lifeboat-send; on the destination lifeboatd accepts and starts
 * lifeboat-wire, and hands the socket pair to lifeboat-receive once the peer has proved its key.
 */
#ifndef MIGRATE_LINK_H
#define MIGRATE_LINK_H

#include "base/config.h"
#include "migrate/lane.h"
#include "migrate/record.h"

#define LINK_CONNECT_MS	  5000
#define LINK_HANDSHAKE_MS 10000

/* lifeboat-wire's descriptors. */
#define WIRE_FD_ENGINE 3
#define WIRE_FD_NET    4

/* What lifeboat-wire is told first of all, over the socket pair. Holds the host's secret key. */
struct link_setup {
	enum record_role role; /* ours: ROLE_SOURCE initiates */
	uint8_t secret[HOST_KEY_LEN];
	char user[64]; /* whom to become when root */
	struct {
		char name[HOST_NAME_LEN];
		uint8_t key[HOST_KEY_LEN];
	} peer[CONFIG_PEERS_MAX]; /* exactly one for the initiator */
	uint32_t nr_peers;
};
size_t link_put_setup(void *buf, size_t size, const struct link_setup *setup);
bool link_get_setup(const struct record *rec, struct link_setup *setup);

/* The source's end of one link. */
struct link {
	int sock; /* lifeboat-wire, -1 = none */
	pid_t wire;
	char cipher[32];
	struct record_stats stats, past; /* of this link; of those before it in its place */
};

#define LINK_INIT ((struct link){.sock = -1})

/* Link up with the peer, with `rec` as room: 0 or -errno with the reason. Blocks for seconds. */
int link_up(struct link *l, const struct config *cfg, const struct config_peer *peer,
	struct record *rec, struct error *err) WARN_UNUSED;
/* End it, and wait for lifeboat-wire's end. Idempotent. */
void link_down(struct link *l);
/* Bytes on the wire, all links in this place counted. */
uint64_t link_bytes_out(const struct link *l);

/*
 * Start lifeboat-wire on the connected socket `net`, which stays the caller's. `only` restricts it
 * to one peer (NULL: every peer of the config). On 0 `*sock` and `*pid` are the caller's.
 */
int link_start(const struct config *cfg, enum record_role role, const struct config_peer *only,
	int net, int *sock, pid_t *pid, struct error *err) WARN_UNUSED;

/*
 * Connect to the peer at the first of its addresses that answers, LINK_CONNECT_MS for each,
 * keep-alives set. The descriptor or -errno.
 */
int link_connect(const struct config_peer *peer, struct error *err) WARN_UNUSED;

/* Options of every link: no delay, and a dead peer is noticed within 15 s. */
void link_tune(int net);

/*
 * A PAGES or SLOT record's batch; after it was used, link_done_pages. They return 0 or -errno,
 * link_get_pages -EPROTO.
 */
int link_get_pages(
	const struct record *rec, const struct lane *lane, struct page_batch *batch) WARN_UNUSED;
int link_done_pages(const struct record *rec, struct lane *lane) WARN_UNUSED;

/*
 * The next record from lifeboat-wire that is not STATS (which updates *stats). A lost link is
 * -ECONNRESET, a REFUSED or ABORT from the peer -EREMOTEIO and an UNKNOWN -EAGAIN, each with the
 * reason in `err`; a passed deadline is -ETIMEDOUT.
 */
int link_read(int sock, struct record *rec, struct record_stats *stats, int64_t deadline,
	struct error *err) WARN_UNUSED;

/* As link_read, but any type other than `want` is -EPROTO with a sentence. */
int link_expect(int sock, struct record *rec, uint32_t want, struct record_stats *stats,
	int64_t deadline, struct error *err) WARN_UNUSED;

#endif
