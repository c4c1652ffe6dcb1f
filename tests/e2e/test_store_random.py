"""Any sequence of changes, kills and restarts: the store always holds what a model of it in
Python says. The seed of a sequence that fails is printed; STORE_SEED repeats it."""

import os
import random
import threading

import httpx
import pytest

from conftest import Modeld
from registry_fixtures import memory, push, registry, store
from store_fixtures import (Load, Prune, Pull, Remove, Repackage, Tag, check_whole, index, listed,
                            on_disk, play, reachable, small)

STEPS = 200
TAGS = ["a:1", "a:2", "b:1", "c", "deep/er:v1"]
# They share layers in pairs.
MODELS = [small(f"random {i}", 5000 + i, 100 + i // 2) for i in range(4)]


@pytest.fixture(scope="module")
def variants(memory, tmp_path_factory):
    """The ids of the models' variants: {(model, size): [id]}."""
    store = memory / "variants"
    m = Modeld(tmp_path_factory.mktemp("variants"), store)
    made = {}
    for model in MODELS:
        play(m, store, Load(model), index(store))
        for size in (64, 128):
            made[model.id, size] = []
            play(m, store, Repackage(model, f"x:{size}", size, made[model.id, size]), index(store))
    m.stop()
    return made


@pytest.fixture(scope="module")
def pulls(registry):
    for i, model in enumerate(MODELS):
        push(registry.url, f"ai/random{i}", "v1", model)
    return [Pull(registry, f"ai/random{i}", model) for i, model in enumerate(MODELS)]


class Sequence:
    def __init__(self, seed, folder, store, variants, pulls):
        self.random = random.Random(seed)
        self.folder, self.store = folder, store
        self.variants, self.pulls = variants, pulls
        self.starts = 0
        self.has_garbage = False  # a kill may have left some
        self.modeld = None
        self.start()
        self.state = {}

    def start(self):
        folder = self.folder / str(self.starts)
        folder.mkdir()
        self.starts += 1
        self.modeld = Modeld(folder, self.store)

    def change(self):
        r = self.random
        model = r.choice(MODELS)
        size = r.choice((64, 128))
        return r.choice([
            lambda: Load(model), lambda: Tag(model, r.choice(TAGS)),
            lambda: Tag(model, r.choice(TAGS)), lambda: Remove(r.choice(TAGS)),
            lambda: Remove(model, r.random() < 0.5), lambda: r.choice(self.pulls),
            lambda: Repackage(model, r.choice(TAGS), size, self.variants[model.id, size]),
            lambda: Prune()])()

    def kill_during(self, change):
        timer = threading.Timer(self.random.random() * 0.02, self.modeld.process.kill)
        timer.start()
        try:
            change.run(self.modeld.http)
        except (httpx.TransportError, ValueError, IndexError):
            pass
        timer.join()
        self.modeld.process.wait()
        self.modeld.http.close()
        possible = [self.state, *(s for s in change.after(self.state) if s is not None)]
        self.start()
        self.state = index(self.store)
        assert self.state in possible, change
        self.has_garbage = True

    def step(self):
        change = self.change()
        action = self.random.choices(["play", "kill", "restart"], [85, 10, 5])[0]
        print(action, change)
        if action == "restart":
            self.modeld.stop()
            self.start()
        if action == "kill":
            self.kill_during(change)
        else:
            self.state = play(self.modeld, self.store, change, self.state)
        assert listed(self.modeld) == self.state
        if isinstance(change, Prune):
            check_whole(self.modeld, self.store)
            self.state = index(self.store)  # where a kill came before it, it was done now
            self.has_garbage = False
        have, must = on_disk(self.store), reachable(self.store)
        assert all(m <= h for m, h in zip(must, have))
        assert self.has_garbage or have == must

    def end(self):
        check_whole(self.modeld, self.store)
        self.modeld.stop()


@pytest.mark.parametrize("which", ["1", "2", "3", "new"])
def test_a_sequence_of_changes_does_what_it_says(which, tmp_path, store, variants, pulls):
    seed = os.environ.get("STORE_SEED") or (
        which if which != "new" else os.urandom(4).hex())
    print(f"STORE_SEED={seed}")
    s = Sequence(seed, tmp_path, store, variants, pulls)
    for _ in range(STEPS):
        s.step()
    s.end()
