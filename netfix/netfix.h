/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * netfix: what the files of the program share. They, and only they, know the hypervisor; the
 * library beside them needs base/ and libnl.
 */
#ifndef NETFIX_NETFIX_H
#define NETFIX_NETFIX_H

#include <jansson.h>

#include "hypervisor/hypervisor.h"
#include "netfix/announce.h"

#define NETFIX_WORDS_MAX 2

/* The command line of one verb, and what it works on. */
struct netfix {
	struct config cfg;
	const char *word[NETFIX_WORDS_MAX];
	unsigned nr_words;
	bool json, dry_run, fix;
	const char *mac;	/* --mac */
	struct addresses given; /* --address */
	struct addresses ask;	/* --ask */
	unsigned rounds;	/* --rounds */
	int listen_ms;		/* --listen */
	struct netfix_vif vif[ADDRESS_VIFS_MAX];
	unsigned nr_vifs;
	struct addresses known;
	struct error err;
};

/*
 * netfix_vifs.c: find the vifs of word[0], a domain's name or one link, and what is known of their
 * addresses: given, configured, told, in the tables, and for listen_ms from their own frames.
 */
int netfix_find(struct netfix *n) WARN_UNUSED;
int netfix_learn(struct netfix *n) WARN_UNUSED;
/* The verbs' JSON, printed and freed. */
int netfix_print(struct netfix *n, json_t *root) WARN_UNUSED;
json_t *netfix_addresses_json(const struct netfix *n, unsigned vif);

/* The verbs; 0, 1 = it is not as it should be and all was said, or -errno with n->err. */
int netfix_announce(struct netfix *n);
int netfix_verify(struct netfix *n);
int netfix_check(struct netfix *n);
int netfix_map(struct netfix *n);

#endif
