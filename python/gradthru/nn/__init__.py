"""Modules with discrete steps inside: bottlenecks, codebooks, networks of binary units, logic gates."""

from .binary import StochasticBinaryConv2d, StochasticBinaryLinear
from .binary_layer import BinarySample, Moments, StochasticBinaryLayer, layer_offsets_used
from .binary_network import Evaluation, StochasticBinarySequential
from .bottleneck import CategoricalBottleneck
from .embedding import EmbeddedSample, StraightThroughEmbedding
from .head import head_loss, loss_of
from .logic import LogicGateLayer, group_sum
from .quantizer import Quantized, VectorQuantizer

__all__ = [
    "BinarySample", "CategoricalBottleneck", "EmbeddedSample", "Evaluation", "LogicGateLayer", "Moments",
    "Quantized", "StochasticBinaryConv2d", "StochasticBinaryLayer", "StochasticBinaryLinear",
    "StochasticBinarySequential", "StraightThroughEmbedding", "VectorQuantizer", "group_sum",
    "head_loss", "layer_offsets_used", "loss_of",
]
