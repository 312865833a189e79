"""The same work on a Ray cluster of two nodes, one lost midway: every byte is that of one machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from antipodal.dataset.events import Advance, Event
from antipodal.dataset.execution import Execution
from antipodal.dataset.generate import generate
from antipodal.errors import InvalidConfig
from test_faults import SMALL, YUMI, SegmentationFault, as_, boxes, hashes

ray = pytest.importorskip("ray")


def test_no_cluster_at_the_address_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="ray start --head"):
        generate(boxes(1), YUMI, tmp_path / "set", SMALL, 1, execution=Execution(ray="auto"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that does not compute, and two nodes of one core each; nothing is reported to anyone."""
    from ray.cluster_utils import Cluster

    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where the crashing mesh is defined
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 100 * 2**20}
    made = Cluster(initialize_head=True, head_node_args=head)
    yield made
    ray.shutdown()
    made.shutdown()
    patch.undo()


def test_a_lost_node_changes_no_byte(cluster: Any, tmp_path: Path) -> None:
    meshes = boxes(36)
    meshes[11] = as_(SegmentationFault, meshes[11])
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20) for _ in range(2)]
    left_to_do: list[int] = []

    def lose_a_node(event: Event) -> None:
        if isinstance(event, Advance) and not left_to_do:
            left_to_do.append(event.n_objects - event.n_done)
            cluster.remove_node(nodes[0], allow_graceful=False)  # with results not yet collected
            while sum(node["Alive"] for node in ray.nodes()) > 2:  # the head and the other one
                time.sleep(0.1)

    on_ray = Execution(ray=cluster.address)
    generate(meshes, YUMI, tmp_path / "ray", SMALL, 1, None, on_ray, lose_a_node)
    assert left_to_do[0] >= 16
    generate(meshes, YUMI, tmp_path / "here", SMALL, seed=1)
    assert hashes(tmp_path / "ray") == hashes(tmp_path / "here")
