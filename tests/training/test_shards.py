"""Batches in shards, on one process: which rows are whose, what is added up in which order, and what comes of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule import Adam, MultiLayerNet, fit, load
from chainrule.nn.engine import Ours
from chainrule.training.ranks import Ranks
from chainrule.training.shard_gradients import ByPlan
from chainrule.training.shards import Shards, halfway
from seed_reference import softmax
from training.mpi_runs import CASES, data, digest, train


def as_if(rank: int, size: int) -> Ranks:
    """Give one of several ranks; nothing is sent."""
    ranks = Ranks()
    ranks.rank, ranks.size = rank, size
    return ranks


@given(count=st.integers(1, 40), n=st.integers(0, 200))
def test_every_row_is_in_one_shard_and_their_lengths_differ_by_one_at_most(count: int, n: int) -> None:
    shards = Shards(count, as_if(0, 1))
    pairs = [shards.bounds(shard, n) for shard in range(count)]
    assert [row for first, end in pairs for row in range(first, end)] == list(range(n))
    lengths = [end - first for first, end in pairs]
    assert max(lengths) - min(lengths) <= 1
    assert lengths == sorted(lengths, reverse=True)  # the first is not empty unless all are


@given(count=st.integers(1, 40), size=st.integers(1, 9))
def test_the_sums_that_ranks_make_alone_are_all_of_the_tree(count: int, size: int) -> None:
    if size > count:
        return
    shards = Shards(count, as_if(0, size))
    nodes = [node for rank in range(size) for node in shards.nodes(rank)]
    assert [shard for first, end in nodes for shard in range(first, end)] == list(range(count))
    for rank in range(size):
        assert [shard for first, end in shards.nodes(rank) for shard in range(first, end)] == list(shards.of(rank))


@given(count=st.integers(1, 40), size=st.integers(1, 9), seed=st.integers(0, 99))
def test_the_bits_of_a_sum_do_not_depend_on_who_adds_what(count: int, size: int, seed: int) -> None:
    if size > count:
        return
    numbers = np.random.default_rng(seed).standard_normal((count, 3)) * 1e3

    def by_halves(first: int, end: int) -> Any:
        """Add up as the module says, written once more."""
        if end - first == 1:
            return numbers[first]
        left = first + max(2**k for k in range(10) if 2**k < end - first)
        return by_halves(first, left) + by_halves(left, end)

    shards = Shards(count, as_if(0, size))
    nodes = [node for rank in range(size) for node in shards.nodes(rank)]
    sums = np.array([by_halves(*node) for node in nodes])
    assert (shards.add_up(sums) == by_halves(0, count)).all()


def test_halves_are_powers_of_two() -> None:
    assert [halfway((3, 3 + n)) - 3 for n in range(2, 10)] == [1, 2, 2, 4, 4, 4, 4, 8]


@pytest.mark.parametrize("name", ["convolution", "own layer", "own network"])
def test_one_shard_is_the_whole_batch_to_the_last_bit_where_no_zeros_are_skipped(name: str) -> None:
    assert digest(*train(name, shards=1, augment=None)) == digest(*train(name, shards=None, augment=None))


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize("name", ["adam float32", "normalized", "convolution"])
def test_threads_with_shards_of_their_own_give_the_same_bits(
    name: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = digest(*train(name))
    monkeypatch.setattr("chainrule.training.sharded.WORTH_THREADS", 0)
    monkeypatch.setattr("chainrule._kernels.threads", lambda: threads)
    assert digest(*train(name)) == alone


def test_an_exception_in_a_thread_leaves_the_network_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chainrule.training.sharded.WORTH_THREADS", 0)
    monkeypatch.setattr("chainrule._kernels.threads", lambda: 2)
    find, net, (x, t) = ByPlan.find, MultiLayerNet(12, [5], 3, seed=0), data()

    def fails(self: Any, rows: Any, x: Any, place: tuple[int, int], *others: Any) -> float:
        if place[1] == 1 and len(calls) > 20:
            raise MemoryError
        calls.append(place)
        return find(self, rows, x, place, *others)

    calls: list[Any] = []
    monkeypatch.setattr(ByPlan, "find", fails)
    before = digest(net)
    with pytest.raises(MemoryError):
        fit(net, x, t, shards=8, batch_size=20)
    assert len(calls) > 20
    assert digest(net) == before


#: Batch normalization takes the statistics of a shard.
ALIKE = [name for name in CASES if name not in ("normalized", "own layer")]


@pytest.mark.parametrize("name", ALIKE)
@pytest.mark.parametrize("shards", [1, 2, 3, 8, 25])
def test_shards_give_the_numbers_of_whole_batches(name: str, shards: int) -> None:
    _, history = train(name, shards=shards, augment=None)
    _, whole = train(name, shards=None, augment=None)
    # Sums of at most 36 terms about 1 in another order, over 10 steps.
    rtol = 2e-5 if "32" in name or name in ("convolution", "bytes") else 1e-11
    np.testing.assert_allclose(history.losses, whole.losses, rtol=rtol)
    for measure, values in whole.measures().items():
        np.testing.assert_allclose(history.measures()[measure], values, rtol=rtol, err_msg=measure)


def of_two_layers(params: list[Any], x: Any, t: Any) -> tuple[float, list[Any]]:
    """Give loss and gradient of Affine-Relu-Affine-softmax, by NumPy."""
    W1, b1, W2, b2 = params
    z = x @ W1 + b1
    y = softmax(np.maximum(z, 0) @ W2 + b2)
    d = (y - np.eye(3)[t]) / len(x)
    dz = (d @ W2.T) * (z > 0)
    loss = -np.log(y[np.arange(len(x)), t]).mean()
    return float(loss), [x.T @ dz, dz.sum(axis=0), np.maximum(z, 0).T @ d, d.sum(axis=0)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_of_a_shard_is_that_of_its_rows_over_the_batch(dtype: Any) -> None:
    """Against NumPy's arithmetic of two layers, written out."""
    x, t = data()
    x = x.astype(dtype)
    net = MultiLayerNet(12, [9], 3, dtype=dtype, seed=1)
    plan = Ours(net).plan(x)
    assert plan is not None
    rows, out = np.array([7, 3, 90, 4]), np.full(sum(p.size for p in plan.parameters), 2, dtype)
    read = plan.examples(x, leave_out=False)
    before = out.copy()
    for adding in (False, True):
        found = plan.gradient(read, (t, None), rows, 5, 10, out, adding=adding, draws=(0, 0, 0))
        params = [p.astype(np.float64) for p in net.params.values()]
        loss, gradients = of_two_layers(params, x[rows].astype(np.float64), t[rows])
        wanted = np.concatenate([g.ravel() for g in gradients]) * (4 / 10)
        tolerance = 1e-6 if dtype == np.float32 else 1e-14
        np.testing.assert_allclose(out, wanted + adding * before, atol=tolerance)
        assert math.isclose(found, 4 * loss, rel_tol=tolerance)
        before = out.copy()


def test_an_update_by_a_gradient_is_that_of_the_optimizer() -> None:
    net = MultiLayerNet(12, [9], 3, seed=1)
    plan, same = Ours(net).plan(np.zeros((1, 12))), MultiLayerNet(12, [9], 3, seed=1)
    assert plan is not None
    optimizer, other = Adam(0.01, weight_decay=0.1), Adam(0.01, weight_decay=0.1)
    for step in range(3):
        gradient = np.random.default_rng(step).standard_normal(sum(p.size for p in plan.parameters))
        optimizer.prepare(net.params)
        plan.update(optimizer, list(net.params), gradient)
        cuts = np.cumsum([p.size for p in same.params.values()])[:-1]
        parts = np.split(gradient, cuts)
        other.update(same.params, {k: g.reshape(p.shape) for (k, p), g in zip(same.params.items(), parts, strict=True)})
    assert optimizer.iter == other.iter == 3
    assert digest(net) == digest(same)


@pytest.mark.parametrize("shards", [2, 5])
def test_running_statistics_are_the_mean_of_those_that_follow_each_shard(shards: int) -> None:
    net, _ = train("normalized", shards=shards, epochs=None, iterations=1, validation=None)
    before, _ = train("normalized", shards=shards, epochs=None, iterations=1, validation=None, learning_rate=1e-300)
    assert digest(net) != digest(before)
    x, _ = data()
    rows = np.random.default_rng(4)
    stream = rows.integers(2**63)  # drawn first: there is a Dropout
    batch = np.split(x[rows.permutation(len(x))[:25]] @ before.params["W1"] + before.params["b1"], _cuts(25, shards))
    means = sum(len(part) / 25 * (0.9 * 0 + 0.1 * part.mean(axis=0)) for part in batch)
    assert stream > 0
    np.testing.assert_allclose(before.layers["layer1"].running_mean, means, rtol=1e-12)


def _cuts(n: int, shards: int) -> list[int]:
    return [int(cut) for cut in np.cumsum([len(part) for part in np.array_split(np.arange(n), shards)])[:-1]]


def test_resuming_keeps_the_shards(tmp_path: Any) -> None:
    x, t = data()
    path = tmp_path / "run"

    def run(net: Any, **given: Any) -> Any:
        return fit(net, x, t, batch_size=20, seed=1, **given)

    whole, half = MultiLayerNet(12, [5], 3, seed=0), MultiLayerNet(12, [5], 3, seed=0)
    run(whole, epochs=4, shards=3)
    run(half, epochs=2, shards=3, checkpoint=path)
    with pytest.raises(ValueError, match=r"made with shards=3, this call has shards=None"):
        run(load(path), epochs=4, resume=path)
    run(half, epochs=4, shards=3, resume=path)
    assert digest(whole) == digest(half)


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True, "4"])
def test_shards_must_be_a_count(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="shards"):
        fit(MultiLayerNet(12, [5], 3), *data(), shards=wrong)


def test_a_batch_has_no_more_shards_than_examples() -> None:
    with pytest.raises(ValueError, match="batch_size is 4, but shards=5; each has one example or more"):
        fit(MultiLayerNet(12, [5], 3), *data(), batch_size=4, shards=5)
