/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each part of the path can do on its own, in this run, on this machine. */
#include <errno.h>
#include <lz4.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "migrate/channel.h"
#include "tests/bench/bench.h"

#define CHUNK ((size_t)1 << 20)

double bench_cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void print_rate(const char *name, size_t len, double seconds)
{
	printf("\"%s\": %.0f, ", name, (double)len / seconds);
}

static void limit_memcpy(const uint8_t *memory, size_t len)
{
	uint8_t *to = malloc(CHUNK), sum = 0;
	double start;

	/* What it costs to touch a mapping for the first time is not a copy's. */
	for (size_t at = 0; at < len; at += PAGE_BYTES)
		sum |= memory[at];
	__asm__ volatile("" : : "r"(sum));
	if (to)
		memset(to, 1, CHUNK);
	start = bench_cpu();
	for (size_t at = 0; to && at < len; at += CHUNK) {
		memcpy(to, memory + at, CHUNK);
		__asm__ volatile("" : : "r"(to) : "memory");
	}
	print_rate("memcpy", len, bench_cpu() - start);
	free(to);
}

/* A copy into memory that did not exist before, by system calls, as a domain gets its pages. */
static int limit_new_memory(const uint8_t *memory, size_t len)
{
	int fd = memfd_create("limit", MFD_CLOEXEC), rc = fd < 0 ? -errno : 0;
	double start = bench_cpu();

	for (size_t at = 0; rc == 0 && at < len; at += CHUNK)
		if (pwrite(fd, memory + at, CHUNK, (off_t)at) != (ssize_t)CHUNK)
			rc = -EIO;
	if (rc == 0)
		print_rate("new_memory", len, bench_cpu() - start);
	fd_close(&fd);
	return rc;
}

/* Every page packed and unpacked again; what does not shrink is only tried. */
static void limit_lz4(const uint8_t *memory, size_t len)
{
	char packed[PAGE_BYTES], page[PAGE_BYTES];
	double start = bench_cpu();

	for (size_t at = 0; at < len; at += PAGE_BYTES) {
		int n = LZ4_compress_default(
			(const char *)memory + at, packed, PAGE_BYTES, PAGE_BYTES - 1);

		if (n > 0 && LZ4_decompress_safe(packed, page, n, PAGE_BYTES) < 0)
			abort();
	}
	print_rate("lz4_both_ways", len, bench_cpu() - start);
}

static int limit_aead(
	enum channel_cipher cipher, const char *name, const uint8_t *memory, size_t len)
{
	static const uint8_t key[CHANNEL_KEY_LEN] = {1};
	static struct channel_key seal, open;
	uint8_t *frame = malloc(CHANNEL_FRAME_MAX), *plain = malloc(CHANNEL_FRAME_MAX);
	double start;
	int rc = frame && plain ? 0 : -ENOMEM;

	if (rc == 0) {
		channel_key_init(&seal, cipher, key);
		channel_key_init(&open, cipher, key);
	}
	start = bench_cpu();
	for (size_t at = 0; rc == 0 && at < len; at += CHUNK) {
		size_t n = channel_seal(&seal, memory + at, CHUNK, frame);

		if (channel_open(&open, frame, n, plain) != (ssize_t)CHUNK)
			rc = -EBADMSG;
	}
	if (rc == 0)
		print_rate(name, len, bench_cpu() - start);
	free(frame);
	free(plain);
	return rc;
}

static int loopback(int pair[static 2])
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t sa_len = sizeof(sa);
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server < 0 || pair[0] < 0 || bind(server, (struct sockaddr *)&sa, sa_len) < 0 ||
		listen(server, 1) < 0 || getsockname(server, (struct sockaddr *)&sa, &sa_len) < 0 ||
		connect(pair[0], (struct sockaddr *)&sa, sa_len) < 0)
		return -errno;
	pair[1] = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	fd_close(&server);
	return pair[1] < 0 ? -errno : 0;
}

static void drain(int fd)
{
	uint8_t *buf = malloc(CHUNK);

	while (buf && read(fd, buf, CHUNK) > 0)
		;
	_exit(0);
}

/* Loopback alone, both ends counted. */
static int limit_tcp(const uint8_t *memory, size_t len)
{
	int pair[2], status, rc = loopback(pair);
	double start = bench_cpu();
	struct rusage use;
	pid_t child;

	if (rc)
		return rc;
	fflush(stdout);
	child = fork();
	if (child < 0)
		return -errno;
	if (child == 0) {
		fd_close(&pair[0]);
		drain(pair[1]);
	}
	fd_close(&pair[1]);
	for (size_t at = 0; rc == 0 && at < len; at += CHUNK)
		rc = io_write_all(pair[0], memory + at, CHUNK, DEADLINE_NEVER);
	fd_close(&pair[0]);
	if (wait4(child, &status, 0, &use) < 0)
		return -errno;
	print_rate("tcp", len,
		bench_cpu() - start + (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
			(double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6);
	return rc;
}

int bench_limits(const uint8_t *memory, size_t len, struct error *err)
{
	int rc = channel_prepare();

	if (rc)
		return error_sys(err, rc, NULL, "no ciphers");
	limit_memcpy(memory, len);
	limit_lz4(memory, len);
	rc = limit_new_memory(memory, len);
	if (rc == 0)
		rc = limit_tcp(memory, len);
	if (rc == 0)
		rc = limit_aead(CIPHER_CHACHA20_POLY1305, "chacha20_poly1305", memory, len);
	if (rc == 0 && channel_offer().ciphers & CIPHER_AES256_GCM)
		rc = limit_aead(CIPHER_AES256_GCM, "aes_256_gcm", memory, len);
	return rc ? error_sys(err, rc, NULL, "a limit could not be measured") : 0;
}
