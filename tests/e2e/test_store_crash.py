"""The store when modeld is killed, the power fails or the disk does, at every change that it
makes to the folder: it opens, holds all that was reported done, and nothing wrong."""

import pytest

from conftest import is_sanitized
from registry_fixtures import memory, push, registry
from store_fixtures import (Crash, Load, Prune, Pull, Remove, Repackage, Tag, chosen, crashes,
                            small)

A = small("a", 150000, 700)
B = small("b", 3000, 700)
VARIANT = []
CHANGES = [
    Load(A), Tag(A, "a:1"), Load(B), Tag(B, "b:1"), Tag(A, "a:2"),
    Repackage(A, "wide:1", 99, VARIANT), Tag(B, "a:2"), Remove("b:1"), Remove(B), Load(B), Prune(),
    Load(B), Tag(B, "b:2"), Remove(A, force=True), Remove("wide:1")]
MB = 1 << 20


def dry_run(folder, changes):
    """All goes well: the changes that there are to fail."""
    c = Crash(folder)
    assert c.run(changes)
    points = c.points()
    c.check()
    return points


def try_each(folder, changes, points, mode, often, after=()):
    """Gives how many of the runs the fault ended."""
    picked = chosen(points, mode, 0 if is_sanitized() else often)
    ended = 0
    for at in picked:
        c = Crash(folder)
        print(f"mode={mode} at={at} change={points[at - 1]}")
        ended += not c.run(changes, at, mode)
        c.check(after)
    return ended, len(picked)


@pytest.fixture(scope="module")
def points(memory):
    return dry_run(memory, CHANGES)


@pytest.mark.parametrize("mode,often", [("kill", None), ("undo", 2), ("zero", 1), ("torn", 1)])
def test_a_crash_at_any_change_loses_nothing_that_was_done(crashes, points, mode, often):
    ended, n = try_each(crashes, CHANGES, points, mode, often)
    assert ended == n > 5


@pytest.mark.parametrize("mode", ["eio", "full"])
def test_a_disk_that_fails_at_any_change_is_told_and_survived(crashes, points, mode):
    try_each(crashes, CHANGES, points, mode, 1)


def pushed(registry, memory, *sizes):
    model = small(f"pulled {sizes}", *sizes)
    repo = f"ai/crash{sizes[0]}"
    push(registry.url, repo, "v1", model)
    change = Pull(registry, repo, model)
    return change, dry_run(memory, [change])


@pytest.fixture(scope="module")
def plain(registry, memory):
    return pushed(registry, memory, 2 * MB, 700)


@pytest.fixture(scope="module")
def ranges(registry, memory):
    """Its first layer comes in two pieces, its second has no bytes."""
    return pushed(registry, memory, 33 * MB, 0)


@pytest.mark.parametrize("mode", ["kill", "undo", "zero", "torn", "eio", "full"])
def test_a_pull_that_crashes_at_any_change_can_be_repeated(crashes, plain, mode):
    change, points = plain
    try_each(crashes, [change], points, mode, 1, after=[change])


@pytest.mark.parametrize("mode", ["kill", "undo"])
def test_so_can_one_in_several_pieces(crashes, ranges, mode):
    change, points = ranges
    try_each(crashes, [change], points, mode, 0, after=[change])
