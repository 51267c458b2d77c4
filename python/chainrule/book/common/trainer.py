"""The book's ``common/trainer.py``: its loop, step by step, and its star import."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from chainrule._gate import count, numbers
from chainrule.book.common.optimizer import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop

__all__ = ["SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop", "Trainer", "np"]

_OPTIMIZERS: dict[str, Any] = {
    kind.__name__.lower(): kind for kind in (SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam)
}  # fmt: skip
#: A default that nobody can change.
_LR: Mapping[str, float] = MappingProxyType({"lr": 0.01})


class Trainer:
    """Train a network as the book does: draw a batch, make a step, note the loss, and the accuracies once an epoch.

    Parameters
    ----------
    network : object
        An object with ``params``, ``gradient(x, t)``, ``loss(x, t)`` and ``accuracy(x, t)``.
    x_train : ndarray, shape (N, ...)
        Training examples.
    t_train : ndarray, shape (N,) or (N, C)
        Class ids, or distributions.
    x_test, t_test : ndarray
        The test examples and their class ids or distributions.
    epochs : int, default 20
        The number of epochs; in each, as many examples are drawn as there are.
    mini_batch_size : int, default 100
        The number of examples to draw for a step, with replacement.
    optimizer : {'SGD', 'Momentum', 'Nesterov', 'AdaGrad', 'RMSprop', 'Adam'}
        The name of the optimizer, in upper or lower case.
    optimizer_param : dict, default {'lr': 0.01}
        The arguments of the optimizer.
    evaluate_sample_num_per_epoch : int, optional
        The number of examples for the accuracies of an epoch; by default all.
    verbose : bool, default True
        Whether to print, as the book does.

    Attributes
    ----------
    train_loss_list : list of float
        The loss of each step's batch, after the step.
    train_acc_list, test_acc_list : list of float
        The accuracies of the epochs.
    final_test_acc : float or None
        The accuracy on the whole test set after training, which the book only prints.
    network, x_train, t_train, x_test, t_test, epochs, batch_size, evaluate_sample_num_per_epoch, verbose
        The arguments.
    optimizer : Optimizer
        The optimizer that makes the steps.
    train_size, max_iter, current_iter, current_epoch : int
        The number of examples, of all steps, of steps made, and of epochs begun.
    iter_per_epoch : float
        The number of steps in an epoch: `train_size` / `batch_size`, or 1.

    Raises
    ------
    TypeError
        If a number is not whole, or `optimizer_param` does not fit the optimizer.
    ValueError
        If there is no such optimizer, a number is out of range, or there is not one answer for each example.

    Notes
    -----
    Draws ``np.random.choice(train_size, batch_size)`` from NumPy's global generator at each step. As in the book, the
    accuracies are computed at the steps that `iter_per_epoch` divides: after the first step and, if the batch size does
    not divide the number of examples, perhaps at no other. `chainrule.fit` has whole epochs.
    Source: ``common/trainer.py`` of "Deep Learning from Scratch".

    Examples
    --------
    >>> from chainrule.book import MultiLayerNet
    >>> np.random.seed(0)
    >>> x, t = np.eye(4), np.array([0, 1, 0, 1])
    >>> trainer = Trainer(MultiLayerNet(4, [8], 2), x, t, x, t, epochs=30, mini_batch_size=4, verbose=False)
    >>> trainer.train()
    >>> len(trainer.train_loss_list), trainer.final_test_acc == trainer.test_acc_list[-1]
    (30, True)
    """

    def __init__(
        self,
        network: Any,
        x_train: Any,
        t_train: Any,
        x_test: Any,
        t_test: Any,
        epochs: int = 20,
        mini_batch_size: int = 100,
        optimizer: str = "SGD",
        optimizer_param: Mapping[str, Any] = _LR,
        evaluate_sample_num_per_epoch: int | None = None,
        verbose: bool = True,
    ) -> None:
        kind = _OPTIMIZERS.get(optimizer.lower() if isinstance(optimizer, str) else "")
        if kind is None:
            raise ValueError(f"optimizer must be one of {', '.join(_OPTIMIZERS)}, got {optimizer!r}")
        self.network, self.verbose = network, verbose
        self.x_train, self.t_train = _examples(x_train, t_train, "train")
        self.x_test, self.t_test = _examples(x_test, t_test, "test")
        self.epochs, self.batch_size = count(epochs, "epochs", least=0), count(mini_batch_size, "mini_batch_size")
        self.evaluate_sample_num_per_epoch = evaluate_sample_num_per_epoch
        self.optimizer = kind(**optimizer_param)

        self.train_size = len(self.x_train)
        self.iter_per_epoch = max(self.train_size / self.batch_size, 1)
        self.max_iter = int(self.epochs * self.iter_per_epoch)
        self.current_iter = 0
        self.current_epoch = 0
        self.train_loss_list: list[float] = []
        self.train_acc_list: list[float] = []
        self.test_acc_list: list[float] = []
        self.final_test_acc: float | None = None

    def train_step(self) -> None:
        """Draw a batch, make one step, and note its loss; at the end of an epoch, the accuracies too."""
        batch = np.random.choice(self.train_size, self.batch_size)
        x, t = self.x_train[batch], self.t_train[batch]

        self.optimizer.update(self.network.params, self.network.gradient(x, t))

        loss = self.network.loss(x, t)
        self.train_loss_list.append(loss)
        self._print(f"train loss:{loss}")

        if self.current_iter % self.iter_per_epoch == 0:
            self.current_epoch += 1
            some = slice(self.evaluate_sample_num_per_epoch)
            train_acc = self.network.accuracy(self.x_train[some], self.t_train[some])
            test_acc = self.network.accuracy(self.x_test[some], self.t_test[some])
            self.train_acc_list.append(train_acc)
            self.test_acc_list.append(test_acc)
            self._print(f"=== epoch:{self.current_epoch}, train acc:{train_acc}, test acc:{test_acc} ===")
        self.current_iter += 1

    def train(self) -> None:
        """Make all steps, and then compute the accuracy on the whole test set."""
        for _ in range(self.max_iter):
            self.train_step()

        self.final_test_acc = self.network.accuracy(self.x_test, self.t_test)
        self._print("=============== Final Test Accuracy ===============")
        self._print(f"test acc:{self.final_test_acc}")

    def _print(self, text: str) -> None:
        if self.verbose:
            print(text)


def _examples(x: Any, t: Any, which: str) -> tuple[Any, Any]:
    """Give both as arrays; raise ValueError if there are none, or not one answer for each example."""
    x, t = numbers(x, f"x_{which}"), numbers(t, f"t_{which}")
    if x.ndim == 0 or t.ndim == 0 or len(x) != len(t) or len(x) == 0:
        raise ValueError(f"x_{which} and t_{which} must have one entry per example, got {x.shape} and {t.shape}")
    return x, t
