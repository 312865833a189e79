"""The two networks: sizes, equations, symmetries. Parity with the original is in test_parity_network.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from antipodal.errors import IncompatibleCheckpoint, InvalidConfig
from antipodal.gripper import TOLD, load_gripper
from antipodal.nn.compact import Compact, CompactConfig
from antipodal.nn.data import Normalisation
from antipodal.nn.gqcnn import (
    GQCNN,
    GQCNN_2_0,
    GQCNN_2_0_TWO_POOLS,
    GQCNNConfig,
    LocalResponseNorm,
    load_tf_weights,
)
from antipodal.nn.networks import build_network, network_for, set_normalisation
from test_parity_network import GQCNN_4_0_PJ

YUMI = torch.tensor(load_gripper("yumi").told, dtype=torch.float32)

pytestmark = pytest.mark.usefixtures("one_thread")


def n_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def n_multiplications(network: nn.Module, size: int = 32) -> int:
    total = 0

    def count(layer: nn.Module, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        whole = out[0].numel() // layer.weight.shape[0] * layer.weight.numel()
        # of the first layer, what differs between grasps
        total += whole * given[0].shape[1] // layer.weight.shape[1]

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(torch.full((1, 1, size, size), 0.7), torch.full((1, 1), 0.65), YUMI[None])
    return total


def drawn(network: GQCNN | Compact, seed: int = 0) -> GQCNN | Compact:
    network.initialise(torch.Generator().manual_seed(seed))
    set_normalisation(network, Normalisation(0.69, 0.03, 0.66, 0.03))
    return network.eval()


def scene(n: int = 4, size: int = 32, seed: int = 1) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    crop = 0.7 - 0.05 * torch.rand((n, 1, size, size), generator=generator)
    return crop, 0.66 + 0.02 * torch.rand((n, 1), generator=generator), YUMI.repeat(n, 1)


@pytest.mark.parametrize(
    ("config", "published"),
    [(GQCNN_2_0, 18_025_826), (GQCNN_2_0_TWO_POOLS, 5_442_914), (GQCNN_4_0_PJ, 631_410)],
)
def test_parameters_are_exactly_as_many_as_published(config: GQCNNConfig, published: int) -> None:
    assert n_parameters(GQCNN(config)) == published


def test_compact_network_keeps_its_budget() -> None:
    network = Compact()
    assert 150_000 <= n_parameters(network) <= 400_000
    assert n_multiplications(network, 40) <= 25e6


def test_response_normalisation_is_torch_s_with_alpha_times_five() -> None:
    x = 30 * torch.randn((2, 12, 5, 4), generator=torch.Generator().manual_seed(0))
    ours = LocalResponseNorm(12, 2e-5)(x)
    torch.testing.assert_close(ours, nn.LocalResponseNorm(5, 5 * 2e-5, 0.75, 1.0)(x))


def test_log_odds_are_the_softmax_s_second_output() -> None:
    network = drawn(GQCNN(GQCNNConfig(n_filters=8, n_fc3=16, n_fc4=16)))
    assert isinstance(network, GQCNN)
    with torch.no_grad():
        softmax = torch.softmax(network.logits(*scene()[:2]), 1)
        torch.testing.assert_close(torch.sigmoid(network(*scene())), softmax[:, 1])


@pytest.mark.parametrize("architecture", ["gqcnn_two_pools", "compact"])
def test_initial_weights_have_variance_two_over_fan_in_and_depend_on_the_seed_alone(
    architecture: str,
) -> None:
    a, b, c = (drawn(build_network(architecture), seed) for seed in (3, 3, 4))
    states = [torch.cat([p.flatten() for p in m.parameters()]) for m in (a, b, c)]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
    # a normal cut at two standard deviations has 0.774 of the variance
    share = 0.774 if architecture == "gqcnn_two_pools" else 1.0
    widest = max(
        (m for m in a.modules() if isinstance(m, nn.Conv2d | nn.Linear)),
        key=lambda m: m.weight.numel(),
    )
    fan_in = widest.weight[0].numel()
    assert float(widest.weight.detach().var()) == pytest.approx(2 * share / fan_in, rel=0.03)


@pytest.mark.parametrize("architecture", ["gqcnn_two_pools", "compact"])
def test_answers_do_not_depend_on_the_other_grasps_of_the_batch(architecture: str) -> None:
    network = drawn(build_network(architecture))
    inputs = scene(6)
    with torch.no_grad():
        together = network(*inputs)
        alone = torch.cat([network(*(x[i : i + 1] for x in inputs)) for i in range(6)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_compact_network_reads_relative_depth_only_within_its_range() -> None:
    network = drawn(build_network("compact"))
    crop, depth, hand = scene()
    far, farther = crop.clone(), crop.clone()
    far[:, :, :, :5], farther[:, :, :, :5] = depth[:, :, None, None] + 0.08, 2.5
    with torch.no_grad():
        torch.testing.assert_close(network(far, depth, hand), network(farther, depth, hand))
        # a missing pixel is far too, but marked
        missing = far.clone()
        missing[:, :, :, :5] = 0.0
        difference = network(far, depth, hand) - network(missing, depth, hand)
        assert difference.abs().max() > 1e-4


def test_compact_network_measures_in_strokes_from_the_fingertips() -> None:
    """Scaled alike, hand and scene differ in the told stroke alone; so do tips 5 mm lower with grasps 5 mm higher."""
    network = drawn(build_network("compact"))
    assert isinstance(network, Compact)
    crop, depth, hand = scene()
    with torch.no_grad():
        linear = network.head[0]
        assert isinstance(linear, nn.Linear)
        told = slice(-len(TOLD), None)
        once = network(crop, depth, hand)
        assert (network(1.6 * crop, 1.6 * depth, 1.6 * hand) - once).abs().max() > 1e-3
        linear.weight[:, told] = 0
        once = network(crop, depth, hand)
        torch.testing.assert_close(network(1.6 * crop, 1.6 * depth, 1.6 * hand), once)
        network.depth_std.fill_(1e9)  # the depth itself is an input too
        once = network(crop, depth, hand)
        lower = hand + torch.tensor([0, 0.005, 0, 0, 0])
        torch.testing.assert_close(network(crop, depth - 0.005, lower), once)
        assert (network(crop, depth - 0.005, hand) - once).abs().max() > 1e-2


@pytest.mark.parametrize("name", ["yumi", "franka_hand", "robotiq_2f85"])
def test_fingers_are_drawn_where_they_are(name: str) -> None:
    """The planes' areas are the fingers' footprints; open fingers stand outside the stroke."""
    network, hand = Compact(), load_gripper(name)
    strokes = torch.tensor(hand.told / hand.max_width, dtype=torch.float32)[None]
    closing, standing = (plane[0, 0] for plane in network._fingers(strokes))
    size = network.config.input_size
    pixel = 2 / size
    width, thickness = hand.jaw_width / hand.max_width, hand.jaw_thickness / hand.max_width
    assert float(closing.sum()) * pixel**2 == pytest.approx(width, rel=0.03)
    assert float(standing.sum()) * pixel**2 == pytest.approx(2 * width * thickness, rel=0.03)
    u = (torch.arange(size) - (size - 1) / 2).abs().expand(
        size, size
    ) * pixel  # centres, in strokes
    assert u[standing == 1].min() > 0.5 and u[closing == 1].max() < 0.5


@pytest.mark.parametrize(("window", "strokes"), [(0.1, 2.0), (0.15, 3.0), (None, 2.0)])
def test_fingers_are_as_wide_as_the_crop_says(window: float | None, strokes: float) -> None:
    network = network_for("compact", {"size": 40, "window_m": window}, 0.05)
    assert isinstance(network, Compact)
    closing, _ = (plane[0, 0] for plane in network._fingers(YUMI[None] / YUMI[0]))
    # the jaws close over one stroke, which is this share of the crop
    assert closing[20].sum() == pytest.approx(40 / strokes, abs=0.01)


def test_compact_network_tells_the_two_fingers_apart() -> None:
    # a step under the left finger and its mirror image are different inputs: coordinates and position survive
    network = drawn(build_network("compact"))
    crop, depth, hand = torch.full((1, 1, 32, 32), 0.7), torch.full((1, 1), 0.68), YUMI[None]
    crop[:, :, 14:18, 6:10] = 0.66
    with torch.no_grad():
        assert abs(float(network(crop, depth, hand) - network(crop.flip(-1), depth, hand))) > 1e-4


def test_missing_pixels_count_as_the_mean_for_gqcnn() -> None:
    network = drawn(GQCNN(GQCNNConfig(n_filters=8, n_fc3=16, n_fc4=16)))
    crop, depth, _ = scene()
    filled = crop.clone()
    crop[:, :, 3:9, 3:9], filled[:, :, 3:9, 3:9] = 0.0, 0.69
    with torch.no_grad():
        torch.testing.assert_close(network(crop, depth), network(filled, depth))


def test_weights_of_another_shape_are_refused_with_both_shapes() -> None:
    config = GQCNNConfig(n_filters=4, n_fc3=8, n_fc4=8)
    wrong = {"conv1_1_weights": np.zeros((7, 7, 1, 64))}
    with pytest.raises(IncompatibleCheckpoint, match=r"\(7, 7, 1, 64\).*expects \(7, 7, 1, 4\)"):
        load_tf_weights(GQCNN(config), wrong)
    with pytest.raises(IncompatibleCheckpoint, match="conv1_1_weights is missing"):
        load_tf_weights(GQCNN(config), {})


def test_impossible_sizes_and_names_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="odd"):
        GQCNNConfig(kernels=(7, 4, 3, 3))
    with pytest.raises(InvalidConfig, match="too small"):
        GQCNNConfig(input_size=16, kernels=(9, 5, 5, 5), pad=False)
    with pytest.raises(InvalidConfig, match="multiple of 4"):
        CompactConfig(input_size=30)
    with pytest.raises(InvalidConfig, match="expected one of gqcnn, gqcnn_two_pools, compact"):
        build_network("resnet")


def test_response_normalisation_s_gradient_is_its_formula_s() -> None:
    x = 300 * torch.randn((2, 12, 3, 4), generator=torch.Generator().manual_seed(0)).double()
    layer = LocalResponseNorm(12, 2e-5).double()
    layer.band = 2e-5 * (layer.band > 0).double()  # α without float32's rounding
    assert torch.autograd.gradcheck(layer, x.requires_grad_(), atol=1e-6)
    ours = torch.autograd.grad(layer(x).square().sum(), x)
    theirs = torch.autograd.grad(nn.LocalResponseNorm(5, 1e-4, 0.75)(x).square().sum(), x)
    torch.testing.assert_close(ours, theirs)


class RootsInFloat32(TorchFunctionMode):
    """What CUDA's autocast does, and a CPU's does not."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        return result.float() if func is torch.Tensor.rsqrt else result


def test_response_normalisation_keeps_bfloat16_where_roots_are_taken_in_float32() -> None:
    """Its gradient's product met two types otherwise: no network trained in bfloat16 on a GPU."""
    x = 300 * torch.randn((2, 12, 3, 4), generator=torch.Generator().manual_seed(0))
    layer = LocalResponseNorm(12, 2e-5)
    (want,) = torch.autograd.grad(layer(x.requires_grad_()).square().sum(), x)
    rounded = x.detach().bfloat16().requires_grad_()
    with RootsInFloat32():
        normalised = layer(rounded)
    assert normalised.dtype == torch.bfloat16
    (got,) = torch.autograd.grad(normalised.float().square().sum(), rounded)
    assert torch.nn.functional.cosine_similarity(got.flatten().float(), want.flatten(), 0) > 0.999
