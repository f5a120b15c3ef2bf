# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Bash completion for lifeboat's programs.

_lifeboat_domains() {
	hv list --json 2>/dev/null | sed -n 's/^ *"name": "\([^"]*\)".*/\1/p'
}

_lifeboat_journals() {
	migrate --json status 2>/dev/null | sed -n 's/^ *"name": "\([^"]*\)".*/\1/p'
}

_lifeboat_peers() {
	sed -n 's/^[[:space:]]*peer[[:space:]]\+"\?\([^"[:space:]{]*\).*/\1/p' \
		"${LIFEBOAT_CONFIG:-/etc/lifeboat/lifeboat.conf}" 2>/dev/null
}

_lifeboat_reply() {
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "${COMP_WORDS[COMP_CWORD]}")
}

_lifeboat_files() {
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]#=}")
}

# The option whose value is being typed; bash makes `=' a word of its own.
_lifeboat_option() {
	local word=${COMP_WORDS[COMP_CWORD - 1]}
	[ "$word" != = ] || word=${COMP_WORDS[COMP_CWORD - 2]}
	[ "${COMP_WORDS[COMP_CWORD]}" != = ] || word=${COMP_WORDS[COMP_CWORD - 1]}
	case $word in -c | --config | --max-downtime | --timeout | --bwlimit | --streams | --on-no-converge) echo "$word" ;; esac
}

# The first word that is neither an option nor an option's value.
_lifeboat_first() {
	local word value=0
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case $word in
		= | -c | --config | --max-downtime | --timeout | --bwlimit | --streams | --on-no-converge) value=1 ;;
		-*) value=0 ;;
		*)
			[ $value = 1 ] || break
			value=0
			word=
			;;
		esac
	done
	echo "$word"
}

# The words so far that are neither options nor their values, without the program's name.
_lifeboat_count() {
	local word n=0 value=0
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case $word in
		= | -c | --config | --max-downtime | --timeout | --bwlimit | --streams | --on-no-converge) value=1 ;;
		-*) value=0 ;;
		*)
			n=$((n + 1 - value))
			value=0
			;;
		esac
	done
	echo "$n"
}

_migrate() {
	COMPREPLY=()
	case $(_lifeboat_option) in
	-c | --config)
		_lifeboat_files
		return
		;;
	--on-no-converge)
		_lifeboat_reply "abort throttle stop"
		return
		;;
	--max-downtime | --timeout | --bwlimit | --streams) return ;;
	esac
	if [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
		_lifeboat_reply "--json --quiet --check --dry-run --force --yes --max-downtime --timeout --bwlimit --streams --on-no-converge --estimate --pause --config --help --usage --version"
		return
	fi
	case $(_lifeboat_count) in
	0) _lifeboat_reply "$(_lifeboat_domains) status resolve claim cancel move" ;;
	1)
		case $(_lifeboat_first) in
		status) ;;
		move | cancel) _lifeboat_reply "$(_lifeboat_domains)" ;;
		resolve | claim) _lifeboat_reply "$(_lifeboat_journals)" ;;
		*) _lifeboat_reply "$(_lifeboat_peers)" ;;
		esac
		;;
	2) [ "$(_lifeboat_first)" != move ] || _lifeboat_reply "$(_lifeboat_peers)" ;;
	esac
}

_hv() {
	local options=
	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		_lifeboat_reply "create list info console pause unpause shutdown reboot destroy help version"
		return
	fi
	case ${COMP_WORDS[1]} in
	create) options="--dry-run --paused" ;;
	list | info) options=--json ;;
	pause | unpause | shutdown | reboot | destroy) options=--dry-run ;;
	console) ;;
	*) return ;;
	esac
	if [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
		_lifeboat_reply "$options --help --usage"
	elif [ "$(_lifeboat_count)" = 1 ]; then
		case ${COMP_WORDS[1]} in
		create) _lifeboat_files ;;
		list) ;;
		*) _lifeboat_reply "$(_lifeboat_domains)" ;;
		esac
	fi
}

_lifeboatd() {
	COMPREPLY=()
	if [ -n "$(_lifeboat_option)" ]; then
		_lifeboat_files
	else
		_lifeboat_reply "--config --check --show-key --help --usage --version"
	fi
}

_netfix() {
	local options="--json --config --help --usage"
	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		_lifeboat_reply "announce verify check map help version"
		return
	fi
	case ${COMP_WORDS[COMP_CWORD - 1]} in
	-c | --config)
		_lifeboat_files
		return
		;;
	-a | --address | --ask | --mac | --rounds | --listen) return ;;
	esac
	case ${COMP_WORDS[1]} in
	announce) options="$options --dry-run --address --mac --rounds --listen --ask" ;;
	verify) options="$options --fix --dry-run --address --mac --listen --ask" ;;
	check) options="$options --listen" ;;
	map) ;;
	*) return ;;
	esac
	if [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
		_lifeboat_reply "$options"
	elif [ "${COMP_WORDS[1]}" = map ]; then
		if [ "$COMP_CWORD" = 2 ]; then _lifeboat_reply "$(_lifeboat_peers)"; else _lifeboat_files; fi
	elif [ "${COMP_WORDS[1]}" = check ] && [ "$COMP_CWORD" = 3 ]; then
		_lifeboat_reply "$(_lifeboat_peers)"
	else
		_lifeboat_reply "$(_lifeboat_domains)"
	fi
}

complete -F _migrate migrate
complete -F _netfix netfix
complete -F _hv hv
complete -F _lifeboatd lifeboatd
