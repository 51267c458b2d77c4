"""The network classes of this package. Any other class is a user's own, and may hold more."""

from __future__ import annotations

from chainrule.nn.convolutional_nets import DeepConvNet, SimpleConvNet
from chainrule.nn.multi_layer_net import MultiLayerNet, MultiLayerNetExtend
from chainrule.nn.network import Network
from chainrule.nn.two_layer_net import TwoLayerNet

NETWORKS = (Network, TwoLayerNet, MultiLayerNet, MultiLayerNetExtend, SimpleConvNet, DeepConvNet)
