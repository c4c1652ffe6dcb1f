"""A pytest plugin: where CI is set, a skipped test is a failed one.

A test that cannot run on a person's machine says why and is skipped; on the
machine that decides what lands, everything that it needs must be there.
"""

import os

import pytest


def refuse(report):
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"CI allows no skip: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return refuse((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return refuse((yield))
