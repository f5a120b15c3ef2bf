/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv: the domains of this host, on Xen or on the embedded hypervisor. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "hypervisor/hv.h"

#ifndef LIFEBOAT_VERSION
#define LIFEBOAT_VERSION "0.1"
#endif

#define EXIT_USAGE 2

enum { KEY_JSON = 'j', KEY_DRY_RUN = 'n', KEY_PAUSED = 'p' };

/* clang-format off */
static const struct argp_option show_options[] = {
	{"json", KEY_JSON, NULL, 0, "Print JSON", 0},
	{0},
};
static const struct argp_option act_options[] = {
	{"dry-run", KEY_DRY_RUN, NULL, 0, "Check, say what would be done, do nothing", 0},
	{0},
};
static const struct argp_option create_options[] = {
	{"paused", KEY_PAUSED, NULL, 0, "Leave it paused", 0},
	{"dry-run", KEY_DRY_RUN, NULL, 0, "Check, say what would be done, do nothing", 0},
	{0},
};
/* clang-format on */

enum verb_arg { ARG_NONE = 1, ARG_OPTIONAL, ARG_NEEDED };

static const struct verb {
	const char *name;
	int (*fn)(struct hv *h);
	const struct argp_option *options; /* NULL: none of its own */
	enum verb_arg arg;
	const char *arg_doc, *doc;
} verbs[] = {
	{"create", hv_create, create_options, ARG_NEEDED, "FILE",
		"start the domain that FILE describes"},
	{"list", hv_list, show_options, ARG_NONE, "", "the domains of this host"},
	{"info", hv_info, show_options, ARG_OPTIONAL, "[DOM]",
		"all about a domain, or about this host"},
	{"console", hv_console, NULL, ARG_NEEDED, "DOM", "its console, until ^]"},
	{"pause", hv_pause, act_options, ARG_NEEDED, "DOM", "stop it where it is"},
	{"unpause", hv_unpause, act_options, ARG_NEEDED, "DOM", "let it go on"},
	{"shutdown", hv_shutdown, act_options, ARG_NEEDED, "DOM", "ask it to power off"},
	{"reboot", hv_reboot, act_options, ARG_NEEDED, "DOM", "ask it to reboot"},
	{"destroy", hv_destroy, act_options, ARG_NEEDED, "DOM", "end it at once"},
};

#define NR_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void print_help(FILE *out)
{
	fputs("Usage: hv VERB [OPTION...] [ARGUMENT]\n\n", out);
	for (size_t i = 0; i < NR_VERBS; i++)
		fprintf(out, "  hv %-8s %-6s %s\n", verbs[i].name, verbs[i].arg_doc, verbs[i].doc);
	fputs("  hv help            this text; `hv VERB --help' has the options\n"
	      "  hv version\n\n"
	      "Exit status: 0 done, 1 failed, 2 used wrongly.\n",
		out);
}

struct parsing {
	const struct verb *verb;
	struct hv *h;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct parsing *p = state->input;

	switch (key) {
	case KEY_JSON:
		p->h->json = true;
		return 0;
	case KEY_DRY_RUN:
		p->h->dry_run = true;
		return 0;
	case KEY_PAUSED:
		p->h->paused = true;
		return 0;
	case ARGP_KEY_ARG:
		if (p->verb->arg == ARG_NONE || p->h->arg)
			argp_error(state, "too many arguments: `%s'", arg);
		p->h->arg = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		if (p->verb->arg == ARG_NEEDED)
			argp_error(state, "%s is missing", p->verb->arg_doc);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void parse_verb(const struct verb *verb, int argc, char **argv, struct hv *h)
{
	struct parsing p = {.verb = verb, .h = h};
	struct argp argp = {.options = verb->options,
		.parser = parse_option,
		.args_doc = verb->arg_doc[0] ? verb->arg_doc : NULL,
		.doc = verb->doc};
	static char name[32];

	snprintf(name, sizeof(name), "hv %s", verb->name);
	argv[1] = name;
	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc - 1, argv + 1, 0, NULL, &p);
}

static int run_verb(const struct verb *verb, int argc, char **argv)
{
	struct hv h = {.err = ERROR_INIT};
	struct config *cfg = calloc(1, sizeof(*cfg));
	int rc;

	parse_verb(verb, argc, argv, &h);
	rc = cfg ? config_load(cfg, &h.err) : error_sys(&h.err, -ENOMEM, NULL, "cannot start");
	if (!rc)
		rc = hypervisor_open(cfg, &h.hv, &h.err);
	if (!rc)
		rc = verb->fn(&h);
	if (rc)
		error_print("hv", &h.err);
	free(cfg);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	log_init("hv");
	if (strcmp(verb, "help") == 0 || strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0) {
		print_help(stdout);
		return EXIT_SUCCESS;
	}
	if (strcmp(verb, "version") == 0 || strcmp(verb, "--version") == 0) {
		printf("hv (lifeboat) %s\n", LIFEBOAT_VERSION);
		return EXIT_SUCCESS;
	}
	for (size_t i = 0; i < NR_VERBS; i++)
		if (strcmp(verbs[i].name, verb) == 0)
			return run_verb(&verbs[i], argc, argv);
	if (verb[0])
		fprintf(stderr, "hv: there is no verb `%s'\nTry `hv help' for all of them.\n",
			verb);
	else
		print_help(stderr);
	return EXIT_USAGE;
}
