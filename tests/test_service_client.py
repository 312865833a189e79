"""The client before it asks, and what it makes of answers that are none of the service's."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra 'serve'")

from antipodal.camera import CameraIntrinsics, DepthImage
from antipodal.errors import InvalidConfig
from antipodal.policy.request import Request
from antipodal.service.client import PlanClient

IMAGE = DepthImage(
    np.full((120, 160), 0.7, np.float32), CameraIntrinsics(131.0, 131.0, 79.5, 59.5, 160, 120)
)
NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"camera": "primesense"}, "camera .*: give the image its own"),
        ({"depth_unit": 0.001}, "depth_unit .* a DepthImage is in metres"),
        ({"constraints": {"min_height": 0.01}}, "constraints .* fields of the Request"),
        ({"k": 2}, "k 2 beside the Request's n_grasps 3"),
    ],
    ids=["camera", "unit", "constraints", "k"],
)
def test_no_option_replaces_what_image_or_request_say(options, said) -> None:
    asked = Request(box_px=np.array([0.0, 0.0, 9.0, 9.0]), n_grasps=3)
    with PlanClient(NOBODY) as client, pytest.raises(InvalidConfig, match=said):
        client.plan(IMAGE, asked, **options)
