/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest_rt.h"

/* The stack is 16-byte aligned at entry, as a call expects it. */
__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	call guest_start\n"
	"	ud2\n");

void guest_start(void);

static struct guest_info the_info;

void guest_start(void)
{
	if (guest_call(HC_INFO, (uintptr_t)&the_info, sizeof(the_info), 0, 0) != 0)
		guest_exit(GUEST_CRASH);
	guest_main(&the_info);
}

void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
	void *d = to;

	__asm__ volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(len) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t len)
{
	unsigned char *d = to;
	const unsigned char *s = from;

	if (d <= s || d >= s + len)
		return memcpy(to, from, len);
	while (len--)
		d[len] = s[len];
	return to;
}

void *memset(void *to, int c, size_t len)
{
	void *d = to;

	__asm__ volatile("rep stosb" : "+D"(d), "+c"(len) : "a"(c) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t len)
{
	const unsigned char *x = a, *y = b;

	for (size_t i = 0; i < len; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

struct text {
	char *out;
	size_t size, len;
};

static void text_char(struct text *t, char c)
{
	if (t->len + 1 < t->size)
		t->out[t->len++] = c;
}

static void text_number(struct text *t, uint64_t v, unsigned base)
{
	char digits[20];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	while (n)
		text_char(t, digits[--n]);
}

static void text_args(struct text *t, const char *fmt, va_list ap)
{
	for (; *fmt; fmt++) {
		bool wide = false;

		if (*fmt != '%') {
			text_char(t, *fmt);
			continue;
		}
		fmt++;
		if (*fmt == 'l') {
			wide = true;
			fmt++;
		}
		if (*fmt == 's')
			for (const char *s = va_arg(ap, const char *); *s; s++)
				text_char(t, *s);
		else if (*fmt == 'c')
			text_char(t, (char)va_arg(ap, int));
		else if (*fmt == 'u' || *fmt == 'x')
			text_number(t, wide ? va_arg(ap, unsigned long) : va_arg(ap, unsigned),
				*fmt == 'u' ? 10 : 16);
		else
			text_char(t, *fmt);
	}
	if (t->size)
		t->out[t->len] = '\0';
}

size_t text_format(char *out, size_t size, const char *fmt, ...)
{
	struct text t = {.out = out, .size = size};
	va_list ap;

	va_start(ap, fmt);
	text_args(&t, fmt, ap);
	va_end(ap);
	return t.len;
}

void console_print(const char *fmt, ...)
{
	char line[512];
	struct text t = {.out = line, .size = sizeof(line)};
	va_list ap;

	va_start(ap, fmt);
	text_args(&t, fmt, ap);
	va_end(ap);
	guest_call(HC_CONSOLE_WRITE, (uintptr_t)line, t.len, 0, 0);
}

/* The text after NAME (and its '=') where NAME is a whole word of the command line. */
static const char *cmdline_find(const struct guest_info *info, const char *name, char end)
{
	size_t len = strlen(name);
	const char *s = info->cmdline;

	while (*s) {
		while (*s == ' ')
			s++;
		if (memcmp(s, name, len) == 0 && (s[len] == end || (end == ' ' && !s[len])))
			return s + len + (end == '=');
		while (*s && *s != ' ')
			s++;
	}
	return NULL;
}

bool cmdline_string(const struct guest_info *info, const char *name, char *out, size_t size)
{
	const char *s = cmdline_find(info, name, '=');
	size_t n = 0;

	if (!s)
		return false;
	while (s[n] && s[n] != ' ' && n + 1 < size) {
		out[n] = s[n];
		n++;
	}
	out[n] = '\0';
	return true;
}

uint64_t cmdline_number(const struct guest_info *info, const char *name, uint64_t otherwise)
{
	const char *s = cmdline_find(info, name, '=');
	uint64_t v = 0;

	if (!s || *s < '0' || *s > '9')
		return otherwise;
	for (; *s >= '0' && *s <= '9'; s++)
		v = v * 10 + (uint64_t)(*s - '0');
	return v;
}

bool cmdline_flag(const struct guest_info *info, const char *name)
{
	return cmdline_find(info, name, ' ') != NULL;
}

uint64_t guest_clock_ns(void)
{
	return (uint64_t)guest_call(HC_CLOCK, GUEST_MONOTONIC, 0, 0, 0);
}

void guest_exit(enum guest_exit reason)
{
	for (;;)
		guest_call(HC_EXIT, reason, 0, 0, 0);
}

uint32_t guest_wait(uint64_t deadline, uint32_t mask)
{
	return (uint32_t)guest_call(HC_WAIT, deadline, mask, 0, 0);
}
