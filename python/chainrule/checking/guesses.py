"""What to hand over by name, when nobody says: a new name is a word in one of these tables.

Sizes are letters, and each *kind* of input says how large a letter is: all that stand side by side differ, so that no
wrong axis fits. A shape is letters and numbers, ``"N D"``; ``4M`` is four times M. An entry may be a dict by kinds of
input. Where more than one value is sensible they stand in a list, and all names of a call move along theirs together:
the second of ``W`` (its transpose) is tried with the second of ``b``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Kind:
    """A kind of input: its name, the shape of the first argument, and how large each letter is."""

    name: str
    shape: str
    #: Whose entries in the tables are used.
    group: str
    #: Whether it is a single example.
    one: bool = False
    #: Whether it is of whole numbers.
    ids: bool = False

    def size(self, letters: str) -> int:
        """Give the size that a letter, a number, or a number and a letter stand for."""
        if letters.isdigit():
            return int(letters)
        sizes = _IMAGE if self.group.startswith("images") else _TABLE
        return int(letters[:-1] or 1) * sizes[letters[-1]]

    def sizes(self, shape: str) -> tuple[int, ...]:
        """Give a shape in numbers."""
        return tuple(self.size(letters) for letters in shape.split())


_COMMON = {"M": 3, "L": 6, "T": 2, "V": 7, "K": 3, "P": 2}
_TABLE = {**_COMMON, "N": 5, "D": 4, "C": 3, "F": 5, "H": 4}
_IMAGE = {**_COMMON, "N": 2, "D": 48, "C": 3, "F": 5, "H": 4}

ROWS = Kind("rows", "N D", "rows")
COLUMNS = Kind("columns", "D N", "columns")
#: For losses only: a softmax over one number is always 1.
ONE_EACH = Kind("one number each", "N 1", "rows")
VECTOR = Kind("a vector", "D", "rows", one=True)
SEQUENCES = Kind("sequences", "N T D", "rows")
#: In the order in which they are tried. What takes a batch is given one: a single example hides what is not added up.
KINDS = (
    ROWS,
    COLUMNS,
    ONE_EACH,
    Kind("other rows", "N M", "rows"),
    Kind("images", "N C H H", "images"),
    Kind("images, channels last", "N H H C", "images last"),
    SEQUENCES,
    VECTOR,
    Kind("one row", "1 D", "rows", one=True),
    Kind("one column", "D 1", "columns", one=True),
    Kind("one image", "C H H", "images", one=True),
    Kind("one image, channels last", "H H C", "images last", one=True),
    Kind("one grey image", "H H", "images", one=True),
    Kind("ids", "N", "rows", ids=True),
    Kind("sequences of ids", "N T", "rows", ids=True),
    Kind("a number", "", "rows", one=True),
)

#: For functions of a vector, most of which take one of a certain size.
VECTORS = (VECTOR, *(Kind(f"a vector of {n}", str(n), "rows", one=True) for n in (2, 3, 1, 6, 5)))


def tanh_derivative(z: Any) -> Any:
    """Give the derivative of tanh, for what asks for a function and its derivative."""
    return 1 - np.tanh(z) ** 2


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _named(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry for names, entry in table.items() for name in names.split()}


#: Whole numbers: how many.
SIZES = _named(
    {
        "input_size input_dim input_dims in_dim in_size n_in nin n_inputs num_inputs num_input in_features"
        " n_input fan_in input_features input_units input_nodes input_num inputs num_in d_in dim_in insize"
        " inp_size prev_size n_prev n_x nx D D_in in_nodes n_features_in input_neurons input_count size_in i_size"
        " input_length embedding_dim embed_dim embed_size embedding_size emb_dim wordvec_size word_dim"
        " word_vec_size d_model idim n_i n_feature": "D",
        "output_size output_dim out_dim out_size n_out nout n_outputs num_outputs num_output out_features"
        " n_output fan_out output_features output_units output_nodes output_num outputs num_out d_out dim_out"
        " outsize units n_units neurons n_neurons num_neurons num_units n_nodes num_nodes nodes n_y ny M D_out"
        " out_nodes output_neurons size_out o_size n_o odim n_classes num_classes classes n_class num_class"
        " class_num num_labels n_labels C": "M",
        "hidden_size hidden_dim n_hidden num_hidden hidden hidden_units hidden_nodes hidden_num hidden_neurons"
        " n_h nh H hid_size d_hidden state_size n_a h_dim encoding_dim latent_dim latent_size code_size z_dim d_ff"
        " dff ff_dim ffn_dim d_hid mem_cell_ct": ["L", "M"],
        "n_heads num_heads heads n_head num_head head_num h_num": "P",
        "n_layers num_layers layer_num n_layer": "1",
        "num_features n_features features dim size dims n_dim feature_size feature_dim normalized_shape"
        " layer_size num_feature": {"rows": "D", "columns": "D", "images": "C", "images last": "C"},
        "vocab_size V num_embeddings n_vocab vocabulary_size vocab num_words n_words input_vocab": "V",
        "in_channels input_channels n_channels num_channels channels channel in_channel c_in channels_in n_C_prev"
        " in_c input_channel in_depth input_depth n_in_channels num_in_channels channel_in nb_channels": {
            "rows": "D", "columns": "D", "images": "C", "images last": "C",
        },
        "out_channels output_channels out_channel c_out channels_out n_C out_c output_channel out_depth n_filters"
        " num_filters filters filter_num n_filter num_filter filters_num n_kernels num_kernels kernel_num k_num depth"
        " kernels_num number_of_filters num_kernel nb_filters filter_count channel_out": "F",
        "kernel_size filter_size ksize kernel_dim f k kernel_height kernel_width filter_h filter_w kernel_h"
        " kernel_w filter_height filter_width kh kw fh fw KH KW FH FW window_size kernel_shape filter_dim"
        " kernelSize size_kernel filter_shape": ["K", ("K", "K")],
        "pool_size pool_h pool_w pool_height pool_width pooling_size pool_shape pool_dim pool window poolsize": [
            "P", ("P", "P"),
        ],
        "groups G num_groups n_groups": "C",
        "input_shape in_shape input_shapes shape inp_shape image_shape img_shape": {
            "rows": [("D",), "D"], "columns": [("D",), "D", ("D", 1)],
            "images": [("C", "H", "H"), ("H", "H"), ("N", "C", "H", "H")],
            "images last": [("H", "H", "C"), ("N", "H", "H", "C")],
        },
        "output_shape out_shape": {"rows": [("M",), "M"], "columns": [("M",), ("M", 1)]},
        "layer_sizes layers_dims layer_dims sizes layers dims_list architecture layer_size_list nodes_per_layer"
        " structure topology": [["D", "L", "M"]],
        "hidden_dims hidden_sizes hidden_layers hidden_size_list hidden_layer_sizes": [["L"]],
        "timesteps time_steps seq_len seq_length sequence_length n_steps T bptt_truncate time_size": "T",
        "batch_size batchsize n_batch m": "N",
        "height width image_size img_size in_height in_width input_height input_width h_in w_in": "H",
    }
)  # fmt: skip
#: Parts of names that say what a whole number counts, if the whole name stands in no table; the first that fits.
PARTS = (
    ("kernel", "K"), ("filter_size", "K"), ("ksize", "K"), ("k_size", "K"), ("pool", "P"), ("filter", "F"),
    ("out_ch", "F"),
    ("channel", "C"), ("class", "M"), ("categor", "M"), ("label", "M"), ("vocab", "V"), ("hidden", "L"),
    ("output", "M"), ("out_", "M"), ("_out", "M"), ("input", "D"), ("in_", "D"), ("_in", "D"), ("feature", "D"),
    ("neuron", "M"), ("unit", "M"), ("node", "M"), ("embed", "D"),
)  # fmt: skip
#: Numbers, flags, words, options. What stands in the list is tried in turn.
VALUES = _named(
    {
        "stride strides s stride_h stride_w": [1, (1, 1)],
        "pad padding p_size pads zero_padding": [1, "same", "valid", 0],
        "lr learning_rate eta l_r step_size learningRate": 0.1,
        "rate p drop_rate dropout_rate dropout dropout_ratio prob dropout_prob ratio drop_prob p_drop drop"
        " drop_probability": 0.3,
        "drop_percent": 30,
        "capacity_factor": 1.5,
        "keep_prob keep keep_rate keep_probability p_keep": 0.7,
        "eps epsilon": 1e-5,
        "momentum rho decay decay_rate beta1 m_rate": 0.9,
        "alpha negative_slope slope leak leaky a": 0.1,
        "reg reg_lambda lambda_ lam lambd l2 l1 weight_decay weight_decay_lambda regularization lmbda lambda1"
        " lambda2 reg_strength l2_reg": 0.1,
        "scale std weight_init_std weight_scale sigma stddev init_std": 0.5,
        "margin delta threshold temperature tau c": 1.0,
        "seed random_state random_seed": 1,
        "training train is_training train_flg is_train train_mode trainable use_bias with_bias has_bias add_bias"
        " bias_flag last_layer is_last flag": True,
        "stateful debug verbose inference test": False,
        "activation act activation_function act_fn activation_fn activation_func act_func non_linearity"
        " nonlinearity func activation_type activation_name": ["relu", "sigmoid", np.tanh],
        "activation_prime activation_derivative dactivation activation_grad d_activation activation_gradient"
        " derivative act_prime act_derivative dact d_act deriv grad_fn func_prime": tanh_derivative,
        "mode": ["train", "max"],
        "initializer init weight_init weight_initializer initialization init_method weights_init": [
            "random", "xavier", "normal", "uniform", "he",
        ],
        "loss loss_fn loss_function": ["mse", "cross_entropy"],
        "dtype": np.float64,
        "name layer_name": "it",
        "bn_param ln_param gn_param": [{"mode": "train"}],
        "dropout_param": [{"mode": "train", "p": 0.5}],
        "conv_param": [{"stride": 1, "pad": 1}],
        "pool_param": [{"pool_height": 2, "pool_width": 2, "stride": 2}, {"size": 2, "pool_size": 2, "stride": 2}],
        "hparameters hparams": [{"stride": 2, "pad": 1, "f": 2}],
        "axis": 1,
        "reduction": ["mean", "sum"],
    }
)  # fmt: skip
#: Arrays of floats that are no input: weights, and what goes with them. The lists of all go along together: as they
#: are, transposed, four gates, three gates, with an axis more.
ARRAYS = _named(
    {
        "W w weight weights Wx W_x Wxh W_xh W_ih W_in theta Theta w_x Wax U coef kernel filters_ filter": {
            "rows": ["D M", "M D", "D 4M", "D 3M", "D M"],
            "columns": ["M D", "D M", "4M D", "3M D", "M D"],
            "images": ["F C K K", "C F K K", "K K C F", "C K K", "K K", "F C K K"],
            "images last": ["K K C F", "F K K C"],
        },
        "Wh W_h Whh W_hh w_h Waa": {
            "rows": ["M M", "M M", "M 4M", "M 3M", "M M"],
            "columns": ["M M", "M M", "4M M", "3M M", "M M"],
        },
        "b bias biases B bh b_h ba bx": {
            "rows": ["M", "M", "4M", "3M", "1 M", "M"],
            "columns": ["M 1", "M 1", "4M 1", "3M 1", "M"],
            "images": ["F", "F", "F", "F 1", "F 1 1", "F"],
            "images last": ["F", "1 1 1 F"],
        },
        "gamma beta g_scale shift scale_": {
            "rows": ["D", "D", "D", "D", "1 D", "M"],
            "columns": ["D 1", "D 1", "D"],
            "images": ["C", "1 C 1 1", "C", "C", "C", "F"],
            "images last": ["C", "1 1 1 C"],
        },
        "running_mean running_var moving_mean moving_var": {"rows": "D", "columns": "D 1", "images": "C"},
        "W_embed W_in_embed embedding": {"rows": "V D"},
        "W1": {"rows": "D L", "columns": "L D"},
        "b1": {"rows": ["L", "1 L"], "columns": "L 1"},
        "W2": {"rows": "L M", "columns": "M L"},
        "b2": {"rows": ["M", "1 M"], "columns": "M 1"},
    }
)
#: What names mean in classes that are called so, before all else.
BY_CLASS = {
    "pool": _named(
        {
            "stride strides s kernel_size filter_size ksize k_size size f k n kernel filter": ["P", ("P", "P")],
            "pad padding p": [0, "valid"],
        }
    ),
    "crop": _named({"size padding pad crop": 1}),
    "pad": _named({"size padding pad p": 1}),
}
#: Hidden states, where they are not the first argument.
STATES = _words(
    "h prev_h h_prev hprev h0 prev_state hidden hidden_state c prev_c c_prev cprev c0 cell a0 a_prev prev_a state"
)
#: Names that mean what ARRAYS has only beside one of weights.
BESIDE_WEIGHTS = _words("b bias biases B beta")
#: Names of weights: an array of them is one, wherever it stands.
WEIGHTS = frozenset(ARRAYS) - BESIDE_WEIGHTS
#: Predictions that are probabilities, as far as names tell: a loss that clips them is not to be given others.
PROBABILITIES = _words(
    "y_pred ypred y_hat yhat pred preds predicted prediction predictions predict probs prob output outputs out a A AL p"
    " Y_hat Y_pred Yhat estimate o y_preds y_ proba y_prob"
)
#: Parts of names of what gives one number to be made small.
LOSSES = (
    "loss", "cost", "objective", "entropy", "mse", "error", "hinge", "criterion", "nll", "bce", "mae", "value_and",
)  # fmt: skip
#: Those whose labels are as large as their predictions.
ENTRY_LOSSES = (
    "binary", "bce", "mse", "square", "mae", "absolute", "hinge", "huber", "logistic", "quadratic", "cosh",
)  # fmt: skip
