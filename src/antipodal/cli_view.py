"""The verb ``antipodal view``: a mesh, a depth image, a data set or a benchmark in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from .terminal import emit


def view(
    path: Positional[Path],
    camera: str | None = None,
    mask: Path | None = None,
    gripper: str = "yumi",
    model: str = "builtin",
    policy: Literal["auto", "cem", "antipodal", "dense"] = "auto",
    depth_unit: float | None = None,
    mesh_unit: str = "m",
    n: Annotated[int, tyro.conf.arg(aliases=("-n",))] = 100,
    objects: Path | None = None,
    seed: int = 0,
    port: int = 8080,
    no_open: bool = False,
) -> int:
    """Show a mesh, a depth image, a data set or a benchmark in the browser, until Ctrl-C.

    Listens on this machine alone. A mesh: stable poses, grasps coloured by robust ε, friction cones, the hand. A depth
    image: points, the plan, the candidates rejected. A data set: its crops, filtered. A benchmark: its trials replayed.

    Example: antipodal view objects/mug_0003.ply

    Args:
        path: mesh, depth image, folder of a data set or of a finished benchmark.
        camera: of a depth image: preset or file.
        mask: of a depth image: non-zero pixels are the object.
        gripper: name, or a gripper.toml.
        model: of a depth image: "builtin", or an ONNX file.
        policy: of a depth image: auto is cem.
        depth_unit: metres per count, for 16-bit images.
        mesh_unit: of a mesh: m, mm, cm, inch, or metres per unit.
        n: of a mesh: antipodal grasps looked for.
        objects: of a benchmark: folder of the meshes, where it has moved since.
        seed: of grasps or plan.
        port: where to listen; the next free one if it is taken.
        no_open: print the address, and leave the browser closed.
    """
    from .viewer.app import ViewOptions, prepare
    from .viewer.server import open_server, url_of

    options = ViewOptions(
        gripper, mesh_unit, n, camera, mask, depth_unit, model, policy, objects, seed
    )
    kind, show = prepare(path, options)
    with open_server(port, f"antipodal: {path.name}") as server:
        show(server)
        url = url_of(server)
        emit({}, f"{kind} {path.name}: {url} (Ctrl-C ends it)", False)
        if not no_open:
            import webbrowser

            webbrowser.open(url)
        try:
            server.sleep_forever()
        except KeyboardInterrupt:
            return 0
    return 0
