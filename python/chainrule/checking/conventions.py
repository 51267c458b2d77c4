"""How public code calls things: a new convention is a line in one of these tables.

How a parameter's gradient is called stands in `chainrule.nn.parameters.places`, where networks and files look too.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

#: Methods that go forwards, and those that go back: an object that has one of each is a layer.
FORWARD = (
    "forward", "forward_pass", "fprop", "forward_propagate", "forward_propagation", "forward_prop", "forwardprop",
    "feed_forward", "feedforward", "forwards", "forwardpass", "fwd", "propagate", "apply", "call", "__call__",
)  # fmt: skip
BACKWARD = (
    "backward", "backward_pass", "bprop", "back_propagate", "backpropagate", "backward_propagate", "back_propagation",
    "backpropagation", "backward_propagation", "back_prop", "backprop", "backward_prop", "backwards", "backwardpass",
    "bwd", "backward_inputs", "backward_input", "back_grad", "backgrad", "bptt", "back_propagation_through_time",
)  # fmt: skip
#: Methods that give a value, and those that give its derivative for the same arguments.
VALUES = (
    "fn", "loss", "cost", "func", "function", "f", "value", "val", "evaluate", "compute", "calculate", "calc",
    "activate", "activation", "compute_loss", "forward", *FORWARD[1:], "eval", "forloss", "norm", "energy", "penalty",
    "error", "calculate_loss", "calculate_cost", "compute_cost", "calc_loss", "calc_cost", "get_loss",
)  # fmt: skip
DERIVATIVES = (
    "gradient", "grad", "gradients", "derivative", "deriv", "prime", "derivate", "df", "dfn", "d", "dloss", "delta",
    "grad_fn", "gradient_fn", "function_derivative", "loss_derivative", "loss_gradient", "loss_prime", "loss_grad",
    "compute_gradient", "compute_derivative", "gradient_loss", "activation_derivative", "activation_prime",
    "compute_grad", "compute_gradients", "compute_grads", "backloss", "first_derivative",
    "backward", *BACKWARD[1:], "dervivative", "dervative", "derivitive", "deriviative", "derivation", "influence",
)  # fmt: skip
#: What the derivative is called after its value: ``getEnergyGradient`` of ``getEnergy``. Capitals, underscores and the
#: verbs in front do not count.
DERIVATIVES_OF = (
    "{}prime", "{}gradient", "{}grad", "{}derivative", "{}deriv", "grad{}", "gradient{}", "derivative{}", "d{}",
    "firstderivative{}", "{}firstderivative", "d{}dx", "d{}dy", "d{}dz", "d{}da", "d{}dw",
)  # fmt: skip
VERBS = ("calculate", "compute", "evaluate", "calc", "comp", "eval", "get")
#: Methods of a network that give its loss, for what forward has given and the labels.
LOSS_METHODS = (
    "loss", "compute_loss", "compute_cost", "cost", "calculate_loss", "calculate_cost", "calc_loss", "calc_cost",
    "get_loss", "loss_function", "cost_function", "loss_fn", "loss_func", "cost_fn", "cross_entropy_loss", "criterion",
    "objective", "calculate_cross_entropy_loss", "mse_loss", "loss_value", "compute_error", "loss_layer",
    "loss_obj", "loss_object", "_loss", "lossfunc", "loss_f", "loss_fnc", "loss_fcn", "lossfn",
)  # fmt: skip
#: How a derivative calls the function that it is handed, as one that takes differences would need it.
FUNCTIONS = frozenset({"f", "fn", "fun", "func", "function", "fct", "F", "objective", "obj"})
#: What forward leaves its output in, and backward the gradient of its input, if they return nothing.
OUTPUTS = (
    "output", "outputs", "out", "y", "Y", "Z", "z", "a", "A", "activation", "result", "y_pred", "loss", "value", "h",
)  # fmt: skip
INPUT_GRADIENTS = (
    "dinputs", "dinput", "dx", "dX", "d_x", "d_input", "d_inputs", "grad_input", "input_grad", "grad_inputs",
    "input_gradient", "gradient_input", "gradInput", "grad_x", "din", "dA_prev", "da_prev", "dZ", "dz", "dA", "delta",
    "grad", "gradient",
)  # fmt: skip
#: Keys under which a dict of gradients may have that of the input.
INPUT_KEYS = ("propagate", "input", "inputs", "x", "X", "prev", "previous", "A_prev", "downstream", "to_prev", "back")
#: So some layers call the gradient of what they have before their activation, or of a parameter: no proof that it is
#: the input's.
PERHAPS_INPUT_GRADIENTS = frozenset({"dZ", "dz", "dA", "delta", "grad", "gradient"})
#: What a loss leaves its value in, if it hands on its input.
LOSSES = ("loss", "cost", "error", "value", "loss_value")
#: Arguments of backward that are no gradient: a step size, what forward gave for it to keep.
LEARNING_RATES = frozenset({"lr", "learning_rate", "eta", "alpha", "rate", "step_size", "step", "learningRate", "l_r"})
#: Those that are called so and nothing else: ``eta`` is an error that comes back as often.
PLAIN_RATES = frozenset({"lr", "learning_rate", "step_size", "learningRate", "l_r"})
CACHES = frozenset({"cache", "caches", "ctx", "context", "memory", "saved", "state", "tape", "stored", "_cache"})
#: What forward gave, as an argument of backward; words that are in no other's name first.
PLAINLY_OUT = frozenset({"out", "output", "outputs", "activated", "result"})
GIVEN_OUT = PLAINLY_OUT | {"s", "y", "a", "A", "p", "h", "probs", "activation", "softmax", "sigmoid", "tanh", "fx"}
#: Arguments of backward that no array is to be given for.
OPTIMIZERS = frozenset(
    {
        "optimizer",
        "optimiser",
        "optim",
        "opt",
        "solver",
        "updater",
        "update_fn",
        "optimizer_fn",
        "optimizer_func",
    }
)
#: Arguments of a loss: what it is measured against, and what is predicted.
TARGETS = frozenset((
    "t", "y_true", "ytrue", "true", "target", "targets", "label", "labels", "truth", "ground_truth", "gt", "expected",
    "actual", "desired", "y_real", "ys_true", "real", "one_hot", "onehot", "y_target", "t_true", "Y_true", "true_y",
    "ground", "ids", "correct", "d",
))  # fmt: skip
PREDICTED = frozenset((
    "y_pred", "ypred", "y_hat", "yhat", "pred", "preds", "predicted", "prediction", "predictions", "y_", "logits",
    "scores", "score", "probs", "prob", "output", "outputs", "out", "a", "A", "AL", "x", "X", "z", "Z", "Y_hat",
    "Y_pred", "Yhat", "estimate", "o", "y_preds", "p", "h", "inputs", "input",
))  # fmt: skip
#: Targets only beside what is called like a prediction: the time, and a distance, have these names as often.
TIMES = frozenset({"t", "d"})
#: Targets too, if what is predicted has another name.
PERHAPS_TARGETS = frozenset({"y", "Y", "ys"})


def first_of(names: Iterable[str], there: Container[str]) -> str | None:
    """Give the first of some names that is there."""
    return next((name for name in names if name in there), None)


def spelled_otherwise(names: Iterable[str], there: Iterable[str]) -> list[str]:
    """Give what is there under these names with other capitals and underscores: ``forwardPass``."""
    bare = {name.replace("_", "").lower(): name for name in there if not name.startswith("_")}
    called = (name.replace("_", "").lower() for name in names if len(name) > 1)
    return [bare[name] for name in called if name in bare]


def plain(name: str) -> str:
    """Give a name without capitals, underscores and a verb in front of it."""
    bare = name.replace("_", "").lower()
    return next((bare.removeprefix(verb) for verb in VERBS if bare.startswith(verb) and bare != verb), bare)


def derivative_of(value: str, names: Iterable[str]) -> str | None:
    """Give the method whose name says that it is the derivative of this one: ``cost_gradient`` of ``cost``."""
    called = {pattern.format(plain(value)) for pattern in DERIVATIVES_OF} if len(plain(value)) > 1 else set()
    return next((name for name in names if plain(name) in called), None)


def named_alike(names: Iterable[str]) -> tuple[str, str] | None:
    """Give a value and its derivative among methods whose names say that they belong together; None if several do."""
    methods = {name: plain(name) for name in names if not name.startswith("__")}
    after = [
        (value, other) for value, bare in methods.items()
        for other, called in methods.items()
        if called in (pattern.format(bare) for pattern in DERIVATIVES_OF if len(bare) > 1 or pattern[:4] == "d{}d")
    ]  # fmt: skip
    values, derivatives = set(map(plain, VALUES)), set(map(plain, DERIVATIVES))
    general = [(v, d) for v, bare in methods.items() if bare in values for d in methods if methods[d] in derivatives]
    found = after or general or ([("f", "g")] if {"f", "g"} <= methods.keys() else [])
    return found[0] if len(found) == 1 else None


def is_target(name: str, others: list[str]) -> bool:
    """Tell whether an argument of a loss is what it is measured against, as far as the names tell."""
    if name in TIMES:
        return any(other in PREDICTED or other in PERHAPS_TARGETS for other in others if other != name)
    if name in TARGETS or not {"target", "targets", "label", "labels", "true"}.isdisjoint(name.split("_")):
        return True
    return name in PERHAPS_TARGETS and any(other in PREDICTED for other in others if other != name)


def is_statistic(name: str) -> bool:
    """Tell whether an array is called like what training has seen, a constant where it is used: ``running_mean``."""
    return name.strip("_").lower().startswith(("running", "moving", "runmean", "runvar", "run_mean", "run_var"))


def is_output_name(name: str, words: Container[str] = GIVEN_OUT) -> bool:
    """Tell whether an argument of backward is called like what forward gave."""
    return not is_gradient_name(name) and any(part in words for part in (name, *name.strip("_").split("_")))


def is_gradient_name(name: str) -> bool:
    """Tell whether an argument of backward is called like the gradient of what came out."""
    bare = name.strip("_").lower()
    parts = bare.split("_")
    return bare.startswith(("grad", "dout", "dl", "dy", "dz", "da", "dv", "delta", "upstream", "err")) or (
        not {"grad", "grads", "gradient", "gradients", "delta", "error", "d", "dout"}.isdisjoint(parts)
    )
