"""GQ-CNN against the original's recorded answers to recorded inputs (random weights, TensorFlow 1.15)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from antipodal.nn.gqcnn import GQCNN, GQCNNConfig, load_tf_weights

pytestmark = pytest.mark.usefixtures("one_thread")


# LRN made strong and a leaky rectifier, so that a wrong one shows
LRN_STRESS = GQCNNConfig(pool_after_conv2=True, normalisation_alpha=0.05, relu_coefficient=0.1)
# Dex-Net 4.0's parallel-jaw network
GQCNN_4_0_PJ = GQCNNConfig(
    96, (9, 5, 5, 5), 16, pad=False, pool_after_conv2=True, normalisation_alpha=0.0, n_fc3=128, n_fc4=128
)  # fmt: skip
CASES = {
    "gqcnn20_lrnstress": (LRN_STRESS, (0.6852, 0.0417), (0.6541, 0.0283)),
    "gqcnn40_pj": (GQCNN_4_0_PJ, (0.6913, 0.0521), (0.6602, 0.0307)),
}


def original(shared: Path, case: str) -> tuple[GQCNN, dict[str, np.ndarray]]:
    config, image, depth = CASES[case]
    network = GQCNN(config).eval()
    folder = shared / "parity" / "network"
    load_tf_weights(network, np.load(folder / f"{case}_weights.npz"))
    for name, value in zip(("image_mean", "image_std"), image, strict=True):
        getattr(network, name).fill_(value)
    for name, value in zip(("depth_mean", "depth_std"), depth, strict=True):
        getattr(network, name).fill_(value)
    return network, dict(np.load(folder / f"{case}_io.npz"))


def inputs(io: dict[str, np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    crop = torch.from_numpy(io["images"].astype(np.float32)).permute(0, 3, 1, 2)
    return crop, torch.from_numpy(io["poses"].astype(np.float32))


@pytest.mark.parametrize("case", CASES)
def test_logits_and_probabilities_are_the_original_s(shared: Path, case: str) -> None:
    network, io = original(shared, case)
    crop, depth = inputs(io)
    with torch.no_grad():
        logits = network.logits(crop, depth).numpy()
        quality = torch.sigmoid(network(crop, depth)).numpy()
    scale = np.abs(io["feat_fc5"]).max()
    np.testing.assert_allclose(logits, io["feat_fc5"], rtol=1e-5, atol=1e-5 * scale)
    np.testing.assert_allclose(quality, io["predictions"][:, 1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_every_layer_is_the_original_s(shared: Path, case: str) -> None:
    network, io = original(shared, case)
    crop, depth = inputs(io)
    seen: dict[str, np.ndarray] = {}
    layers = ("conv1_1", "conv1_2", "conv2_1", "conv2_2")
    for name in layers:
        getattr(network, name).register_forward_hook(
            lambda _module, _input, out, name=name: seen.update({name: out.numpy()})
        )
    with torch.no_grad():
        network.logits(crop[:4], depth[:4])
    assert set(seen) == set(layers)
    for name, out in seen.items():
        want = io[f"feat_{name}"]
        got = out.transpose(0, 2, 3, 1)
        assert got.shape == want.shape
        assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max(), name


def test_leaving_the_response_normalisation_out_changes_the_stress_answers(shared: Path) -> None:
    # guards the tolerance above: the recorded case can tell the difference
    network, io = original(shared, "gqcnn20_lrnstress")
    network.conv1_2.normalise = None
    with torch.no_grad():
        logits = network.logits(*inputs(io)).numpy()
    assert np.abs(logits - io["feat_fc5"]).max() > 0.1
