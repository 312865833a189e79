"""The built-in model and the cross-entropy method on real single-object depth images, as `antipodal plan` runs them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from antipodal.camera_files import load_mask
from antipodal.gripper import load_gripper
from antipodal.planning import plan_image, read_inputs
from antipodal.policy.table import fit_table

FOLDER = "data/depth/gqcnn_primesense_single"


@pytest.mark.parametrize("with_mask", [True, False], ids=["mask", "table"])
@pytest.mark.parametrize("index", range(5))
def test_the_plan_straddles_the_object(index: int, with_mask: bool, shared: Path) -> None:
    folder = shared / FOLDER
    mask_path = folder / f"segmask_{index}.png"
    inputs = read_inputs(
        folder / f"depth_{index}.npy",
        folder / "camera.json",
        mask_path if with_mask else None,
        "yumi",
        "builtin",
        "auto",
        None,
    )
    plan = plan_image(inputs, seed=0).plan
    mask = load_mask(mask_path, inputs.image.depth.shape)
    # a pixel of slack: the masks were drawn by colour
    near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3)))
    inside = cv2.erode(mask.astype(np.uint8), np.ones((3, 3)))
    u, v = np.round(plan.best.center_px).astype(int)
    assert near[v, u]
    for u, v in np.round(plan.best.endpoints_px(inputs.image.intrinsics)).astype(int):
        assert not inside[v, u]
    assert 0 <= plan.quality[-1] <= plan.quality[0] <= 1


@pytest.mark.parametrize("index", range(5))
def test_no_planned_fingertip_reaches_the_table_and_none_leaves_the_image(
    index: int, shared: Path, rng: np.random.Generator
) -> None:
    folder = shared / FOLDER
    inputs = read_inputs(
        folder / f"depth_{index}.npy", folder / "camera.json", None, "yumi", "builtin", "auto", None
    )
    plan = plan_image(inputs, seed=1).plan
    image, gripper = inputs.image, load_gripper("yumi")
    table = fit_table(image, None, rng)
    assert table is not None
    grasps = plan.grasps.to_grasp(image.intrinsics, plan.approach_axis)
    tips = grasps.center + gripper.tip_overhang * grasps.approach_axis
    assert table.height(tips).min() > 0
    ends = plan.grasps.endpoints_px(image.intrinsics).reshape(-1, 2)
    assert (ends >= 0).all()
    assert (ends <= [image.intrinsics.width - 1, image.intrinsics.height - 1]).all()
