/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench-stream: what tests/bench/stream.py measures lifeboat's own part with.
 *   bench-stream image NAME MIB FILE   write an image
 *   bench-stream limits FILE           JSON: the parts on their own
 *   bench-stream path FILE [one-core]  JSON: the whole path, over loopback
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "tests/bench/bench.h"

/* The descriptor is the caller's. */
static uint8_t *map(const char *path, int *image, size_t *len, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *p = MAP_FAILED;

	if (fd >= 0 && fstat(fd, &st) == 0) {
		*len = (size_t)st.st_size & ~(((size_t)1 << 20) - 1);
		p = mmap(NULL, *len, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	}
	if (p == MAP_FAILED) {
		error_sys(err, -errno, NULL, "cannot read %s", path);
		p = NULL;
	}
	*image = fd;
	return p;
}

static int cmd_image(const char *name, const char *mib, const char *path, struct error *err)
{
	size_t len = strtoul(mib, NULL, 10) << 20;
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), rc;
	uint8_t *p;

	if (fd < 0 || ftruncate(fd, (off_t)len) < 0)
		return error_sys(err, -errno, NULL, "cannot make %s", path);
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	fd_close(&fd);
	if (p == MAP_FAILED)
		return error_sys(err, -errno, NULL, "cannot make %s", path);
	rc = bench_image_fill(name, p, len);
	return rc ? error_set(err, rc, NULL, "there is no image '%s'", name) : 0;
}

static int one_core(void)
{
	cpu_set_t now, one;

	CPU_ZERO(&one);
	if (sched_getaffinity(0, sizeof(now), &now) < 0)
		return -errno;
	for (size_t cpu = CPU_SETSIZE; cpu-- > 0;)
		if (CPU_ISSET(cpu, &now)) {
			CPU_SET(cpu, &one);
			break;
		}
	return sched_setaffinity(0, sizeof(one), &one) < 0 ? -errno : 0;
}

static int cmd_path(const char *path, const char *how, struct error *err)
{
	const struct {
		const char *name;
		size_t at;
	} ends[] = {
		{"source", offsetof(struct bench_path, source)},
		{"source_wire", offsetof(struct bench_path, source_wire)},
		{"destination_wire", offsetof(struct bench_path, destination_wire)},
		{"destination", offsetof(struct bench_path, destination)},
	};
	struct bench_path r;
	double cpu = 0;
	size_t len;
	int image;
	uint8_t *memory = map(path, &image, &len, err);
	int rc = memory ? 0 : -ENOENT;

	if (rc == 0 && how && strcmp(how, "one-core") == 0)
		rc = one_core();
	if (rc == 0)
		rc = bench_path(image, memory, len, &r, err);
	fd_close(&image);
	if (rc)
		return rc;
	printf("{\"bytes\": %zu, \"wire_bytes\": %llu, \"cipher\": \"%s\", \"wall_s\": %.4f, ", len,
		(unsigned long long)r.wire_bytes, r.cipher, r.wall);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct bench_use use;

		memcpy(&use, (const char *)&r + ends[i].at, sizeof(use));
		cpu += use.user + use.system;
		printf("\"%s\": {\"user_s\": %.4f, \"system_s\": %.4f}, ", ends[i].name, use.user,
			use.system);
	}
	printf("\"cpu_s\": %.4f}\n", cpu);
	return 0;
}

static int cmd_limits(const char *path, struct error *err)
{
	size_t len;
	int image, rc;
	uint8_t *memory = map(path, &image, &len, err);

	fd_close(&image);
	if (!memory)
		return -ENOENT;
	printf("{");
	rc = bench_limits(memory, len, err);
	printf("\"bytes\": %zu}\n", len);
	return rc;
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT;
	int rc = -EINVAL;

	signal(SIGPIPE, SIG_IGN);
	setenv("LIFEBOAT_LOG", "error", 0);
	log_init("bench-stream");
	if (sodium_init() < 0)
		return 1;
	if (argc == 5 && strcmp(argv[1], "image") == 0)
		rc = cmd_image(argv[2], argv[3], argv[4], &err);
	else if (argc == 3 && strcmp(argv[1], "limits") == 0)
		rc = cmd_limits(argv[2], &err);
	else if ((argc == 3 || argc == 4) && strcmp(argv[1], "path") == 0)
		rc = cmd_path(argv[2], argv[3], &err);
	else
		error_set(&err, rc, NULL,
			"usage: bench-stream image NAME MIB FILE | limits FILE | path FILE [one-core]");
	if (rc)
		fprintf(stderr, "bench-stream: %s\n", err.what);
	return rc == -EINVAL ? 2 : rc ? 1 : 0;
}
