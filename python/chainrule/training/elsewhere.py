"""The names of arguments of `fit` and of optimizers in other libraries, and what to use here instead."""

_RATE, _EPOCHS, _STEPS, _BATCH, _T = (
    f"it is called {name}" for name in ("learning_rate", "epochs", "iterations", "batch_size", "t, and comes third")
)

#: Names of Keras, scikit-learn, PyTorch and the books.
FIT_ELSEWHERE = {
    "X": "it is called x, and comes second",
    **dict.fromkeys(("y", "labels", "targets"), _T),
    **dict.fromkeys(("lr", "eta", "alpha", "step_size", "learning_rate_init"), _RATE),
    **dict.fromkeys(("n_epochs", "num_epochs", "nb_epoch", "max_iter"), _EPOCHS),
    **dict.fromkeys(("steps", "n_iter", "iters_num", "num_iterations"), _STEPS),
    **dict.fromkeys(("batch", "batchsize", "minibatch_size", "mini_batch_size"), _BATCH),
    "validation_data": "it is called validation, a pair (x, t)",
    "eval_set": "it is called validation, a pair (x, t)",
    "validation_split": "it is called validation, a share between 0 and 1",
    "shuffle": "each epoch is a permutation of the examples; replace=True draws them with replacement",
    "random_state": "it is called seed",
    "verbose": "progress=True shows a bar",
    "patience": "callbacks=[EarlyStopping(patience=…)] stops early",
    "early_stopping": "callbacks=[EarlyStopping()] stops early",
    "class_weight": "give each example the weight of its class: sample_weight",
    "momentum": "the optimizer has it: optimizer=Momentum(lr, momentum)",
    "weight_decay": "the optimizer has it: optimizer=SGD(lr, weight_decay=…)",
    "clipnorm": "it is called largest_norm",
    "max_grad_norm": "it is called largest_norm",
    "loss": "the last layer of the network is its loss",
    "metrics": "the history has the loss and the accuracy, or R², of each epoch",
}

OPTIMIZERS_ELSEWHERE = {
    "momentum": "that is Momentum(lr, momentum)",
    "nesterov": "that is Nesterov(lr, momentum)",
    "betas": "they are called beta1 and beta2",
    "beta_1": "it is called beta1",
    "beta_2": "it is called beta2",
    **dict.fromkeys(("rho", "alpha", "decay"), "RMSprop has it: decay_rate"),
    **dict.fromkeys(("eps", "epsilon"), "it is 1e-7, as in the book"),
    "params": "fit, or update(params, grads), gives them",
}
