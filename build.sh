#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# build.sh: one door to everything. Run './build.sh help'.
set -euo pipefail
cd "$(dirname "$0")"

BUILD=${BUILD:-build}
BUILD_PACKAGES="gcc meson ninja-build pkg-config libxen-dev libsodium-dev liblz4-dev libxxhash-dev libssl-dev libnl-3-dev
	libnl-route-3-dev libjansson-dev libconfuse-dev libseccomp-dev libcmocka-dev"
TEST_PACKAGES="python3 python3-cryptography python3-lz4 python3-xxhash iproute2 tcpdump nftables iputils-ping xen-utils-4.17"
LINT_PACKAGES="clang-format cppcheck shellcheck mandoc python3"
BENCH_PACKAGES="python3 iproute2 lz4 openssh-client openssh-server qemu-system-x86 seabios"
FUZZ_PACKAGES="clang libclang-rt-14-dev"

die() {
	printf 'build.sh: %s\n' "$*" >&2
	exit 1
}

# Install what is missing of the named Debian packages, or say how.
need() {
	local missing=() p
	command -v dpkg-query >/dev/null || {
		printf 'build.sh: not a Debian system; make sure that these are installed (Debian names):\n  %s\n' "$*" >&2
		return 0
	}
	for p in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
	done
	[ ${#missing[@]} -eq 0 ] && return 0
	[ "$(id -u)" = 0 ] || die "missing packages. Run: sudo apt-get install ${missing[*]}"
	printf 'build.sh: installing %s\n' "${missing[*]}" >&2
	export DEBIAN_FRONTEND=noninteractive
	apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
		apt-get update -qq >/dev/null 2>&1 || true
		apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
	}
}

# configure DIR [MESON OPTION...]
configure() {
	local dir=$1
	shift
	# shellcheck disable=SC2086
	need $BUILD_PACKAGES
	[ -f "$dir/build.ninja" ] || meson setup "$dir" --prefix=/usr --sysconfdir=/etc "$@" >/dev/null ||
		die "meson setup failed; its log is $dir/meson-logs/meson-log.txt"
}

build() {
	configure "$BUILD"
	ninja --quiet -C "$BUILD" | sed '/no work to do/d'
}

build_sanitized() {
	configure "$BUILD-asan" -Db_sanitize=address,undefined -Db_lundef=false
	ninja --quiet -C "$BUILD-asan" | sed '/no work to do/d'
}

# run_tests DIR [meson test arguments]
run_tests() {
	local dir=$1 status=0
	shift
	# Most of them wait most of the time.
	meson test -C "$dir" --no-rebuild --print-errorlogs --num-processes $((2 * $(nproc))) "$@" || status=$?
	python3 tests/summary.py "$dir/meson-logs/testlog.junit.xml" "$dir" $status
}

# Everything that any machine can run, plain and under sanitizers; tests that are named, in both. One summary line at the end.
tests_local() {
	local failed=0 but=(--no-suite plain-only)
	# shellcheck disable=SC2086
	need $TEST_PACKAGES
	build
	build_sanitized
	rm -f "$BUILD/tests.count"
	export LIFEBOAT_TEST_COUNT=$PWD/$BUILD/tests.count
	[ $# -eq 0 ] || but=()
	run_tests "$BUILD" "$@" || failed=1
	ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		run_tests "$BUILD-asan" --timeout-multiplier 4 "${but[@]}" "$@" || failed=1
	python3 tests/summary.py --total "$LIFEBOAT_TEST_COUNT" || failed=1
	return $failed
}

# A benchmark is niced: it measures CPU seconds, and others may be at work here.
bench() {
	local name=${1:-stream}
	[ $# -eq 0 ] || shift
	case $name in
	stream)
		# shellcheck disable=SC2086
		need $BENCH_PACKAGES
		build
		ninja --quiet -C "$BUILD" bench-stream | sed '/no work to do/d'
		exec nice -n 10 python3 tests/bench/stream.py "$BUILD" "$@"
		;;
	estimate)
		build
		exec nice -n 10 python3 tests/bench/estimate.py "$BUILD" "$@"
		;;
	live)
		build
		ninja --quiet -C "$BUILD" xl-send xl-wire | sed '/no work to do/d'
		exec nice -n 10 python3 tests/bench/live.py "$BUILD" "$@"
		;;
	scale)
		build
		exec nice -n 10 python3 tests/bench/scale.py "$BUILD" "$@"
		;;
	lab)
		build
		exec python3 tests/bench/lab.py "$@"
		;;
	help)
		cat <<'EOF'
usage: ./build.sh bench [stream] [--mib N] [--runs N] [--only lifeboat] [IMAGE...]
  stream  five memory images from one process to another over loopback, by lifeboat, QEMU and ssh (default)
  estimate [--memory MIB] [--only LINK]...  what 'migrate --estimate' says beside what then happens, 24 embedded moves
  live [--memory MIB] [--only LINK]... [--guest NAME]...  embedded guests and links, beside the rule and the raw pages of `xl migrate`
  scale [--up-to GIB]  guests from 128 MiB on: time for each GiB, and lifeboat's own memory
  lab [--load NAME]... [--turns N]  'migrate' beside 'xl migrate' between two real Xen hosts under emulation (half an hour)
Figures go to build/bench-NAME.json too. On Debian as root it installs the peers: openssh-server and qemu-system-x86.
EOF
		;;
	*) die "no benchmark '$name'; './build.sh bench help' lists them" ;;
	esac
}

usage() {
	cat <<'EOF'
usage: ./build.sh [COMMAND]
  (none)       build into build/
  demo         move a running guest between two hosts on this machine
  test [NAME]...  all tests that any machine can run, plain and, but for four long ones, under sanitizers
  test soak [MINUTES]  hand-overs under fault after fault (default 30 minutes)
  test lab     the tests on two real Xen hosts under emulation (long)
  bench [NAME [ARGUMENTS]]  measure beside peers; './build.sh bench help' lists the names
  fuzz [SECS]  run every fuzz target for SECS seconds each (default 30)
  lint         formatting, static analysis, shell scripts, manual pages, house rules
  format       apply clang-format
  lab ...      the lab; './build.sh lab help'
  install      install to DESTDIR (default /)
  clean        remove what was built
EOF
}

command=${1:-build}
[ $# -gt 0 ] && shift
case $command in
build) build ;;
demo)
	build
	exec python3 tests/demo.py "$BUILD" "$@"
	;;
test)
	case ${1:-} in
	lab)
		build
		exec tests/lab/test "${@:2}"
		;;
	soak)
		# shellcheck disable=SC2086
		need $TEST_PACKAGES
		build
		LIFEBOAT_BUILD=$PWD/$BUILD exec nice python3 tests/e2e/soak.py "${@:2}"
		;;
	*) tests_local "$@" ;;
	esac
	;;
bench) bench "$@" ;;
fuzz)
	# shellcheck disable=SC2086
	need $BUILD_PACKAGES $FUZZ_PACKAGES
	exec tests/fuzz/run "${1:-30}"
	;;
lint)
	# shellcheck disable=SC2086
	need $LINT_PACKAGES
	exec tests/lint/run
	;;
format)
	need clang-format
	git ls-files '*.c' '*.h' | xargs clang-format -i
	;;
lab)
	case "${1:-}" in up | install) build ;; esac
	exec tests/lab/lab "$@"
	;;
install)
	build
	meson install -C "$BUILD" --no-rebuild --quiet ${DESTDIR:+--destdir "$DESTDIR"}
	;;
clean) rm -rf "$BUILD" "$BUILD-asan" "$BUILD-fuzz" ;;
help | -h | --help) usage ;;
*)
	usage >&2
	exit 2
	;;
esac
