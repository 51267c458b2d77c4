"""The layers of the tutorial: each keeps in ``forward`` what its ``backward`` needs.

``forward`` gives the layer's output. ``backward`` takes the gradient of the loss with respect to that output, `dout`,
and returns the gradient with respect to the input, `dx`: the chain rule, one link of it. No layer writes into an array
it is given, and what it returns is the caller's to keep and to change.

Like the tutorial's, a layer remembers its last ``forward`` only, so one thread at a time may use it.
"""

from chainrule.nn.layers.affine import Affine as Affine
from chainrule.nn.layers.base import Layer as Layer
from chainrule.nn.layers.elementwise import Identity as Identity
from chainrule.nn.layers.elementwise import LeakyRelu as LeakyRelu
from chainrule.nn.layers.elementwise import Relu as Relu
from chainrule.nn.layers.elementwise import Rescaling as Rescaling
from chainrule.nn.layers.elementwise import Sigmoid as Sigmoid
from chainrule.nn.layers.elementwise import Tanh as Tanh
