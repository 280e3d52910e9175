# make install keeps an edited configuration, and make uninstall does too.
root=$(mktemp -d "$TWINED_BUILD/install-test.XXXXXX") || exit 1
trap 'rm -rf "$root"' EXIT

number=0
check() {	# what, command...
	local what=$1
	shift
	number=$((number + 1))
	if "$@"; then echo "ok $number - $what"; else echo "not ok $number - $what"; fi
}
build() {
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$TWINED_BUILD" "$@" DESTDIR="$root" >"$root/log" 2>&1 ||
		{ cat "$root/log"; echo 'Bail out! make failed'; exit 1; }
}
content() { [[ $(<"$1") = "$2" ]]; }

echo 1..9
build install
ini=$(find "$root" -path '*/twined/twined.ini')
check 'the configuration is installed' cmp -s "$ini" "$TWINED_SOURCE/conf/twined.ini"
check 'and the folder that it includes' test -d "${ini%/*}/twined.d"
check 'the manual pages are installed' test "$(find "$root" -name 'twined*.[58]' | wc -l)" = 2

echo 'an older default' >"$ini"
echo 'an older default' >"$ini.default"
build install
check 'a configuration that was not edited follows the default' cmp -s "$ini" "$TWINED_SOURCE/conf/twined.ini"

echo 'edited' >"$ini"
touch "${ini%/*}/twined.d/mine.ini"
build install
check 'an edited configuration stays' content "$ini" edited
check 'and the new default stands beside it' cmp -s "$ini.default" "$TWINED_SOURCE/conf/twined.ini"

build uninstall
check 'make uninstall leaves the edited configuration' content "$ini" edited
check 'and what it includes' test -e "${ini%/*}/twined.d/mine.ini"
rm -f "$root/log"
check 'and nothing else' test "$(find "$root" -type f | wc -l)" = 2
