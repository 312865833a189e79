"""Planners for the benchmark's tests, good and bad: functions (image, mask, rng) → Plan."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace

import numpy as np

from antipodal.camera import DepthImage
from antipodal.grasp import PlanarGrasp
from antipodal.policy.base import Plan


def narrow(image: DepthImage, mask: np.ndarray, rng: np.random.Generator) -> Plan:
    """Close across the mask's shorter side at its centroid, 12 mm below the top."""
    v, u = np.nonzero(mask)
    center = np.array([u.mean(), v.mean()])
    _, axes = np.linalg.eigh(np.cov(np.stack([u, v])))
    angle = np.arctan2(axes[1, 0], axes[0, 0])
    top = float(np.median(image.depth[mask & image.valid]))
    grasp = PlanarGrasp(center[None], np.array([angle]), np.array([top + 0.012]), np.array([0.05]))
    assert image.T_world_camera is not None
    down = -image.T_world_camera[2, :3]
    return Plan(grasp, np.array([0.8]), down)


def elsewhere(image: DepthImage, mask: np.ndarray, rng: np.random.Generator) -> Plan:
    """Close on nothing, well beside the object, at half the confidence."""
    plan = narrow(image, mask, rng)
    g = plan.grasps
    away = PlanarGrasp(g.center_px + np.array([0.0, 110.0]), g.angle, g.depth - 0.05, g.width)
    return Plan(away, np.array([0.3]), plan.approach_axis)


def raises(image: DepthImage, mask: np.ndarray, rng: np.random.Generator) -> Plan:
    """Fail with words."""
    raise KeyError("no such thing")


def counts(image: DepthImage, mask: np.ndarray, rng: np.random.Generator) -> Plan:
    """Fail with numbers that differ from trial to trial."""
    raise ValueError(f"{int(mask.sum())} pixels of 7")


def nothing(image: DepthImage, mask: np.ndarray, rng: np.random.Generator) -> None:
    """Forget to return."""


def exits(image: DepthImage, mask: np.ndarray, rng: np.random.Generator) -> Plan:
    """Leave, as a script would."""
    sys.exit(4)


def not_a_number(image: DepthImage, mask: np.ndarray, rng: np.random.Generator) -> Plan:
    """Answer a quality that is none."""
    return replace(narrow(image, mask, rng), quality=np.array([np.nan]))


def sleeps(image: DepthImage, mask: np.ndarray, rng: np.random.Generator) -> Plan:
    """Take too long, and swallow exceptions while at it."""
    while True:
        try:
            time.sleep(0.05)
        except Exception:
            continue


def stubborn(image: DepthImage, mask: np.ndarray, rng: np.random.Generator) -> Plan:
    """Take too long, swallow everything, and answer all the same."""
    end = time.monotonic() + 0.8
    while time.monotonic() < end:
        try:
            time.sleep(0.05)
        except BaseException:
            continue
    return narrow(image, mask, rng)


def dies(image: DepthImage, mask: np.ndarray, rng: np.random.Generator) -> Plan:
    """End the whole process, as a crash in native code does."""
    os._exit(3)
