# Stands in for the tests when configure has not found what they need.
echo "Bail out! make check needs cmocka and a python3 that has pytest, and configure did not find both:" \
	"run ./bootstrap, or install libcmocka-dev (Fedora: libcmocka-devel) and python3-pytest and configure again"
exit 1
