/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/wire.h"

#include <string.h>

const uint8_t *wire_get_bytes(struct wire_reader *r, size_t len)
{
	const uint8_t *p = r->p;

	if (r->failed || len > r->left) {
		r->failed = true;
		return NULL;
	}
	r->p += len;
	r->left -= len;
	return p;
}

static uint64_t get_le(struct wire_reader *r, size_t len)
{
	const uint8_t *p = wire_get_bytes(r, len);
	uint64_t v = 0;

	for (size_t i = 0; p && i < len; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint8_t wire_get_u8(struct wire_reader *r)
{
	return (uint8_t)get_le(r, 1);
}

uint16_t wire_get_u16(struct wire_reader *r)
{
	return (uint16_t)get_le(r, 2);
}

uint32_t wire_get_u32(struct wire_reader *r)
{
	return (uint32_t)get_le(r, 4);
}

uint64_t wire_get_u64(struct wire_reader *r)
{
	return get_le(r, 8);
}

void wire_get_string(struct wire_reader *r, char *out, size_t size)
{
	size_t len = wire_get_u16(r);
	const uint8_t *p = len < size ? wire_get_bytes(r, len) : NULL;

	out[0] = '\0';
	if (!p || memchr(p, '\0', len)) {
		r->failed = true;
		return;
	}
	memcpy(out, p, len);
	out[len] = '\0';
}

bool wire_reader_done(const struct wire_reader *r)
{
	return !r->failed && r->left == 0;
}

void wire_put_bytes(struct wire_writer *w, const void *buf, size_t len)
{
	if (w->failed || len > w->left) {
		w->failed = true;
		return;
	}
	if (len)
		memcpy(w->p, buf, len);
	w->p += len;
	w->left -= len;
}

static void put_le(struct wire_writer *w, uint64_t v, size_t len)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(v >> (8 * i));
	wire_put_bytes(w, bytes, len);
}

void wire_put_u8(struct wire_writer *w, uint8_t v)
{
	put_le(w, v, 1);
}

void wire_put_u16(struct wire_writer *w, uint16_t v)
{
	put_le(w, v, 2);
}

void wire_put_u32(struct wire_writer *w, uint32_t v)
{
	put_le(w, v, 4);
}

void wire_put_u64(struct wire_writer *w, uint64_t v)
{
	put_le(w, v, 8);
}

void wire_put_string(struct wire_writer *w, const char *s)
{
	size_t len = strlen(s);

	if (len > UINT16_MAX) {
		w->failed = true;
		return;
	}
	wire_put_u16(w, (uint16_t)len);
	wire_put_bytes(w, s, len);
}

size_t wire_writer_len(const struct wire_writer *w)
{
	return (size_t)(w->p - w->start);
}
