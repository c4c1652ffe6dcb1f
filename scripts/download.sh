# download.sh - files from npm and PyPI, each pinned by its hash. The clients
# are asked by name and version only, so whatever registry this machine uses
# will do. Downloads are kept in $MODELD_CACHE (~/.cache/modeld) for the next
# clone, and hashed again whenever they are used. To be sourced after common.sh.
# shellcheck shell=bash

cache=${MODELD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/modeld}
# shellcheck disable=SC2034 # what those who source this say when a step fails
offline='check the network, and the registry that npm, pip, mvn or apt is set up with; then run the same command again'

# What is made here is there when the stamp beside it says of what.
is_stamped()
{
	[[ -e $1 && -f $1.stamp && $(<"$1.stamp") == "$2" ]]
}

is_sha()
{
	[[ -f $1 ]] && echo "$2  $1" | sha256sum --check --status
}

# download SHA256 NAME COMMAND...: COMMAND leaves one file in the current
# folder; it becomes cache/NAME once its hash is right. Prints the path.
download()
{
	local sha=$1 file=$cache/$2 dir got
	shift 2
	if ! is_sha "$file" "$sha"; then
		mkdir -p "$cache"
		dir=$(mktemp -d "$cache/part.XXXXXX")
		(cd "$dir" && "$@") >&2 || {
			rm -rf "$dir"
			return 1
		}
		got=$(sha256sum "$dir"/* | cut -d' ' -f1)
		if [[ $got != "$sha" ]]; then
			echo "${file##*/}: sha256 is $got, not $sha: not used" >&2
			rm -rf "$dir"
			return 1
		fi
		mv "$dir"/* "$file"
		rmdir "$dir"
	fi
	echo "$file"
}

# npm_package NAME VERSION SHA256
npm_package()
{
	download "$3" "${1//[@\/]/-}-$2.tgz" npm pack --loglevel=error \
		--fetch-retries=1 --fetch-retry-mintimeout=1000 "$1@$2"
}

# pypi_wheel NAME VERSION SHA256
pypi_wheel()
{
	download "$3" "$1-$2.whl" python3 -m pip download --quiet \
		--disable-pip-version-check --retries 2 --no-deps --dest . "$1==$2"
}
