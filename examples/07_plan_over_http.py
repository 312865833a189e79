"""Start the service, plan over HTTP with its client, print the grasp; needs pip install 'antipodal[serve]'.

On a robot the service is started once, with `antipodal serve`, and the two lines that use the client remain.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import numpy as np

import antipodal
from antipodal.objects import make_object
from antipodal.render.noise import observe
from antipodal.service.client import PlanClient

rng = np.random.default_rng(3)
mesh = make_object("screwdriver", rng)
scene = antipodal.sample_scene(mesh, antipodal.stable_poses(mesh)[0], rng)
image = observe(antipodal.render_depth(scene), rng)

with socket.create_server(("127.0.0.1", 0)) as probe:  # a port that is free just now
    port = probe.getsockname()[1]
start = f"from antipodal.cli_serve import serve; serve(port={port}, workers=1)"
service = subprocess.Popen([sys.executable, "-c", start], stderr=subprocess.PIPE, text=True)
try:
    with PlanClient(f"http://127.0.0.1:{port}") as client:
        client.wait_until_ready(120)
        plan = client.plan(image, gripper="yumi", k=3, seed=0)
    best = plan.best
    print(f"{len(plan.grasps)} grasps over HTTP, the best with q = {plan.quality[0]:.2f}")
    print(
        f"pixel {np.round(best.center_px, 1)}, angle {best.angle:.2f} rad, depth {best.depth:.3f} m"
    )
finally:
    service.send_signal(signal.SIGTERM)  # it finishes what it accepted
    _, log = service.communicate(timeout=60)
print(f"the service ended with {service.returncode}; its log's last line: {log.splitlines()[-1]}")
