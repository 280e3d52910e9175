"""A pytest plugin that tells every result as a line of TAP, which make check counts."""

import os

import pytest

# Before pytest begins to capture.
_out = os.dup(1)
_count = 0


def _line(text):
    os.write(_out, (text + "\n").encode("utf-8", "backslashreplace"))


def _result(passed, name, directive=""):
    global _count
    _count += 1
    name = name.replace("#", "").encode("unicode_escape").decode()
    _line(f"{'ok' if passed else 'not ok'} {_count} - {name}{directive}")


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report):
    """Keeps pytest's own dots out of the lines."""
    told = report.when == "call" or report.outcome != "passed"
    return report.outcome if told else "", "", ""


def pytest_runtest_logreport(report):
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else "expected failure"
        reason = " ".join(str(reason).removeprefix("Skipped: ").split())
        _result(True, report.nodeid, f" # SKIP {reason}")
    elif report.failed:
        _result(False,
                report.nodeid if report.when == "call" else f"{report.nodeid} ({report.when})")
    elif report.when == "call":
        _result(True, report.nodeid)


def pytest_collectreport(report):
    if report.failed:
        _result(False, report.nodeid or "collection")


def pytest_sessionfinish(session, exitstatus):
    if _count == 0:
        _line("Bail out! no test was found")
    else:
        _line(f"\n1..{_count}")     # behind what pytest says of its progress
    # A failed test has been told; anything else that is wrong stays an error of its own.
    if exitstatus == pytest.ExitCode.TESTS_FAILED:
        session.exitstatus = pytest.ExitCode.OK
