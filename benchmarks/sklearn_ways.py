"""scikit-learn: its MLPClassifier with the same plain gradient descent.

It draws its batches itself: each epoch is a shuffle of the images, where the others draw with replacement.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jobs
import numpy as np
from jobs import Array, Outcome, Pairs
from sklearn.neural_network import MLPClassifier


class Network:
    """An MLPClassifier that does one epoch at a time, as many steps as it is given rows."""

    def __init__(self, widths: Sequence[int], batch: int, train: Pairs, test: Pairs, rate: float, *, seed: int) -> None:
        self.sets = [(jobs.pixels(x), t) for x, t in (train, test)]
        self.model = MLPClassifier(
            hidden_layer_sizes=widths[1:-1],
            solver="sgd",
            alpha=0,
            batch_size=batch,
            learning_rate_init=rate,
            momentum=0,
            nesterovs_momentum=False,
            shuffle=True,
            random_state=seed,
        )
        x, t = self.sets[0]
        # It makes its parameters when it first sees data; they are overwritten in `start`.
        self.model.partial_fit(x[:batch], t[:batch], classes=np.arange(widths[-1]))

    def start(self, parameters: list[Array]) -> None:
        """As `jobs.Learner.start`."""
        for mine, given in zip(self.model.coefs_, parameters[::2], strict=True):
            mine[...] = given
        for mine, given in zip(self.model.intercepts_, parameters[1::2], strict=True):
            mine[...] = given

    def train(self, rows: Array) -> Array:
        """As `jobs.Learner.train`."""
        x, t = self.sets[0]
        self.model.partial_fit(x[: rows.size], t[: rows.size])
        return np.array([self.model.loss_])

    def evaluate(self) -> float:
        """As `jobs.Learner.evaluate`."""
        _, accuracy = [float(np.mean(self.model.predict(x) == t)) for x, t in self.sets]
        return accuracy


def job(iterations: int, seed: int) -> Outcome:
    return jobs.job(partial(Network, seed=seed), iterations, seed)
