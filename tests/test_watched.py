"""Watched processes: what crashes or hangs is blamed, everything else is done, and nothing is left behind."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from pathlib import Path

import pytest

from antipodal.errors import AntipodalError
from antipodal.watched import Lost, Task, Watched, run_watched, start_child

Words = tuple[str, ...]


def blamed(job: Words, place: str, reason: str) -> Words:
    """Without the word, and with what was said of it."""
    return (*(word for word in job if word != place), f"({place} {reason})")


def task(entry: str = "watched_children:serve") -> Task[Words, str]:
    """A minute for each word, a second for "hang"."""
    return Task(entry, lambda job, place: 1.0 if place == "hang" else 60.0, blamed, "bye")


def test_every_job_is_done_once_and_greeted_whatever_the_number_of_workers() -> None:
    jobs = [(f"job{i}",) for i in range(7)]
    assert sorted(run_watched(task(), iter(jobs), 3)) == [f"job{i}: bye" for i in range(7)]
    assert list(run_watched(task(), [], 2)) == []


def test_what_crashes_twice_or_hangs_is_left_out_with_its_reason() -> None:
    jobs = [("a", "crash", "b"), ("leave",), ("c",), ("hang", "d")]
    assert sorted(run_watched(task(), jobs, 2)) == [
        "(leave ended its worker 2 times (exit code 3)): bye",
        "a b (crash crashed its worker 2 times (SIGSEGV)): bye",
        "c: bye",
        "d (hang took longer than 1 s): bye",
    ]


def test_a_death_that_does_not_come_again_costs_nothing(tmp_path: Path) -> None:
    word = f"once {tmp_path / 'killed'}"
    worker = Watched(task())
    assert worker.run((word,)) == f"{word}: bye"
    assert worker.run(("next",)) == "next: bye"
    worker.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_what_the_system_refuses_a_child_is_raised_as_it_came(tmp_path: Path) -> None:
    worker = Watched(task())
    with pytest.raises(OSError, match="No space left on device"):
        worker.run(("write /dev/full",))
    with pytest.raises(IsADirectoryError) as refused:
        worker.run((f"write {tmp_path}",))
    assert refused.value.filename == str(tmp_path)
    worker.close()


def test_what_the_user_can_mend_comes_in_words_and_a_bug_with_its_traceback() -> None:
    worker = Watched(task())
    with pytest.raises(AntipodalError, match="the jaws are closed: open them"):
        worker.run(("refuse",))
    with pytest.raises(RuntimeError, match=r"(?s)at stumble.*in work.*KeyError: 'no such thing'"):
        worker.run(("stumble",))
    assert worker.run(("on",)) == "on: bye"  # the same child goes on
    worker.close()


def test_a_child_that_does_not_start_is_said_to(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AntipodalError, match="end before their first object: ended its worker"):
        Watched(task("watched_children:nothing")).run(("a",))
    assert "ImportError" in capfd.readouterr().err


def test_closing_ends_a_child_in_the_middle_of_its_job() -> None:
    worker = Watched(dataclasses.replace(task(), limit=lambda job, place: 600.0))
    lost: list[Exception] = []

    def run() -> None:
        try:
            worker.run(("a", "hang"))
        except Lost as error:
            lost.append(error)

    assert worker.run(("warm",)) == "warm: bye"
    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.2)  # it may be anywhere between its start and the hang
    worker.close()
    thread.join(60)
    assert not thread.is_alive()
    assert len(lost) == 1
    with pytest.raises(Lost):
        worker.run(("b",))


def test_a_child_ends_when_its_caller_hangs_up_also_at_work() -> None:
    child = start_child("watched_children:serve")
    assert child.ask("bye", 60.0) == "ready"
    assert child.ask(("hang",), 60.0) == ("at", "hang")
    child.pipe.close()
    assert child.process.wait(60) == 0


def test_an_interrupt_is_for_the_caller() -> None:
    child = start_child("watched_children:serve")
    assert child.ask("bye", 60.0) == "ready"
    child.process.send_signal(signal.SIGINT)
    assert child.ask(("a",), 60.0) == ("at", "a")
    assert child.hear(60.0) == ("done", "a: bye")
    child.end()
