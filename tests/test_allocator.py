"""Memory that is freed between steps."""

from __future__ import annotations

import sys

import pytest
import torch

from antipodal.nn.allocator import kept_memory

resource = pytest.importorskip("resource", reason="counts pages as Unix does")


def pages_asked_for() -> int:
    """Of the kernel, by a step that makes and drops eight blocks of 64 MiB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = torch.ones(2**26, dtype=torch.uint8)
    for _ in range(8):
        block = block + 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's own setting")
def test_what_a_step_frees_is_there_for_the_next_and_goes_back_at_the_end() -> None:
    with kept_memory():
        for _ in range(4):
            within = pages_asked_for()
    after = pages_asked_for()
    assert within < after / 4
