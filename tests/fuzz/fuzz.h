/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz: what every target has. A target defines LLVMFuzzerTestOneInput and fuzz_seeds, which calls
 * fuzz_seed for each input worth starting from; tests/fuzz/run has them written with $FUZZ_SEEDS
 * set.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
static void fuzz_seeds(void);

static inline void fuzz_seed(const void *data, size_t size)
{
	static unsigned nr;
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/seed%u", getenv("FUZZ_SEEDS"), nr++);
	f = fopen(path, "wb");
	if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	setenv("LIFEBOAT_LOG", "error", 1);
	if (sodium_init() < 0)
		abort();
	if (getenv("FUZZ_SEEDS")) {
		fuzz_seeds();
		exit(0);
	}
	return 0;
}

/* What must hold for every input. */
static inline void fuzz_check(bool holds)
{
	if (!holds)
		abort();
}

#endif
