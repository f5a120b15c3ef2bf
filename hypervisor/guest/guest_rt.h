/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest_rt: the few library functions that our guests share. Freestanding. */
#ifndef HYPERVISOR_GUEST_GUEST_RT_H
#define HYPERVISOR_GUEST_GUEST_RT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_PROGRAM 1
#include "guest.h"

/* The guest's main; guest_rt.c holds the entry point. It must not return. */
_Noreturn void guest_main(const struct guest_info *info);

void *memcpy(void *restrict to, const void *restrict from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int c, size_t len);
int memcmp(const void *a, const void *b, size_t len);
size_t strlen(const char *s);

/* %s %c %u %x %lu %lx (64 bits) and %%; cut at size, always NUL-terminated. The length written. */
size_t text_format(char *out, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void console_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The value of NAME=... in the command line into `out`; false when it is not there. */
bool cmdline_string(const struct guest_info *info, const char *name, char *out, size_t size);
uint64_t cmdline_number(const struct guest_info *info, const char *name, uint64_t otherwise);
bool cmdline_flag(const struct guest_info *info, const char *name);

uint64_t guest_clock_ns(void);
_Noreturn void guest_exit(enum guest_exit reason);
uint32_t guest_wait(uint64_t deadline, uint32_t mask);

#endif
