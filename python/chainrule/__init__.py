"""Gradients to see and to trust: the tutorial's functions, layers and network, with kernels in Rust.

========================================  ==================================================================
functions                                 activations, losses, ``numerical_gradient``
layers, TwoLayerNet, Network              forward and backward, as the tutorial writes them
Variable, apply                           the graph: recorded, differentiated, drawn, explained
fit                                       training in one call
check_gradients                           is the gradient right?
check_adjoint                             is this the adjoint of a linear operator?
plot_history, plot_confusion, …           pictures of a run and of its network (needs the extra ``plot``)
training_report                           all of them, and more, as a page
load_mnist                                MNIST, which is in the package
load_table, load_folder                   a CSV file or pictures of your own, ready for ``fit``
========================================  ==================================================================
"""

import sys as _sys
from typing import TYPE_CHECKING

from chainrule._errors import DataError, DownloadError
from chainrule._kernels import __version__
from chainrule._machine import threads
from chainrule.checking import check_gradients
from chainrule.data.mnist import download_mnist, init_mnist, load_mnist, read_idx
from chainrule.graph import AddLayer, MulLayer, Variable, apply
from chainrule.nn import layers as _layers
from chainrule.nn import losses as _losses
from chainrule.nn.convolutional_nets import DeepConvNet, SimpleConvNet
from chainrule.nn.evaluation import Evaluation
from chainrule.nn.functions import (
    cross_entropy_error,
    identity_function,
    log_softmax,
    mean_squared_error,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    softmax,
    softmax_loss,
    step_function,
    sum_squared_error,
)
from chainrule.nn.gradients import _numerical_gradient_1d, numerical_gradient, numerical_gradient_2d
from chainrule.nn.layers import *  # noqa: F403  # its __all__ says what is public; the same holds for the two below
from chainrule.nn.losses import *  # noqa: F403
from chainrule.nn.multi_layer_net import MultiLayerNet, MultiLayerNetExtend
from chainrule.nn.network import Network
from chainrule.nn.parameters.named import Parameters
from chainrule.nn.two_layer_net import TwoLayerNet
from chainrule.storage.model_files import load
from chainrule.training import optimizers as _optimizers
from chainrule.training.callbacks import EarlyStopping, Run
from chainrule.training.fit import fit
from chainrule.training.history import History
from chainrule.training.optimizers import *  # noqa: F403
from chainrule.training.schedules import cosine, step_decay

__all__ = [
    "AddLayer",
    "ArrayCheck",
    "Contract",
    "DataError",
    "DeepConvNet",
    "DownloadError",
    "EarlyStopping",
    "Evaluation",
    "GradientReport",
    "History",
    "LearningRates",
    "MulLayer",
    "MultiLayerNet",
    "MultiLayerNetExtend",
    "Network",
    "Parameters",
    "Pictures",
    "ProblemReport",
    "Run",
    "SimpleConvNet",
    "Table",
    "TwoLayerNet",
    "Variable",
    "__version__",
    "_numerical_gradient_1d",
    "apply",
    "check_adjoint",
    "check_gradients",
    "check_hessian",
    "check_jacobian",
    "check_problem",
    "col2im",
    "conv_output_size",
    "cosine",
    "cross_entropy_error",
    "download_mnist",
    "find_learning_rate",
    "fit",
    "identity_function",
    "im2col",
    "init_mnist",
    "load",
    "load_folder",
    "load_image",
    "load_mnist",
    "load_table",
    "log_softmax",
    "mean_squared_error",
    "numerical_gradient",
    "numerical_gradient_2d",
    "plot_confusion",
    "plot_feature_maps",
    "plot_history",
    "plot_learning_rates",
    "plot_mistakes",
    "plot_weights",
    "read_book_weights",
    "read_idx",
    "relu",
    "relu_grad",
    "shuffle_dataset",
    "sigmoid",
    "sigmoid_grad",
    "smooth_curve",
    "softmax",
    "softmax_loss",
    "step_decay",
    "step_function",
    "sum_squared_error",
    "threads",
    "training_report",
]
__all__ += _layers.__all__
__all__ += _losses.__all__
__all__ += _optimizers.__all__

# Names that few programs use are imported when they are first used, which saves a third of the import time.
if TYPE_CHECKING:
    from chainrule.checking.adjoint.checks import check_adjoint
    from chainrule.checking.jacobian.checks import check_hessian, check_jacobian
    from chainrule.checking.problem import ProblemReport, check_problem
    from chainrule.checking.report import ArrayCheck, Contract, GradientReport
    from chainrule.data.folders import Pictures, load_folder
    from chainrule.data.images import load_image
    from chainrule.data.shuffling import shuffle_dataset
    from chainrule.data.tables import Table, load_table
    from chainrule.nn.images import col2im, conv_output_size, im2col
    from chainrule.plotting.plots import (
        plot_confusion,
        plot_feature_maps,
        plot_history,
        plot_learning_rates,
        plot_mistakes,
        plot_weights,
    )
    from chainrule.plotting.report_page import training_report
    from chainrule.storage.book_weights import read_book_weights
    from chainrule.training.rate_finder import LearningRates, find_learning_rate
    from chainrule.training.smoothing import smooth_curve
else:
    _LATER = {
        **dict.fromkeys(("ArrayCheck", "Contract", "GradientReport"), "checking.report"),
        **dict.fromkeys(("check_hessian", "check_jacobian"), "checking.jacobian.checks"),
        "check_adjoint": "checking.adjoint.checks",
        **dict.fromkeys(("ProblemReport", "check_problem"), "checking.problem"),
        **dict.fromkeys(
            (
                "plot_confusion",
                "plot_feature_maps",
                "plot_history",
                "plot_learning_rates",
                "plot_mistakes",
                "plot_weights",
            ),
            "plotting.plots",
        ),
        **dict.fromkeys(("col2im", "conv_output_size", "im2col"), "nn.images"),
        **dict.fromkeys(("Pictures", "load_folder"), "data.folders"),
        **dict.fromkeys(("Table", "load_table"), "data.tables"),
        **dict.fromkeys(("LearningRates", "find_learning_rate"), "training.rate_finder"),
        "load_image": "data.images",
        "read_book_weights": "storage.book_weights",
        "shuffle_dataset": "data.shuffling",
        "smooth_curve": "training.smoothing",
        "training_report": "plotting.report_page",
    }

    def __getattr__(name):
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib

        found = globals()[name] = getattr(importlib.import_module(f"chainrule.{_LATER[name]}"), name)
        return found


# Pickles written before the package had folders refer to these modules. Their names are found here.
for _name in ("callbacks", "functions", "gradients", "history", "layers", "network", "optimizers"):
    _sys.modules[f"chainrule.{_name}"] = _sys.modules[__name__]
del _name
