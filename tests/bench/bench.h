/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bench: the parts of bench-stream, which tests/bench/stream.py runs. */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * image.c: fill `memory` as a guest of that kind would have; the same bytes on every machine.
 * 0 or -ENOENT for an unknown name.
 */
int bench_image_fill(const char *name, uint8_t *memory, size_t len);
const char *const *bench_image_names(void); /* ends with NULL */

/* What one process used, in seconds. */
struct bench_use {
	double user, system;
};

/* What one transfer took. */
struct bench_path {
	double wall;
	struct bench_use source, source_wire, destination_wire, destination;
	uint64_t wire_bytes;
	char cipher[32];
};

/*
 * path.c: send the file `image` through two lifeboat-wire over loopback into another process's
 * memory, the way the engines do with domains of the embedded backend, and compare what arrived
 * with `memory`, its mapping. 0 or -errno with `err`.
 */
int bench_path(
	int image, const uint8_t *memory, size_t len, struct bench_path *out, struct error *err);

/* limit.c: print what the parts can do on their own, as JSON members, bytes per CPU second. */
int bench_limits(const uint8_t *memory, size_t len, struct error *err);

double bench_cpu(void); /* CPU seconds of this process so far */

#endif
