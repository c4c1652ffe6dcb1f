# common.sh - what every script here shares: where the tree is, steps that
# take one line each, and failures that say what to do. To be sourced by bash.
# shellcheck shell=bash

shopt -s inherit_errexit
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
logs=$root/build/log
cd "$root"

# die MESSAGE WHAT_TO_DO: ends the script.
die()
{
	printf '\n%s\n  what to do: %s\n' "$1" "$2" >&2
	exit 1
}

now_ms()
{
	local t=${EPOCHREALTIME/[.,]/}
	echo "${t%???}"
}

# elapsed SINCE_MS: "3.2 s".
elapsed()
{
	local tenths=$((($(now_ms) - $1 + 50) / 100))
	printf '%d.%d s' $((tenths / 10)) $((tenths % 10))
}

# Shows on a terminal how long a step has run and the last line it printed.
ticker()
{
	local name=$1 log=$2 start=$3 width last
	width=$(($(tput cols 2>/dev/null || echo 80) - 48))
	while sleep 0.5 && kill -0 $$ 2>/dev/null; do
		last=$(tail -c 400 "$log" | tr '\r' '\n' | tail -n 1 |
			tr -cd '[:print:]')
		printf '\r\033[K  %-36s %8s %.*s' "$name" "$(elapsed "$start")" \
			"$((width > 0 ? width : 0))" "$last"
	done
}

# step NAME WHAT_TO_DO COMMAND...: one line on the screen, the output in a log
# under build/log; if COMMAND fails, the log's end, and that is the script's end.
step()
{
	local name=$1 help=$2 start log tick='' rc
	shift 2
	start=$(now_ms)
	log=${name//: /-}
	log=$logs/${log//[^A-Za-z0-9.-]/-}.log
	mkdir -p "$logs"
	: >"$log"
	if [[ -t 1 ]]; then
		ticker "$name" "$log" "$start" &
		tick=$!
	fi
	# A plain `if` would switch errexit off inside the command.
	set +e
	(
		set -e
		"$@"
	) >"$log" 2>&1 </dev/null
	rc=$?
	set -e
	if [[ $tick ]]; then
		kill "$tick" 2>/dev/null
		wait "$tick" 2>/dev/null || true
		printf '\r\033[K'
	fi
	if ((rc)); then
		printf '  %-36s FAILED after %s\n' "$name" "$(elapsed "$start")"
		tail -n 20 "$log" | cut -c 1-160 | sed 's/^/    | /' >&2
		die "$name failed; the whole output is in ${log#"$root"/}" "$help"
	fi
	printf '  %-36s %8s\n' "$name" "$(elapsed "$start")"
}

has()
{
	command -v "$1" >/dev/null 2>&1
}
