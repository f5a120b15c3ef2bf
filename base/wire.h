/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire: bounded little-endian cursors. A reader or writer that once ran past its end stays failed
 * and reads zeros / writes nothing, so that a decoder checks once, at the end.
 */
#ifndef BASE_WIRE_H
#define BASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire_reader {
	const uint8_t *p;
	size_t left;
	bool failed;
};

struct wire_writer {
	uint8_t *start;
	uint8_t *p;
	size_t left;
	bool failed;
};

static inline struct wire_reader wire_reader(const void *buf, size_t len)
{
	return (struct wire_reader){.p = buf, .left = len};
}

static inline struct wire_writer wire_writer(void *buf, size_t len)
{
	return (struct wire_writer){.start = buf, .p = buf, .left = len};
}

uint8_t wire_get_u8(struct wire_reader *r);
uint16_t wire_get_u16(struct wire_reader *r);
uint32_t wire_get_u32(struct wire_reader *r);
uint64_t wire_get_u64(struct wire_reader *r);
/* The next `len` bytes in place, or NULL. */
const uint8_t *wire_get_bytes(struct wire_reader *r, size_t len);
/* A u16 length and that many bytes without NUL, copied with a NUL into `out[size]`; fails if too
 * long. */
void wire_get_string(struct wire_reader *r, char *out, size_t size);
/* True when nothing failed and nothing is left over. */
bool wire_reader_done(const struct wire_reader *r);

void wire_put_u8(struct wire_writer *w, uint8_t v);
void wire_put_u16(struct wire_writer *w, uint16_t v);
void wire_put_u32(struct wire_writer *w, uint32_t v);
void wire_put_u64(struct wire_writer *w, uint64_t v);
void wire_put_bytes(struct wire_writer *w, const void *buf, size_t len);
void wire_put_string(struct wire_writer *w, const char *s);
/* Bytes written so far. */
size_t wire_writer_len(const struct wire_writer *w);

#endif
