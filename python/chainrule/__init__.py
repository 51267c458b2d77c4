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

from chainrule._errors import DataError as DataError
from chainrule._errors import DownloadError as DownloadError
from chainrule._kernels import __version__ as __version__
from chainrule.book_weights import read_book_weights as read_book_weights
from chainrule.callbacks import EarlyStopping as EarlyStopping
from chainrule.callbacks import Run as Run
from chainrule.checking import ArrayCheck as ArrayCheck
from chainrule.checking import Contract as Contract
from chainrule.checking import GradientReport as GradientReport
from chainrule.checking import check_gradients as check_gradients
from chainrule.functions import cross_entropy_error as cross_entropy_error
from chainrule.functions import identity_function as identity_function
from chainrule.functions import log_softmax as log_softmax
from chainrule.functions import mean_squared_error as mean_squared_error
from chainrule.functions import relu as relu
from chainrule.functions import relu_grad as relu_grad
from chainrule.functions import sigmoid as sigmoid
from chainrule.functions import sigmoid_grad as sigmoid_grad
from chainrule.functions import softmax as softmax
from chainrule.functions import softmax_loss as softmax_loss
from chainrule.functions import step_function as step_function
from chainrule.functions import sum_squared_error as sum_squared_error
from chainrule.gradients import _numerical_gradient_1d as _numerical_gradient_1d
from chainrule.gradients import numerical_gradient as numerical_gradient
from chainrule.gradients import numerical_gradient_2d as numerical_gradient_2d
from chainrule.graph import AddLayer as AddLayer
from chainrule.graph import MulLayer as MulLayer
from chainrule.graph import Variable as Variable
from chainrule.graph import apply as apply
from chainrule.history import History as History
from chainrule.images import load_image as load_image
from chainrule.keeping import load as load
from chainrule.layers import Affine as Affine
from chainrule.layers import Identity as Identity
from chainrule.layers import Layer as Layer
from chainrule.layers import LeakyRelu as LeakyRelu
from chainrule.layers import Relu as Relu
from chainrule.layers import Rescaling as Rescaling
from chainrule.layers import Sigmoid as Sigmoid
from chainrule.layers import SoftmaxWithLoss as SoftmaxWithLoss
from chainrule.layers import Tanh as Tanh
from chainrule.mnist import download_mnist as download_mnist
from chainrule.mnist import init_mnist as init_mnist
from chainrule.mnist import load_mnist as load_mnist
from chainrule.mnist import read_idx as read_idx
from chainrule.network import Network as Network
from chainrule.network import Parameters as Parameters
from chainrule.network import TwoLayerNet as TwoLayerNet
from chainrule.optimizers import SGD as SGD
from chainrule.optimizers import AdaGrad as AdaGrad
from chainrule.optimizers import Adam as Adam
from chainrule.optimizers import Momentum as Momentum
from chainrule.optimizers import Nesterov as Nesterov
from chainrule.optimizers import Optimizer as Optimizer
from chainrule.optimizers import RMSprop as RMSprop
from chainrule.plots import plot_confusion as plot_confusion
from chainrule.plots import plot_history as plot_history
from chainrule.plots import plot_mistakes as plot_mistakes
from chainrule.plots import plot_weights as plot_weights
from chainrule.report_page import training_report as training_report
from chainrule.schedules import cosine as cosine
from chainrule.schedules import step_decay as step_decay
from chainrule.training import fit as fit
