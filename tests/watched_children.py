"""Children for the tests of watched processes: a job is a list of words, each done in turn."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

from antipodal.errors import InvalidConfig
from antipodal.watched import At, listen, work_off


def serve(pipe: Connection) -> None:
    """Say the greeting after each job."""
    inbox = listen(pipe)
    greeting = inbox.get()
    work_off(pipe, inbox, lambda job, at: f"{work(job, at)}: {greeting}")


def work(job: tuple[str, ...], at: At) -> str:
    """Do what each word says."""
    for word in job:
        at(word)
        if word == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif word == "leave":
            os._exit(3)
        elif word == "hang":
            time.sleep(1000)
        elif word == "refuse":
            raise InvalidConfig("the jaws are closed: open them")
        elif word.startswith("write "):
            Path(word.removeprefix("write ")).write_text("a part")
        elif word == "stumble":
            raise KeyError("no such thing")
        elif word.startswith("once "):  # the path of a file that remembers
            done = Path(word.removeprefix("once "))
            if not done.exists():
                done.touch()
                os.kill(os.getpid(), signal.SIGKILL)
    return " ".join(job)
