"""Several modelds on one store at one time, and a program that takes no lock."""

import concurrent.futures
import json
import os
import threading

from conftest import eventually
from registry_fixtures import memory, push, registry, store
from store_fixtures import (Load, Prune, Pull, Remove, Tag, check_whole, index, listed,
                            name, on_disk, reachable, small, tar_of)

PROCESSES = 3
ROUNDS = 12


def done(r):
    assert 200 <= r.status_code < 300, r.text
    return r


def work(m, number, registry):
    """Comes and goes with models of its own, whose layers are others' too; ends with one."""
    tag = f"w{number}"
    for i in range(ROUNDS):
        mine = small(f"{number} {i}", 3000, 500)
        # Another may prune the model before it has its name.
        for _ in range(50):
            done(Load(mine).run(m.http))
            if Tag(mine, f"{tag}:{i}").run(m.http).status_code == 201:
                break
        else:
            raise AssertionError("never tagged")
        done(Tag(mine, f"{tag}:now").run(m.http))
        done(Pull(registry, f"ai/many{number}", None).run(m.http))
        assert m.http.get(f"/models/ai/{tag}:now").json()["id"] == mine.id
        done(Remove(f"{tag}:{i}").run(m.http))
        if i + 1 < ROUNDS:
            done(Remove(f"{tag}:now").run(m.http))
            done(m.http.delete(f"/models/{registry.host}/ai/many{number}:v1"))
    return mine


def test_changes_of_several_processes_are_all_made(registry, start, store):
    for n in range(PROCESSES):
        push(registry.url, f"ai/many{n}", "v1", small(f"pulled {n}", 4000, 500))
    modelds = [start(store) for _ in range(PROCESSES)]
    pruner, is_over, seen = start(store), threading.Event(), []

    def prune():
        while not is_over.is_set():
            done(Prune().run(pruner.http))

    def read():
        """Readers take no lock, and see whole states only."""
        while not is_over.is_set():
            seen.append(len(json.loads((store / "models.json").read_bytes())["models"] or []))
            assert pruner.http.get("/models").status_code == 200

    with concurrent.futures.ThreadPoolExecutor(PROCESSES + 2) as pool:
        beside = [pool.submit(prune), pool.submit(read)]
        try:
            left = list(pool.map(work, modelds, range(PROCESSES), [registry] * PROCESSES))
        finally:
            is_over.set()
        for b in beside:
            b.result()
    assert len(seen) > 10
    want = {m.id: [name(f"w{n}:now")] for n, m in enumerate(left)}
    want.update({small(f"pulled {n}", 4000, 500).id: [f"{registry.host}/ai/many{n}:v1"]
                 for n in range(PROCESSES)})
    for m in modelds:
        assert listed(m) == want
    assert on_disk(store) == reachable(store)
    check_whole(pruner, store)


def test_two_processes_pull_one_model(registry, start, store):
    model = small("both", 9 << 20, 500)
    push(registry.url, "ai/both", "v1", model)
    pull = Pull(registry, "ai/both", model)
    modelds = [start(store) for _ in range(2)]

    def until_done(m):
        for _ in range(100):
            r = pull.run(m.http)
            if r.status_code == 200:
                return True
            assert "another program is fetching" in r.text, r.text
        return False

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert all(pool.map(until_done, modelds))
    assert index(store) == {model.id: [pull.ref]}
    check_whole(modelds[0], store)


def test_a_load_is_not_hurt_by_a_prune_of_another_process(start, store):
    a, b = start(store), start(store)
    tar = tar_of(small("slow", 200000, 700))
    pruned = []

    def pieces():
        for i in range(0, len(tar), 20000):
            yield tar[i:i + 20000]
            pruned.append(done(Prune().run(b.http)).json())

    done(a.http.post("/models/load", content=pieces(),
                     headers={"Content-Length": str(len(tar))}))
    assert len(pruned) > 10
    check_whole(a, store)


def test_one_that_is_killed_holds_nothing_up(start, store):
    """Its lock and its leases go with it."""
    a, b = start(store), start(store)
    model = small("killed", 200000, 700)
    tar = tar_of(model)
    s = a.connect()
    s.sendall(f"POST /models/load HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(tar)}"
              "\r\n\r\n".encode() + tar[:-5000])
    first = model.names[0].split(":")[1]
    eventually(lambda: first in on_disk(store)[0])
    done(Prune().run(b.http))
    assert first in on_disk(store)[0]
    a.process.kill()
    a.process.wait()
    s.close()
    done(Prune().run(b.http))
    assert first not in on_disk(store)[0]
    done(Load(model).run(b.http))
    check_whole(b, store)


def dmr_writes(store, change):
    """As Docker Model Runner does it: reads, changes and renames, without a lock."""
    text = json.loads((store / "models.json").read_text())
    change(text)
    temp = store / "models.json.tmp-1234567"
    temp.write_text(json.dumps(text, indent=2))
    os.chmod(temp, 0o644)
    temp.rename(store / "models.json")


def test_a_program_without_locks_breaks_nothing(start, store):
    """It may lose a change of ours, or bring back what we deleted: the store opens, tells
    what is missing, and the same change made again mends it."""
    m = start(store)
    model, other = small("ours", 3000, 500), small("other", 2000, 500)
    for change in (Load(model), Tag(model, "a:1"), Load(other), Tag(other, "b:1")):
        done(change.run(m.http))
    old = (store / "models.json").read_text()
    # It wrote what it had read before our tag came.
    done(Tag(model, "a:2").run(m.http))
    (store / "models.json").write_text(old)
    assert listed(m) == {model.id: [name("a:1")], other.id: [name("b:1")]}
    done(Tag(model, "a:2").run(m.http))
    # It did not know that the model is gone.
    done(Remove(other, force=True).run(m.http))
    assert other.id not in listed(m)
    dmr_writes(store, lambda text: text["models"].append(json.loads(old)["models"][1]))
    assert listed(m) == {model.id: sorted([name("a:1"), name("a:2")])}
    assert "model left out of the list" in m.log()
    r = m.http.post("/models/verify")
    assert "it is missing" in r.text and other.id in r.text
    done(Load(other).run(m.http))
    assert listed(m)[other.id] == [name("b:1")]
    check_whole(m, store)


def test_many_changes_beside_a_program_without_locks(start, store):
    """Either may lose a change of the other, as two of its kind do; nothing breaks."""
    m = start(store)
    model = small("both", 3000, 500)
    done(Load(model).run(m.http))
    n = 100

    def theirs():
        for i in range(n):
            dmr_writes(store, lambda text: text["models"][0].update(
                tags=[*(text["models"][0]["tags"] or []), f"docker.io/dmr/x:{i}"]))

    thread = threading.Thread(target=theirs)
    thread.start()
    for i in range(n):
        done(Tag(model, f"ours:{i}").run(m.http))
    thread.join()
    assert index(store) == listed(m)
    done(Tag(model, "ours:last").run(m.http))
    assert name("ours:last") in index(store)[model.id]
    check_whole(m, store)
