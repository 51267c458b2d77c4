"""Gradients to see and to trust: the tutorial's functions, layers and network, over kernels in Rust.

========================================  ==================================================================
functions                                 activations, losses, ``numerical_gradient``
layers, TwoLayerNet, Network              forward and backward, as the tutorial writes them
Variable, apply                           the graph: recorded, differentiated, drawn, explained
fit                                       training in one call
check_gradients                           is the gradient right?
plot_history, plot_confusion, …           pictures of a run and of its network (needs the extra ``plot``)
training_report                           all of them, and more, as a page
load_mnist                                MNIST, which is in the package
========================================  ==================================================================
"""

import sys as _sys

from chainrule._errors import DataError as DataError
from chainrule._errors import DownloadError as DownloadError
from chainrule._kernels import __version__ as __version__
from chainrule.checking import ArrayCheck as ArrayCheck
from chainrule.checking import Contract as Contract
from chainrule.checking import GradientReport as GradientReport
from chainrule.checking import check_gradients as check_gradients
from chainrule.data.images import load_image as load_image
from chainrule.data.mnist import download_mnist as download_mnist
from chainrule.data.mnist import init_mnist as init_mnist
from chainrule.data.mnist import load_mnist as load_mnist
from chainrule.data.mnist import read_idx as read_idx
from chainrule.graph import AddLayer as AddLayer
from chainrule.graph import MulLayer as MulLayer
from chainrule.graph import Variable as Variable
from chainrule.graph import apply as apply
from chainrule.nn.functions import cross_entropy_error as cross_entropy_error
from chainrule.nn.functions import identity_function as identity_function
from chainrule.nn.functions import log_softmax as log_softmax
from chainrule.nn.functions import mean_squared_error as mean_squared_error
from chainrule.nn.functions import relu as relu
from chainrule.nn.functions import relu_grad as relu_grad
from chainrule.nn.functions import sigmoid as sigmoid
from chainrule.nn.functions import sigmoid_grad as sigmoid_grad
from chainrule.nn.functions import softmax as softmax
from chainrule.nn.functions import softmax_loss as softmax_loss
from chainrule.nn.functions import step_function as step_function
from chainrule.nn.functions import sum_squared_error as sum_squared_error
from chainrule.nn.gradients import _numerical_gradient_1d as _numerical_gradient_1d
from chainrule.nn.gradients import numerical_gradient as numerical_gradient
from chainrule.nn.gradients import numerical_gradient_2d as numerical_gradient_2d
from chainrule.nn.layers import Affine as Affine
from chainrule.nn.layers import Identity as Identity
from chainrule.nn.layers import Layer as Layer
from chainrule.nn.layers import LeakyRelu as LeakyRelu
from chainrule.nn.layers import Relu as Relu
from chainrule.nn.layers import Rescaling as Rescaling
from chainrule.nn.layers import Sigmoid as Sigmoid
from chainrule.nn.layers import Tanh as Tanh
from chainrule.nn.losses import SoftmaxWithLoss as SoftmaxWithLoss
from chainrule.nn.network import Network as Network
from chainrule.nn.network import Parameters as Parameters
from chainrule.nn.network import TwoLayerNet as TwoLayerNet
from chainrule.plotting.plots import plot_confusion as plot_confusion
from chainrule.plotting.plots import plot_history as plot_history
from chainrule.plotting.plots import plot_mistakes as plot_mistakes
from chainrule.plotting.plots import plot_weights as plot_weights
from chainrule.plotting.report_page import training_report as training_report
from chainrule.storage.book_weights import read_book_weights as read_book_weights
from chainrule.storage.model_files import load as load
from chainrule.training.callbacks import EarlyStopping as EarlyStopping
from chainrule.training.callbacks import Run as Run
from chainrule.training.fit import fit as fit
from chainrule.training.history import History as History
from chainrule.training.optimizers import SGD as SGD
from chainrule.training.optimizers import AdaGrad as AdaGrad
from chainrule.training.optimizers import Adam as Adam
from chainrule.training.optimizers import Momentum as Momentum
from chainrule.training.optimizers import Nesterov as Nesterov
from chainrule.training.optimizers import Optimizer as Optimizer
from chainrule.training.optimizers import RMSprop as RMSprop
from chainrule.training.schedules import cosine as cosine
from chainrule.training.schedules import step_decay as step_decay

# Pickles written before there were folders name these modules. What they name in them is found here.
for _name in ("callbacks", "functions", "gradients", "history", "layers", "network", "optimizers"):
    _sys.modules[f"chainrule.{_name}"] = _sys.modules[__name__]
del _name
