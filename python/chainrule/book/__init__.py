"""Chapters 4 to 8 of "Deep Learning from Scratch": the book's names, arguments, defaults and draws, with `chainrule`.

========================================  ==================================================================
common.functions, .gradient, .layers,     the modules of the book's folder ``common``; star imports bring what
.optimizer, .trainer, .util,              the book's bring, ``np`` included
.multi_layer_net, .multi_layer_net_extend
dataset.mnist                             that of its folder ``dataset``: ``load_mnist``
ch04, ch05, ch07, ch08                    the networks of its chapters
all names of these                        here too; ``TwoLayerNet`` is chapter 5's
``python -m chainrule.book SCRIPT.py``    runs a script of the book as it is
========================================  ==================================================================

``np.random.seed(0)`` gives the book's numbers, except for losses: they are exact, without the 1e-7 in the logarithm.
"""

from chainrule.book.ch05 import AddLayer, MulLayer, TwoLayerNet
from chainrule.book.ch07 import SimpleConvNet
from chainrule.book.ch08 import DeepConvNet
from chainrule.book.common import gradient as _gradient
from chainrule.book.common import layers as _layers
from chainrule.book.common import optimizer as _optimizer
from chainrule.book.common import util as _util
from chainrule.book.common.gradient import *  # noqa: F403  # their __all__ say what is public
from chainrule.book.common.layers import *  # noqa: F403
from chainrule.book.common.multi_layer_net import MultiLayerNet
from chainrule.book.common.multi_layer_net_extend import MultiLayerNetExtend
from chainrule.book.common.optimizer import *  # noqa: F403
from chainrule.book.common.trainer import Trainer
from chainrule.book.common.util import *  # noqa: F403
from chainrule.book.dataset import mnist as _mnist
from chainrule.book.dataset.mnist import *  # noqa: F403

__all__ = [
    "AddLayer",
    "DeepConvNet",
    "MulLayer",
    "MultiLayerNet",
    "MultiLayerNetExtend",
    "SimpleConvNet",
    "Trainer",
    "TwoLayerNet",
]
__all__ += _gradient.__all__
__all__ += _layers.__all__
__all__ += _mnist.__all__
__all__ += _optimizer.__all__
__all__ += _util.__all__
