#!/bin/sh
# Fetches versions of QEMU from Debian into a cache, and prints the folder of each
# version's programs. To use one, put its folder first on the PATH, and set
# QMP_TEST_QEMU to its qemu-system-x86_64.
#
#	qemu-fetch.sh [VERSION...]
#	qemu-fetch.sh --tests VERSION...
#
# With --tests it fetches QEMU's Python packages and its iotests from Debian's source
# packages instead, and prints the folder of each version's source tree. For a version
# whose source package Debian does not have, it takes the tests of the version before.
#
# VERSION is one of the table below, or "newest": the version from sid that the cache
# has, or the version that sid has now if the cache has none. Without arguments the
# script fetches all versions of the table.
#
# Nothing is installed and root is not needed: apt works in folders of its own,
# and the packages are only unpacked. What is in the cache is not fetched again.
# Remove a version's folder to fetch a newer package of that version.
#
# The cache is $QMP_TEST_CACHE, or goqmp in the user's cache folder. The mirror is
# the one that this machine's apt uses for Debian; QMP_TEST_MIRROR names another one.
set -eu
export LC_ALL=C

# Which of Debian's suites has which QEMU. The newest version is the last line.
table='5.2 bullseye
7.2 bookworm
10.0 trixie
11.1 sid'

packages='qemu-system-x86 qemu-utils qemu-guest-agent'
programs='qemu-system-x86_64 qemu-storage-daemon qemu-img qemu-io qemu-nbd qemu-ga'

# What --tests unpacks. Some versions lack some of it.
sources='*/python/qemu */python/scripts */scripts/qmp */scripts/*.py */tests/qemu-iotests */tests/functional'

cache=${QMP_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/goqmp}/qemu

say() { printf 'qemu-fetch: %s\n' "$*" >&2; }

die() {
	say "$*"
	exit 1
}

# logged COMMAND... runs a command, and prints its output only if it fails.
logged() {
	"$@" >"$work/log" 2>&1 || {
		grep -E '^(E|W|Err)' "$work/log" >&2 || tail -n 20 "$work/log" >&2
		return 1
	}
}

# mirror prints the address of the Debian archive that this machine uses.
mirror() {
	if [ -n "${QMP_TEST_MIRROR:-}" ]; then
		printf '%s\n' "$QMP_TEST_MIRROR"
		return
	fi
	apt-get indextargets --no-release-info --format '$(COMPONENT) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
		awk '$1 == "main" && $2 ~ /^(bullseye|bookworm|trixie|forky|duke|sid|stable|testing|unstable|oldstable|oldoldstable)$/ { print $3; exit }'
}

# settings KIND writes apt's configuration for the suite into $work. KIND is deb for
# programs, and deb-src for source packages. The machine's own
# configuration (a proxy, for example) is used too, but not its sources, pins and
# hooks.
settings() {
	keys=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -r "$keys" ] || keys=
	mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/none"
	: >"$work/status"
	printf '%s%s %s %s main\n' "$1" "${keys:+ [signed-by=$keys]}" "$archive" "$suite" >"$work/sources.list"
	cat >"$work/apt.conf" <<-TEXT
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		#clear DPkg::Pre-Invoke;
		#clear DPkg::Post-Invoke;
		#clear DPkg::Pre-Install-Pkgs;
		#clear APT::Default-Release;
		Dir::Etc::sourcelist "$work/sources.list";
		Dir::Etc::sourceparts "$work/none";
		Dir::Etc::preferences "$work/none/preferences";
		Dir::Etc::preferencesparts "$work/none";
		Dir::State "$work";
		Dir::State::status "$work/status";
		Dir::State::extended_states "$work/extended_states";
		Dir::Cache "$work";
		Dir::Cache::archives "$work/archives";
		Dir::Log "$work";
		APT::Sandbox::User "";
		APT::Install-Recommends "false";
		APT::Update::Error-Mode "any";
		Acquire::Languages "none";
		Acquire::Retries "3";
		Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
		Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
	TEXT
}

# unpack downloads the packages of a suite and unpacks them into $work/new/root.
unpack() {
	logged apt-get -q -c "$work/apt.conf" update ||
		die "apt could not read the package lists of Debian's $suite from $archive"
	package=$(apt-cache -c "$work/apt.conf" policy qemu-system-x86 | awk '$1 == "Candidate:" { print $2 }')
	case $package in
	'' | '(none)') die "Debian's $suite at $archive does not have qemu-system-x86" ;;
	esac
	offered=$(printf '%s\n' "$package" | sed 's/^[0-9]*://; s/^\([0-9]*\.[0-9]*\).*/\1/')
	[ "$version" != newest ] || version=$offered
	[ "$version" = "$offered" ] ||
		die "Debian's $suite now has QEMU $offered instead of $version; 'newest' fetches what it has"
	[ ! -d "$cache/$version" ] || return 0
	say "fetching QEMU $version ($package) from Debian's $suite into $cache"
	# The names of the packages are split into words on purpose.
	# shellcheck disable=SC2086
	logged apt-get -q -y -c "$work/apt.conf" install --download-only $packages ||
		die "apt could not fetch QEMU $version from Debian's $suite at $archive"
	mkdir -p "$work/new/root"
	for file in "$work"/archives/*.deb; do
		logged dpkg-deb --extract "$file" "$work/new/root" || die "cannot unpack ${file##*/}"
	done
	printf '%s\n' "$package" >"$work/new/package"
	printf '%s\n' "$suite" >"$work/new/suite"
}

# wrap writes a script for each program into bin. The script starts the program with
# the dynamic linker and the libraries of root, by paths relative to itself, since the
# folder is renamed later.
#
# QEMU takes its modules and firmware from the folder "qemu-bundle" beside its
# executable. If there is none, it takes them from the folders of an installed QEMU,
# and a module of another version can make it abort. For a program that is started
# like this, the executable is the dynamic linker; so qemu-bundle stands beside that.
wrap() (
	cd "$work/new"
	linker=$(find root -type f \( -name 'ld-linux*.so.[0-9]' -o -name 'ld-[0-9]*.so' \) | head -n 1)
	[ -n "$linker" ] || die "found no dynamic linker in the packages of QEMU $version"
	cp "$linker" root/usr/bin/ld.so
	ln -s ../.. root/usr/bin/qemu-bundle
	mkdir bin
	libraries=
	for folder in root/lib/*-linux-* root/usr/lib/*-linux-*; do
		[ ! -d "$folder" ] || libraries=${libraries:+$libraries:}\$root/${folder#root/}
	done
	for program in $programs; do
		file=usr/bin/$program
		[ -x "root/$file" ] || file=usr/sbin/$program
		[ -x "root/$file" ] || die "the packages of QEMU $version do not have $program"
		{
			printf '#!/bin/sh\n# QEMU %s, Debian %s\n' "$package" "$suite"
			printf 'root=${0%%/*}/../root\n'
			printf 'exec "$root/usr/bin/ld.so" --library-path "%s" "$root/%s"' "$libraries" "$file"
			# QEMU 5.2 does not use qemu-bundle, and has no modules.
			if [ "$program" = qemu-system-x86_64 ] && ! grep -q qemu-bundle "root/$file"; then
				printf ' -L "$root/usr/share/%s"' qemu seabios
			fi
			printf ' "$@"\n'
		} >"bin/$program"
		chmod +x "bin/$program"
	done
)

# try checks that the programs run, that they have the version after which their
# folder will be named, and that they load no library from outside that folder.
try() {
	for program in $programs; do
		words=$("$work/new/bin/$program" --version 2>&1) || die "$program $version does not run: $words"
		case $words in
		*" $version".[0-9]*) ;;
		*) die "$program of $package is not of version $version: $words" ;;
		esac
		libraries=$(sed '/^root=/d; s/ --library-path / --list&/; s/ -L .*//' "$work/new/bin/$program" |
			root=$work/new/root sh) || die "cannot list the libraries of $program $version"
		foreign=$(printf '%s\n' "$libraries" | awk -v root="$work/new/root/" '$2 == "=>" && index($3, root) != 1')
		[ -z "$foreign" ] || die "$program $version needs libraries that its packages lack:
$foreign"
	done
	# The default machine needs firmware and an accelerator, which may be a module.
	words=$(echo quit | "$work/new/bin/qemu-system-x86_64" -nodefaults -display none -accel tcg -monitor stdio -S 2>&1) ||
		die "a machine of QEMU $version does not start: $words"
}

# cached prints the version's folder in the cache, or nothing if the cache lacks it.
cached() {
	if [ "$version" != newest ]; then
		[ ! -d "$cache/$version" ] || printf '%s\n' "$cache/$version"
		return
	fi
	grep -lsx "$suite" "$cache"/[0-9]*/suite | sed 's,/suite$,,' | sort -V | tail -n 1
}

# fetch prints the folder of one version's programs. A rename puts the whole version
# into the cache, so the cache has all of it or nothing. A lock lets one process fetch
# at a time.
fetch() {
	version=$1
	suite=$(printf '%s\n' "$table" | awk -v version="$version" '$1 == version || version == "newest" { suite = $2 } END { print suite }')
	[ -n "$suite" ] || die "unknown version $version; known are $(printf '%s\n' "$table" | awk '{ printf "%s, ", $1 }')and newest"
	folder=$(cached)
	if [ -z "$folder" ]; then
		for tool in apt-get apt-cache dpkg-deb flock; do
			command -v "$tool" >/dev/null || die "fetching QEMU needs Debian's apt and dpkg, and flock: this machine has no $tool"
		done
		mkdir -p "$cache" || die "cannot make the cache"
		exec 9>"$cache/.lock"
		flock 9
		folder=$(cached) # another process may have fetched it meanwhile
	fi
	if [ -z "$folder" ]; then
		archive=$(mirror)
		[ -n "$archive" ] || die "this machine's apt uses no Debian archive; set QMP_TEST_MIRROR to the address of one"
		work=$cache/.work
		rm -rf "$work"
		settings deb
		unpack
		folder=$cache/$version
		if [ -d "$work/new" ]; then
			wrap
			try
			mv "$work/new" "$folder"
		fi
		rm -rf "$work"
	fi
	exec 9>&-
	printf '%s\n' "$folder/bin"
}

# fetch_tests prints the folder of one version's tests.
fetch_tests() {
	version=$1
	# Debian has no source package of 11.1 that can be fetched, and the Python packages
	# left QEMU's tree before it.
	case $version in 11.1 | newest) version=10.0 ;; esac
	suite=$(printf '%s\n' "$table" | awk -v version="$version" '$1 == version { print $2 }')
	[ -n "$suite" ] || die "unknown version $version"
	folder=${cache%/*}/qemu-tests/$version
	if [ ! -d "$folder" ]; then
		for tool in apt-get flock tar xz; do
			command -v "$tool" >/dev/null || die "fetching QEMU's tests needs Debian's apt, flock, tar and xz: this machine has no $tool"
		done
		mkdir -p "${folder%/*}" || die "cannot make the cache"
		exec 9>"${folder%/*}/.lock"
		flock 9
	fi
	if [ ! -d "$folder" ]; then
		archive=$(mirror)
		[ -n "$archive" ] || die "this machine's apt uses no Debian archive; set QMP_TEST_MIRROR to the address of one"
		work=${folder%/*}/.work
		rm -rf "$work"
		settings deb-src
		logged apt-get -q -c "$work/apt.conf" update ||
			die "apt could not read the list of source packages of Debian's $suite from $archive"
		mkdir -p "$work/source" "$work/new"
		say "fetching the source package of QEMU $version from Debian's $suite into ${folder%/*}"
		(cd "$work/source" && logged apt-get -q -c "$work/apt.conf" source --download-only qemu) ||
			die "apt could not fetch the source package of QEMU $version from Debian's $suite at $archive"
		package=$(sed -n 's/^Version: //p' "$work"/source/*.dsc | head -n 1)
		case $package in
		*:"$version"[.+]*) ;;
		*) die "Debian's $suite now has the source of QEMU $package instead of $version" ;;
		esac
		# tar fails because some versions lack some of the sources. What must be there is
		# looked for below. The patterns are split into words on purpose.
		# shellcheck disable=SC2086
		tar -xJf "$work"/source/*.orig.tar.xz -C "$work/new" --strip-components=1 --wildcards $sources 2>"$work/log" || true
		for needed in python/qemu/machine python/qemu/qmp tests/qemu-iotests/check; do
			[ -e "$work/new/$needed" ] || {
				tail -n 5 "$work/log" >&2
				die "the source package of QEMU $version lacks $needed"
			}
		done
		printf '%s\n' "$package" >"$work/new/package"
		mv "$work/new" "$folder"
		rm -rf "$work"
	fi
	exec 9>&-
	printf '%s\n' "$folder"
}

what=fetch
if [ "${1:-}" = --tests ]; then
	what=fetch_tests
	shift
	[ $# -gt 0 ] || die '--tests needs a version'
fi
[ $# -gt 0 ] || set -- $(printf '%s\n' "$table" | cut -d' ' -f1)
for wanted; do
	"$what" "$wanted"
done
