"""Chapter 5: its network, which is `chainrule`'s ``TwoLayerNet``, and the layers of its ``layer_naive.py``."""

from chainrule.graph import AddLayer, MulLayer
from chainrule.nn.two_layer_net import TwoLayerNet

__all__ = ["AddLayer", "MulLayer", "TwoLayerNet"]
