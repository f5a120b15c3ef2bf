#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs inside the new root file system (chroot), after its packages and the files of
# host/root are in place.
set -eu
echo '/dev/vda / ext4 defaults,noatime 0 1' >/etc/fstab
echo lab >/etc/hostname
passwd -d root >/dev/null
systemctl enable --quiet systemd-networkd.service lab-drbd.service serial-getty@hvc0.service
# These would hold the boot, eat emulated seconds at random times, or start a guest twice.
for unit in drbd.service xendomains.service apt-daily.timer apt-daily-upgrade.timer \
	dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
	systemd-networkd-wait-online.service systemd-timesyncd.service getty@tty1.service \
	systemd-pstore.service systemd-update-utmp.service; do
	systemctl mask --quiet "$unit"
done
chmod 700 /root/.ssh
chmod 600 /root/.ssh/*
