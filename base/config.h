/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * config: /etc/lifeboat/lifeboat.conf, read by libconfuse. Every key has a default; an unknown key
 * or a bad value is an error with its file and line. The path is $LIFEBOAT_CONFIG when set.
 */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/io.h"

#define HOST_NAME_LEN	 64 /* with its NUL */
#define HOST_KEY_LEN	 32 /* X25519 */
#define CONFIG_PEERS_MAX 16
#define CONFIG_DIR_LEN	 200 /* with its NUL; leaves room for names below it in a PATH_MAX */

#define CONFIG_GUESTS_MAX 64
#define CONFIG_MAPS_MAX	  16

/* What a name or an address of there is here. */
struct config_map {
	char there[64], here[64];
};

struct config_peer {
	char name[HOST_NAME_LEN];
	char address[256]; /* numeric addresses or names, between blanks, in the order to be tried
			    */
	uint16_t port;
	uint8_t key[HOST_KEY_LEN];
	struct config_map
		bridge[CONFIG_MAPS_MAX]; /* of its domains, and what they are called here */
	struct config_map moved[CONFIG_MAPS_MAX]; /* their addresses, likewise */
	unsigned nr_bridges, nr_moved;
};

/* A domain's addresses on the network, as an administrator knows them. */
struct config_guest {
	char name[64];
	char addresses[1024]; /* ADDRESS[@VLAN], between blanks */
};

enum config_hypervisor { HYPERVISOR_AUTO = 1, HYPERVISOR_XEN, HYPERVISOR_EMBEDDED };

/* What a move does when the guest dirties its memory as fast as the link takes it. */
enum config_no_converge { NO_CONVERGE_ABORT = 1, NO_CONVERGE_THROTTLE, NO_CONVERGE_STOP };

enum config_tracker { TRACKER_AUTO = 1, TRACKER_PAGEMAP, TRACKER_COMPARE };

struct config {
	char path[PATH_MAX];
	char host[HOST_NAME_LEN];	/* this host's name to its peers; default: gethostname() */
	char listen[256];		/* address to listen on; default "::" (both families) */
	uint16_t port;			/* default 7979 */
	char run_dir[CONFIG_DIR_LEN];	/* sockets; default /run/lifeboat */
	char state_dir[CONFIG_DIR_LEN]; /* host key, later journals; default /var/lib/lifeboat */
	char wire_user[64]; /* whom lifeboat-wire becomes when started by root; default nobody */
	enum config_hypervisor hypervisor;
	enum config_tracker dirty_tracking; /* embedded only */
	uint32_t embedded_memory_mb;	    /* memory for embedded domains; 0 = what is available */
	uint32_t streams;  /* of a move; default 0: as many as suit this host's cores */
	uint32_t resume_s; /* a lost link may come back so long; default 30, 0 = not at all */
	uint32_t max_downtime_ms;		/* pause target of a move; default 300 */
	enum config_no_converge on_no_converge; /* default NO_CONVERGE_STOP */
	uint64_t bwlimit;			/* of a move, bytes a second; default 0, none */
	bool announce;				/* a guest that has moved here; default true */
	char ask[1024]; /* addresses that must answer a guest, between blanks; default none */
	struct config_guest guest[CONFIG_GUESTS_MAX];
	unsigned nr_guests;
	struct config_peer peer[CONFIG_PEERS_MAX];
	unsigned nr_peers;
};

/*
 * Load the file, or the defaults when the default path does not exist. 0, or -EINVAL with the line
 * in `err`, or -errno. May block on the file system only.
 */
int config_load(struct config *cfg, struct error *err) WARN_UNUSED;

/* By its name, "abort", "throttle" or "stop"; 0 for any other. And back. */
enum config_no_converge config_no_converge(const char *name);
const char *config_no_converge_name(enum config_no_converge value);

const struct config_peer *config_peer_by_name(const struct config *cfg, const char *name);
const struct config_peer *config_peer_by_key(const struct config *cfg, const uint8_t *key);

#endif
