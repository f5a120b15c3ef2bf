/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_qemu.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/wire.h"
#include "hypervisor/hypervisor.h"
#include "hypervisor/xen_stream.h"

#define LINE_MAX_LEN 16384u /* of what QEMU says; a greeting has some hundred bytes */
#define LOOK_MS	     50
#define STATE_MAX    (HV_OPAQUE_MAX - XEN_STREAM_RECORD_HEADER_LEN - XEN_STREAM_EMULATOR_LEN - 8)

struct xen_qemu_places xen_qemu_places = {"/var/run/xen", "/var/lib/xen"};

/* One line; QEMU serves the guest, so that what it says is bounded like a guest's word. */
static int read_line(int sock, char *line, size_t size, int64_t deadline)
{
	for (size_t len = 0; len + 1 < size; len++) {
		int rc = io_read_exact(sock, line + len, 1, deadline);

		if (rc)
			return rc;
		if (line[len] == '\n') {
			line[len] = '\0';
			return 0;
		}
	}
	return -EMSGSIZE;
}

/* The next message that has `key`, past events and whatever else QEMU has to tell. */
static int await(int sock, const char *key, int64_t deadline)
{
	char line[LINE_MAX_LEN];
	int rc;

	do {
		json_t *message;

		rc = read_line(sock, line, sizeof(line), deadline);
		if (rc)
			return rc;
		message = json_loads(line, 0, NULL);
		if (!message || json_object_get(message, "error"))
			rc = -EPROTO;
		else
			rc = json_object_get(message, key) ? 0 : -EAGAIN;
		json_decref(message);
	} while (rc == -EAGAIN);
	return rc;
}

static int command(int sock, const char *text, int64_t deadline)
{
	int rc = io_write_all(sock, text, strlen(text), deadline);

	return rc ? rc : await(sock, "return", deadline);
}

/* QEMU talks to one at a time; the next waits in the socket's queue, which is short. */
static int open_socket(const char *path, int64_t deadline)
{
	int sock = unix_connect(path, SOCK_STREAM);

	while (sock == -EAGAIN && clock_ms() < deadline) {
		clock_pause(LOOK_MS);
		sock = unix_connect(path, SOCK_STREAM);
	}
	return sock;
}

int xen_qemu_log_dirty(uint32_t domid, bool on, int64_t deadline, struct error *err)
{
	const char *what =
		on ? "{\"execute\":\"xen-set-global-dirty-log\",\"arguments\":{\"enable\":true}}\n"
		   : "{\"execute\":\"xen-set-global-dirty-log\",\"arguments\":{\"enable\":false}}\n";
	char path[128];
	int sock, rc;

	snprintf(path, sizeof(path), "%s/qmp-libxl-%u", xen_qemu_places.socket_dir, domid);
	rc = sock = open_socket(path, deadline);
	if (sock >= 0)
		rc = await(sock, "QMP", deadline);
	if (!rc)
		rc = command(sock, "{\"execute\":\"qmp_capabilities\"}\n", deadline);
	if (!rc)
		rc = command(sock, what, deadline);
	fd_close(&sock);
	if (rc)
		return error_sys(err, rc,
			"Is the domain's QEMU alive? Look at /var/log/xen/qemu-dm-*.log",
			"QEMU of domain %u did not switch its dirty log %s", domid,
			on ? "on" : "off");
	return 0;
}

static void state_path(uint32_t domid, char path[128])
{
	snprintf(path, 128, "%s/qemu-save.%u", xen_qemu_places.state_dir, domid);
}

int xen_qemu_state(uint32_t domid, uint8_t **record, size_t *len, struct error *err)
{
	static const uint8_t zero[8];
	char path[128], *state = NULL;
	struct wire_writer w;
	size_t state_len = 0;
	int rc;

	*record = NULL;
	state_path(domid, path);
	rc = io_read_file(path, STATE_MAX, &state, &state_len);
	if (rc || state_len == 0) {
		rc = error_sys(err, rc ? rc : -ENODATA, "Look at /var/log/xen/qemu-dm-*.log",
			"QEMU's state in %s cannot be moved", path);
		goto out;
	}
	*record = malloc(HV_OPAQUE_MAX);
	if (!*record) {
		rc = error_sys(err, -ENOMEM, NULL, "QEMU's state in %s cannot be moved", path);
		goto out;
	}
	w = wire_writer(*record, HV_OPAQUE_MAX);
	wire_put_u32(&w, XEN_RECORD_EMULATOR);
	wire_put_u32(&w, (uint32_t)(XEN_STREAM_EMULATOR_LEN + state_len));
	wire_put_u32(&w, XEN_STREAM_EMULATOR_QEMU);
	wire_put_u32(&w, 0);
	wire_put_bytes(&w, state, state_len);
	wire_put_bytes(&w, zero, XEN_STREAM_ALIGN(state_len) - state_len);
	*len = wire_writer_len(&w);
out:
	free(state);
	return rc;
}

void xen_qemu_forget_state(uint32_t domid)
{
	char path[128];

	state_path(domid, path);
	if (unlink(path) < 0 && errno != ENOENT)
		log_warn("cannot remove %s: %s", path, strerror(errno));
}
