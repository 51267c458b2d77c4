"""How long a grid search takes: GridSearchCV over four settings on 10,000 images of MNIST, with either MLPClassifier.

Run it: ``python benchmarks/sklearn_grid.py``. It takes some minutes. Both have the same settings, folds and number of
epochs, in float32 and in float64, and no ``n_jobs``; they take turns, and ratios are taken within a round. What was
found is written to ``sklearn_grid.json`` in the folder of the build.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from typing import Any

import numpy as np
import sklearn
from results import TARGET, pipes, ratio, write
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neural_network import MLPClassifier as Theirs

import chainrule
from chainrule.sklearn import MLPClassifier

ROUNDS, IMAGES, EPOCHS = 5, 10_000, 5
GRID = {"hidden_layer_sizes": [(50,), (100,)], "alpha": [1e-4, 1e-2]}
KINDS = {"scikit-learn": Theirs, "chainrule": MLPClassifier}


def search(kind: Any, x: Any, t: Any, test: tuple[Any, Any]) -> dict[str, Any]:
    """Search the grid, the last training on all images included; give the seconds and what was found."""
    model = kind(max_iter=EPOCHS, random_state=0)
    grid = GridSearchCV(model, GRID, cv=StratifiedKFold(3), n_jobs=None)
    started = time.perf_counter()
    grid.fit(x, t)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "best": grid.best_params_, "folds": grid.best_score_, "accuracy": grid.score(*test)}


def main() -> int:
    """Print the table; exit code 1 if chainrule is not three times as fast."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # so many epochs for both, whatever progress there is
    (x, t), (x_test, t_test) = chainrule.load_mnist()
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for _ in range(ROUNDS):
        for dtype in ("float32", "float64"):
            data = x[:IMAGES].astype(dtype), t[:IMAGES], (x_test.astype(dtype), t_test)
            for name, kind in KINDS.items():
                runs.setdefault((name, dtype), []).append(search(kind, *data))

    rows, ratios = [], {}
    for (name, dtype), done in runs.items():
        seconds = [run["seconds"] for run in done]
        times = ratio([run["seconds"] for run in runs["scikit-learn", dtype]], seconds)
        ratios[name, dtype] = times
        rows.append(
            {
                "MLPClassifier": f"{name}, {dtype}",
                "seconds": f"{statistics.median(seconds):.2f}",
                "× scikit-learn": f"{times:.1f}",
                "folds": f"{done[0]['folds']:.4f}",
                "test": f"{done[0]['accuracy']:.4f}",
                "best": ", ".join(f"{key}={value}" for key, value in done[0]["best"].items()),
            }
        )
    print(f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}, chainrule {chainrule.__version__}")
    print(f"{IMAGES} images, {EPOCHS} epochs, 4 settings × 3 folds and the best once more; medians of {ROUNDS} rounds")
    print(pipes(rows))
    write({"rows": rows, "runs": [[*key, done] for key, done in runs.items()]}, TARGET / "sklearn_grid.json")
    return 0 if min(times for (name, _), times in ratios.items() if name == "chainrule") >= 3 else 1


if __name__ == "__main__":
    sys.exit(main())
