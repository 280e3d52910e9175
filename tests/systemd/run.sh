# The tests of this folder, inside a real, throw-away systemd into which the build is installed.
here=$(dirname "$(readlink -f "$0")")

# In CI a reason to skip is a failure.
skip() {
	echo 1..1
	if [[ ${CI-} = true ]]; then
		echo "not ok 1 - tests/systemd # $*"
		exit 1
	fi
	echo "ok 1 - tests/systemd # SKIP $*"
	exit 0
}

[[ $EUID = 0 ]] || skip 'needs root'
for tool in systemd-nspawn systemd-run nsenter unshare setpriv dbus-daemon; do
	command -v $tool >/dev/null || skip "needs $tool (packages systemd, systemd-container, dbus, util-linux)"
done

stage=$(mktemp -d "$TWINED_BUILD/systemd-test.XXXXXX") && chmod 755 "$stage" || exit 1
trap 'rm -rf "$stage" "$stage.log"' EXIT
if ! env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$TWINED_BUILD" install DESTDIR="$stage" >"$stage.log" 2>&1
then
	cat "$stage.log"
	echo 'Bail out! make install failed'
	exit 1
fi
ini=$(cd "$stage" && find . -path '*/twined/twined.ini' -printf '/%P\n')
case $ini in
/tmp/*|/home/*|/root/*|/run/*) skip "the build is configured for $ini, which units cannot see" ;;
esac

# The container has the host's files, but not what is mounted over them: hence the two bound folders.
bash "$here/with-systemd" -t 600 -r "$stage:/opt/twined-stage" -r "$TWINED_SOURCE:/opt/twined-source" \
	-e CI="${CI-}" -e TWINED_INI="$ini" -e TWINED_SOURCE=/opt/twined-source \
	-e PYTHONPATH=/opt/twined-source/tests -e PYTHONDONTWRITEBYTECODE=1 -- \
	bash -c 'echo "# booted" && cp -a /opt/twined-stage/. / && systemctl daemon-reload && exec "$@"' bash \
	"$PYTHON3" -m pytest -q -p pytest_tap -p no:cacheprovider --rootdir=/opt/twined-source \
	/opt/twined-source/tests/systemd "$@" | tee "$stage.log"
rc=${PIPESTATUS[0]}
grep -q '^# booted' "$stage.log" || skip 'no systemd could be booted here, the log says why'
exit $rc
