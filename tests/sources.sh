# Every file that the build must know stands in Makefile.am.
cd "$TWINED_SOURCE" || exit 1

number=0
failed=0
check() {	# what, file...
	local what=$1 missing='' file
	shift
	for file; do
		[[ -e $file ]] || continue
		grep -qE "(^|[[:space:]])${file//./\\.}([[:space:]]|\$)" Makefile.am || missing+=" $file"
	done
	number=$((number + 1))
	if [[ $missing ]]; then
		echo "not ok $number - $what is listed in Makefile.am: not$missing"
		failed=1
	else
		echo "ok $number - $what is listed in Makefile.am"
	fi
}

shopt -s globstar nullglob
echo 1..6
check 'every source of the daemon' daemon/**/*.[ch]
units=(tests/unit/test_*.c)
check 'every unit test' "${units[@]%.c}"
check 'every other source of the unit tests' $(printf '%s\n' tests/unit/*.[ch] | grep -v '^tests/unit/test_.*\.c$')
check 'every system test' tests/system/test_*.py
targets=(tests/fuzz/fuzz_*.c)
check 'every fuzz target' "${targets[@]%.c}"
check 'every manual page' {daemon,conf}/*.[1-8]
