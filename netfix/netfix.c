/* SPDX-License-Identifier: GPL-2.0-or-later */
/* netfix: announce a guest's place on the network, prove it, and find out why it is not reached. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "netfix/netfix.h"

#define EXIT_USAGE 2

enum {
	KEY_JSON = 'j',
	KEY_DRY_RUN = 'n',
	KEY_FIX = 'f',
	KEY_ADDRESS = 'a',
	KEY_CONFIG = 'c',
	KEY_ASK = 256,
	KEY_MAC,
	KEY_ROUNDS,
	KEY_LISTEN,
};

#define OPT_JSON                                                                                   \
	{                                                                                          \
		"json", KEY_JSON, NULL, 0, "Print JSON", 0                                         \
	}
#define OPT_DRY_RUN                                                                                \
	{                                                                                          \
		"dry-run", KEY_DRY_RUN, NULL, 0, "Say what would be done, do nothing", 0           \
	}
#define OPT_CONFIG                                                                                 \
	{                                                                                          \
		"config", KEY_CONFIG, "FILE", 0,                                                   \
			"Read FILE instead of /etc/lifeboat/lifeboat.conf", 0                      \
	}
#define OPT_ASK                                                                                    \
	{                                                                                          \
		"ask", KEY_ASK, "ADDRESS", 0, "Who must answer; may be repeated", 0                \
	}
#define OPT_LISTEN                                                                                 \
	{                                                                                          \
		"listen", KEY_LISTEN, "MS", 0, "How long to listen for the guest's own frames", 0  \
	}

/* clang-format off */
static const struct argp_option announce_options[] = {
	OPT_JSON,
	OPT_DRY_RUN,
	{"address", KEY_ADDRESS, "ADDRESS[@VLAN]", 0, "An address of the guest; may be repeated", 0},
	{"mac", KEY_MAC, "MAC", 0, "The guest's MAC address, when a link is named", 0},
	{"rounds", KEY_ROUNDS, "N", 0, "How often to announce, 1 to 20 (default 7)", 0},
	OPT_LISTEN,
	OPT_ASK,
	OPT_CONFIG,
	{0},
};
/* clang-format on */

/* clang-format off */
static const struct argp_option verify_options[] = {
	OPT_JSON,
	{"fix", KEY_FIX, NULL, 0, "Correct this host's bridge, and announce", 0},
	OPT_DRY_RUN,
	{"address", KEY_ADDRESS, "ADDRESS[@VLAN]", 0, "An address of the guest; may be repeated", 0},
	{"mac", KEY_MAC, "MAC", 0, "The guest's MAC address, when a link is named", 0},
	OPT_LISTEN,
	OPT_ASK,
	OPT_CONFIG,
	{0},
};
static const struct argp_option check_options[] = {
	OPT_JSON,
	OPT_LISTEN,
	OPT_CONFIG,
	{0},
};
static const struct argp_option map_options[] = {
	OPT_JSON,
	OPT_CONFIG,
	{0},
};
/* clang-format on */

static const struct verb {
	const char *name;
	int (*fn)(struct netfix *n);
	const struct argp_option *options;
	unsigned min, max; /* words */
	int listen_ms;	   /* unless told otherwise */
	const char *words_doc, *doc;
} verbs[] = {
	{"announce", netfix_announce, announce_options, 1, 1, 500, "DOM|VIF",
		"tell the network where the guest is"},
	{"verify", netfix_verify, verify_options, 1, 1, 500, "DOM|VIF",
		"is it reached here, and if not, where is it lost?"},
	{"check", netfix_check, check_options, 2, 2, 500, "DOM HOST", "would it be reached there?"},
	{"map", netfix_map, map_options, 1, 2, 0, "HOST [FILE]",
		"what a domain of HOST is called here"},
};

#define NR_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void print_help(FILE *out)
{
	fputs("Usage: netfix VERB [OPTION...] ARGUMENT...\n\n", out);
	for (size_t i = 0; i < NR_VERBS; i++)
		fprintf(out, "  netfix %-8s %-11s %s\n", verbs[i].name, verbs[i].words_doc,
			verbs[i].doc);
	fputs("  netfix help                 this text; `netfix VERB --help' has the options\n"
	      "  netfix version\n\n"
	      "Exit status: 0 done, 1 failed or not as it should be, 2 used wrongly.\n",
		out);
}

struct parsing {
	const struct verb *verb;
	struct netfix *n;
};

static long number(struct argp_state *state, const char *name, const char *arg, long min, long max)
{
	char *end;
	long value = strtol(arg, &end, 10);

	if (*end || value < min || value > max)
		argp_error(state, "--%s takes %ld to %ld, not `%s'", name, min, max, arg);
	return value;
}

static void add_address(struct argp_state *state, struct addresses *set, const char *arg)
{
	struct address a = {.origin = ADDRESS_CONFIG};

	if (address_parse(arg, &a))
		argp_error(state, "`%s' is no address of a host", arg);
	if (!address_add(set, &a))
		argp_error(state, "more than %d addresses", ADDRESSES_MAX);
}

static error_t parse_word(struct parsing *p, char *arg, struct argp_state *state)
{
	if (p->n->nr_words == p->verb->max)
		argp_error(state, "too many arguments: `%s'", arg);
	p->n->word[p->n->nr_words++] = arg;
	return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct parsing *p = state->input;
	uint8_t mac[MAC_LEN];

	switch (key) {
	case KEY_JSON:
		p->n->json = true;
		return 0;
	case KEY_DRY_RUN:
		p->n->dry_run = true;
		return 0;
	case KEY_FIX:
		p->n->fix = true;
		return 0;
	case KEY_ADDRESS:
		add_address(state, &p->n->given, arg);
		return 0;
	case KEY_ASK:
		add_address(state, &p->n->ask, arg);
		return 0;
	case KEY_MAC:
		if (mac_parse(arg, mac))
			argp_error(state, "`%s' is no MAC address of a guest", arg);
		p->n->mac = arg;
		return 0;
	case KEY_ROUNDS:
		p->n->rounds = (unsigned)number(state, "rounds", arg, 1, ANNOUNCE_ROUNDS_MAX);
		return 0;
	case KEY_LISTEN:
		p->n->listen_ms = (int)number(state, "listen", arg, 0, 60000);
		return 0;
	case KEY_CONFIG:
		return setenv("LIFEBOAT_CONFIG", arg, 1) ? errno : 0;
	case ARGP_KEY_ARG:
		return parse_word(p, arg, state);
	case ARGP_KEY_END:
		if (p->n->nr_words < p->verb->min)
			argp_error(state, "%s is missing", p->verb->words_doc);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int run_verb(const struct verb *verb, int argc, char **argv)
{
	static struct netfix n = {.rounds = ANNOUNCE_ROUNDS};
	struct parsing p = {.verb = verb, .n = &n};
	const struct argp argp = {.options = verb->options,
		.parser = parse_option,
		.args_doc = verb->words_doc,
		.doc = verb->doc};
	static char name[32];
	int rc;

	snprintf(name, sizeof(name), "netfix %s", verb->name);
	argv[1] = name;
	argp_err_exit_status = EXIT_USAGE;
	n.listen_ms = verb->listen_ms;
	argp_parse(&argp, argc - 1, argv + 1, 0, NULL, &p);
	rc = config_load(&n.cfg, &n.err);
	if (rc == 0)
		rc = verb->fn(&n);
	if (rc < 0)
		error_print("netfix", &n.err);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	log_init("netfix");
	if (strcmp(verb, "help") == 0 || strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0) {
		print_help(stdout);
		return EXIT_SUCCESS;
	}
	if (strcmp(verb, "version") == 0 || strcmp(verb, "--version") == 0) {
		printf("netfix (lifeboat) %s\n", LIFEBOAT_VERSION);
		return EXIT_SUCCESS;
	}
	for (size_t i = 0; i < NR_VERBS; i++)
		if (strcmp(verbs[i].name, verb) == 0)
			return run_verb(&verbs[i], argc, argv);
	if (verb[0])
		fprintf(stderr,
			"netfix: there is no verb `%s'\nTry `netfix help' for all of them.\n",
			verb);
	else
		print_help(stderr);
	return EXIT_USAGE;
}
