import json
import os
import signal
import socket
import statistics
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from asap.cli import main
from asap.core.errors import InputError
from asap.core.manifest import Manifest
from asap.stores.pairs import PairStore, PairWriter
from asap.stores.reviews import ReviewJournal, read_reviews
from asap.workflows.datasets.review import StoredPairs, review
from tests.review.samples import write_decision
from tests.review.server import command, served
from tests.stores.samples import chunk_pairs


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("review") / "pairs"
    with PairWriter(root, {"size": 32}, 8) as writer:
        for number in range(2):
            writer.write_chunk(number, chunk_pairs(number, 8), Counter(), 0.5)
        writer.finish(Manifest(kind="pairs"))
    return root


def test_the_page_sees_the_store_as_it_is(pairs: Path) -> None:
    store, seen = PairStore.open(pairs), StoredPairs(PairStore.open(pairs))
    assert [facts.uid for facts in seen.facts()] == store.column("uid")
    row, facts = store.row(3), seen.facts()[3]
    for name, value in vars(facts).items():
        assert value == getattr(row, name), name
    assert seen.image(facts.uid, "rejected") == store.column("rejected")[3]
    with pytest.raises(KeyError):
        seen.image("../pairs", "chosen")


def test_every_decision_that_was_answered_survives_a_kill(pairs: Path) -> None:
    uids = PairStore.open(pairs).column("uid")
    words = ("accept", "reject", "unsure")
    with served(pairs, "--reviewer", "anna") as server:
        for number, uid in enumerate(uids[:9]):
            server.decide(uid, words[number % 3], "leak" if number % 2 else "")
        assert server.ask("/api/undo", {"undoes": 8})["last"] == 7
        shown = server.ask("/api/session")["decisions"]
        server.kill()
    path = pairs.with_name("pairs.reviews") / "anna" / "decisions.jsonl"
    assert len(path.read_bytes().splitlines()) == 10
    with path.open("ab") as file:
        file.write(b'{"action":"decide","uid":"' + uids[9].encode())  # what a kill in the midst of a line leaves
    with served(pairs, "--reviewer", "anna") as server:
        session = server.ask("/api/session")
        assert (
            session["decisions"]
            == shown
            == {
                uid: {"decision": words[number % 3], "error": "leak" if number % 2 else ""}
                for number, uid in enumerate(uids[:8])
            }
        )
        assert session["last"] == 7
        assert server.ask("/api/undo", {"undoes": 7})["uid"] == uids[7]
        assert server.decide(uids[9])["last"] == 11
        server.kill()
    assert [row["uid"] for row in read_reviews(pairs)["anna"]][-2:] == [uids[7], uids[9]]


def test_the_decisions_of_others_are_shown_and_hidden_when_blind(pairs: Path) -> None:
    uid = write_decision(pairs, "first", 0, "reject", "leak")
    with served(pairs, "--reviewer", "second") as server:
        assert server.ask("/api/session")["others"]["first"] == {uid: {"decision": "reject", "error": "leak"}}
    with served(pairs, "--reviewer", "third", "--blind") as server:
        assert server.ask("/api/session")["others"] == {}


def test_only_loopback_listens_and_only_with_the_token(pairs: Path) -> None:
    with served(pairs, "--reviewer", "dora") as server:
        bound = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if " 0A " in line]
        assert f"0100007F:{server.port:04X}" in bound
        assert f"00000000:{server.port:04X}" not in bound
        assert len(server.token) >= 32
        for path in ("/", "/api/session", f"/?token={server.token[:-1]}"):
            with pytest.raises(urllib.error.HTTPError, match="401") as refused:
                urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}")
            refused.value.close()
        with served(pairs, "--reviewer", "emil") as other:
            assert other.token != server.token
            with pytest.raises(urllib.error.HTTPError, match="401") as refused:
                urllib.request.urlopen(f"http://127.0.0.1:{other.port}/?token={server.token}")
            refused.value.close()


def test_the_command_ends_well_and_writes_no_token_to_its_log(pairs: Path) -> None:
    with served(pairs, "--reviewer", "fritz") as server:
        token = server.token
        server.decide(PairStore.open(pairs).column("uid")[0])
        server.process.send_signal(signal.SIGINT)
        out, err = server.process.communicate(timeout=30)
        assert server.process.returncode == 130
    assert out == ""
    assert token not in err
    assert err.splitlines()[-1].startswith("asap: stopped")
    assert not (pairs.with_name("pairs.reviews") / "fritz" / ".lock").exists()


def test_one_server_for_each_reviewer(pairs: Path) -> None:
    with served(pairs, "--reviewer", "gerd"):
        second = command(pairs, "--reviewer", "gerd")
        _, err = second.communicate(timeout=60)
        assert second.returncode == 2
        assert "is being written by process" in err
        assert err.count("\n") == 1


def test_a_port_in_use_is_said(pairs: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match=r"cannot listen on port \d+: .*--port"):
            review(pairs, reviewer="hans", port=taken.getsockname()[1], browser=False)
    with pytest.raises(InputError, match="at most 65535"):
        review(pairs, reviewer="hans", port=70000, browser=False)
    with ReviewJournal(pairs, "hans"):
        pass  # the lock was given back


def test_what_cannot_be_reviewed_is_said(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pairs", "review", str(tmp_path), "--no-browser"]) == 2
    assert "is not a pair store" in capsys.readouterr().err
    assert main(["pairs", "review", str(pairs), "--no-browser", "--reviewer", "../x"]) == 2
    assert "lower-case letters" in capsys.readouterr().err
    assert not os.path.exists(tmp_path.parent / f"{tmp_path.name}.reviews")


def test_a_decision_is_quick(pairs: Path) -> None:
    """Medians of 50 with the sync to disk: 2 to 5 ms on an idle machine, 15 ms at ten times its load.

    The way there and back over one connection adds 5 ms; it added 50 before Nagle's delay was turned off.
    """
    uid = PairStore.open(pairs).column("uid")[0]
    body = json.dumps({"uid": uid, "decision": "accept", "error": "", "seconds": 1})
    inside, around = [], []
    with served(pairs, "--reviewer", "ida") as server, closing(HTTPConnection("127.0.0.1", server.port)) as line:
        for _ in range(50):
            started = time.perf_counter()
            line.request("POST", "/api/decisions", body, server.headers)
            inside.append(json.loads(line.getresponse().read())["milliseconds"])
            around.append(1000 * (time.perf_counter() - started) - inside[-1])
    assert statistics.median(inside) < 100
    assert statistics.median(around) < 35
