"""Berkeley's FC-GQ-CNN: every place and angle of a depth image at once [Satish19, §IV].

    image − depth ─ four convolutions ─ fc3 as 17×17 convolution ─ fc4, fc5 as 1×1 ─ softmax in pairs, one per angle

The convolutions are the GQ-CNN's; its dense layers, read as convolutions, slide over the whole image. Output cell
(r, c) sees the window of ``input_size`` pixels that begins at row and column ``stride`` · (r, c).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ..errors import IncompatibleCheckpoint
from .gqcnn import ConvLayer, GQCNNConfig, load_tf_convolutions, tf_weight


class FCGQCNN(nn.Module):
    """The network: (image, depths) → quality of each depth, angle and cell."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: GQCNNConfig, n_angles: int) -> None:
        super().__init__()
        if config.pad:
            raise IncompatibleCheckpoint(
                "fully convolutional network with padding (SAME): expected VALID convolutions"
            )
        self.config = config
        n, kernels = config.n_filters, config.kernels
        self.conv1_1 = ConvLayer(1, kernels[0], config, normalise=False, pool=False)
        self.conv1_2 = ConvLayer(n, kernels[1], config, normalise=True, pool=True)
        self.conv2_1 = ConvLayer(n, kernels[2], config, normalise=False, pool=False)
        self.conv2_2 = ConvLayer(n, kernels[3], config, True, config.pool_after_conv2)
        self.fc3 = nn.Conv2d(n, config.n_fc3, config.feature_size)
        self.fc4 = nn.Conv2d(config.n_fc3, config.n_fc4, 1)
        self.fc5 = nn.Conv2d(config.n_fc4, 2 * n_angles, 1)
        self.register_buffer("mean", torch.tensor(0.0))
        self.register_buffer("std", torch.tensor(1.0))

    def forward(
        self, image: Float[Tensor, "1 1 H W"], depth: Float[Tensor, "D 1"]
    ) -> Float[Tensor, "D A h w"]:
        """Return the probability of success.

        Args:
            image: absolute depth, m; a missing pixel (0) counts as the training images' mean.
            depth: of the grasps, m: subtracted from the image before anything else.
        """
        slope = self.config.relu_coefficient
        relative = (image - depth[:, :, None, None] - self.mean) / self.std
        x = torch.where(image > 0, relative, 0.0)
        x = self.conv2_2(self.conv2_1(self.conv1_2(self.conv1_1(x))))
        x = functional.leaky_relu(self.fc3(x), slope)
        x = self.fc5(functional.leaky_relu(self.fc4(x), slope))
        return torch.sigmoid(x[:, 1::2] - x[:, 0::2])


def load_fc_weights(network: FCGQCNN, weights: Mapping[str, np.ndarray]) -> None:
    """Copy weights in TensorFlow's layouts into ``network``; fc3 is flattened as (row, column, channel).

    Raises:
        IncompatibleCheckpoint: a weight is missing or has another shape; names both shapes.
    """
    load_tf_convolutions(network, weights)
    size = network.config.feature_size
    with torch.no_grad():
        for name, side in (("fc3", size), ("fc4", 1), ("fc5", 1)):
            layer = getattr(network, name)
            n_in, n_out = layer.in_channels, layer.out_channels
            weight = tf_weight(weights, f"{name}_weights", side * side * n_in, n_out)
            layer.weight.copy_(weight.reshape(side, side, n_in, n_out).permute(3, 2, 0, 1))
            layer.bias.copy_(tf_weight(weights, f"{name}_bias", n_out))
