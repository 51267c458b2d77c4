"""The twins of the layers for images: central differences with a random dout, and numbers from elsewhere.

The numbers were printed by the published code of "Deep Learning from Scratch" (chapter 7, and `BatchNormalization` of
chapter 6), and by PyTorch for what that code has not: padding around a pool, means, channels, normalised layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import twins

RNG = np.random.default_rng


def sines(*shape: int, step: float = 1.0, start: float = 0.0, size: float = 1.0) -> Any:
    return size * np.sin(step * np.arange(np.prod(shape)) + start).reshape(shape)


def cosines(*shape: int, step: float = 1.0, start: float = 0.0, size: float = 1.0) -> Any:
    return size * np.cos(step * np.arange(np.prod(shape)) + start).reshape(shape)


def figures(array: Any) -> list[float]:
    """Give the length, the sum, and the first and last number."""
    return [float(np.sqrt((array**2).sum())), float(array.sum()), float(array.flat[0]), float(array.flat[-1])]


def differences(layer: Any, x: Any, array: Any, dout: Any, *flags: Any) -> Any:
    """Give central differences of the sum of dout · out, the values of the running statistics put back each time."""
    slopes, h, kept = np.zeros(array.shape), 1e-5, dict(vars(layer))

    def f() -> float:
        value = float((dout * layer.forward(x, *flags)).sum())
        vars(layer).update({name: kept[name] for name in kept if name.startswith("running")})
        return value

    for index in np.ndindex(array.shape):
        before = array[index]
        array[index] = before + h
        above = f()
        array[index] = before - h
        slopes[index] = (above - f()) / (2 * h)
        array[index] = before
    return slopes


def scales(size: int) -> tuple[Any, Any]:
    return RNG(1).uniform(0.5, 2, size), RNG(2).standard_normal(size)


CASES: dict[str, tuple[Any, tuple[int, ...], tuple[Any, ...]]] = {
    "convolution": (lambda: twins.Convolution(RNG(1).standard_normal((3, 2, 3, 2)), RNG(2).standard_normal(3)),
                    (2, 2, 5, 4), ()),
    "convolution_stride_pad": (
        lambda: twins.Convolution(RNG(1).standard_normal((2, 3, 3, 3)), RNG(2).standard_normal(2), 2, 2),
        (2, 3, 6, 5), ()),
    "convolution_of_one": (lambda: twins.Convolution(RNG(1).standard_normal((2, 3, 2, 2)), np.ones(2), 1, 1),
                           (3, 4, 3), ()),
    "pooling": (lambda: twins.Pooling(2, 2), (2, 3, 5, 4), ()),
    "pooling_overlapping": (lambda: twins.Pooling(3, 2, 1, 1), (2, 2, 4, 5), ()),
    "pooling_of_one": (lambda: twins.Pooling(2, 3, 2, 1), (2, 4, 5), ()),
    "average": (lambda: twins.AveragePooling(2, 2), (2, 3, 5, 4), ()),
    "average_overlapping": (lambda: twins.AveragePooling(3, 2, 1, 1), (2, 2, 4, 5), ()),
    "batch": (lambda: twins.BatchNormalization(*scales(4)), (5, 4), ()),
    "batch_rows": (lambda: twins.BatchNormalization(*scales(3)), (4, 3, 5), ()),
    "batch_images": (lambda: twins.BatchNormalization(*scales(3)), (2, 3, 2, 4), ()),
    "batch_evaluation": (lambda: twins.BatchNormalization(*scales(3), 0.9, np.arange(3.0), np.arange(1.0, 4)),
                         (2, 3, 2, 4), (False,)),
    "layer": (lambda: twins.LayerNormalization(*scales(6)), (4, 6), ()),
    "layer_images": (lambda: twins.LayerNormalization(*scales(12)), (3, 2, 2, 3), ()),
    "layer_of_one": (lambda: twins.LayerNormalization(*scales(5)), (5,), ()),
    "dropout": (lambda: twins.Dropout(0.3, mask=RNG(3).random((3, 4)) > 0.3), (3, 4), ()),
    "dropout_evaluation": (lambda: twins.Dropout(0.3), (3, 4), (False,)),
    "flatten": (twins.Flatten, (3, 2, 2), ()),
    "reshape": (lambda: twins.Reshape((2, 3)), (4, 6), ()),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_twin_agrees_with_central_differences(name: str) -> None:
    make, shape, flags = CASES[name]
    layer, x = make(), RNG(4).standard_normal(shape)
    out = layer.forward(x, *flags)
    dout = RNG(5).standard_normal(out.shape)
    found = {"x": layer.backward(dout)}
    arrays = {"x": x} | {n: getattr(layer, n) for n in ("W", "b", "gamma", "beta") if hasattr(layer, n)}
    found |= {n: getattr(layer, f"d{n}") for n in arrays if n != "x"}
    for of, array in arrays.items():
        # h = 1e-5: a truncation of h² times third derivatives below 100, rounding of 1e-16 · 30 / h.
        np.testing.assert_allclose(
            found[of], differences(layer, x, array, dout, *flags), rtol=1e-7, atol=2e-8, err_msg=of
        )


def scale_and_shift(size: int) -> tuple[Any, Any]:
    return 1 + sines(size, step=0.7, start=0.3, size=0.5), cosines(size, step=0.3, start=0.1, size=0.2)


#: What makes a layer, x, whether it trains, and what is expected for a dout of sin(0.5 i + 1).
ELSEWHERE: dict[str, tuple[Any, Any, tuple[bool, ...], dict[str, list[float]]]] = {
    # The book's.
    "convolution_5x5_stride_3_pad_2": (
        lambda: twins.Convolution(cosines(2, 3, 5, 5, size=0.1), 0.01 * np.arange(2), 3, 2),
        lambda: sines(2, 3, 9, 9),
        (),
        {
            "out": [1.4719792488540866, -0.44183638311211393, 0.11828749483055763, -0.41399850241441133],
            "dx": [1.182304032960855, -0.0716217527450782, 0.030809678535728444, 0.024673140089735215],
            "dW": [11.106554928352663, -2.8953073984699014, -0.8373621005176708, -0.1661722414594999],
            "db": [1.432786640788769, -0.5322459934677528, -1.2436798133030025, 0.7114338198352497],
        },
    ),
    "pooling_3x3_stride_2": (
        lambda: twins.Pooling(3, 3, 2),
        lambda: sines(2, 2, 7, 7, step=1.3, start=0.2),
        (),
        {
            "out": [5.8237520367921, 34.914534955274036, 0.9974949866040544, 0.9885688414441485],
            "dx": [4.392196605063594, -0.5322459934677521, 0, 0],
        },
    ),
    # PyTorch's.
    "conv2d_stride_2_padding_1": (
        lambda: twins.Convolution(cosines(3, 2, 3, 2, size=0.3), 0.1 * np.arange(3), 2, 1),
        lambda: sines(2, 2, 5, 6, step=1.3, start=0.2),
        (),
        {
            "out": [4.272136234531441, 6.856006424696103, -0.24731864380867455, 0.2057293065466997],
            "dx": [5.6470590900875095, -20.812904886503333, -0.4364705509894375, -0.30446353553896766],
            "dW": [4.416319174947547, -0.17624237729546344, -0.9383645034277572, 0.9019615030879794],
            "db": [0.44428144691183197, 0.3017000390084889, -0.18979778036382522, 0.3881879377212538],
        },
    ),
    "max_pool2d_3x2_stride_1_padding_1": (
        lambda: twins.Pooling(3, 2, 1, 1),
        lambda: sines(2, 2, 4, 5, step=1.3, start=0.2),
        (),
        {
            "out": [6.903801968961576, 43.67527775320849, 0.4048499206165983, 0.8356813800338723],
            "dx": [5.846940926080185, 1.3670015707253538, 0, 0],
        },
    ),
    "avg_pool2d_3x2_stride_2_padding_1_not_counted": (
        lambda: twins.AveragePooling(3, 2, 2, 1),
        lambda: sines(2, 2, 6, 5, step=1.3, start=0.2),
        (),
        {
            "out": [3.607833272874554, 0.7848333840810878, 0.30175962570582976, -0.07444894652372065],
            "dx": [2.241801019837053, -0.5322459934677523, 0.42073549240394825, -0.05708010307826875],
        },
    ),
    "batch_norm": (
        lambda: twins.BatchNormalization(*scale_and_shift(3)),
        lambda: sines(4, 3, 2, 3, step=1.3, start=0.2),
        (True,),
        {
            "out": [11.66562214321937, 12.868355263513916, 0.4968920808399982, -1.9037838560742684],
            "dx": [11.679140447547658, 0, 1.3482382200788081, -2.2343425252904825],
            "dgamma": [2.5957769191250257, 1.2655622772235067, 1.389838616159621, -1.6111191458980516],
            "dbeta": [0.8117418005007547, 0.30170003900848874, -0.13016898670573385, 0.7397309226837412],
            "running_mean": [0.002431408658169255, 0.0015314608941050531, 0.0014870058809990923, -0.0013378411403908],
        },
    ),
    "batch_norm_evaluation": (
        lambda: twins.BatchNormalization(*scale_and_shift(3), 0.9, cosines(3), 1 + sines(3, size=0.5)),
        lambda: sines(4, 3, 2, 3, step=1.3, start=0.2),
        (False,),
        {
            "out": [9.330912366710425, -17.340441256099453, -0.7207340787657489, -0.5517729285949706],
            "dx": [7.263337033986893, 0.40108228298060267, 0.9658063415698216, -1.1555472062480932],
            "dgamma": [1.6607077077640817, 1.4337586592482792, 1.1124740131307986, -0.6963115114096832],
            "dbeta": [0.8117418005007547, 0.30170003900848874, -0.13016898670573385, 0.7397309226837412],
        },
    ),
    "layer_norm": (
        lambda: twins.LayerNormalization(*scale_and_shift(12)),
        lambda: sines(3, 2, 2, 3, step=1.3, start=0.2),
        (),
        {
            "out": [6.952699456972305, -0.25248104108291103, 0.32759563688407817, 1.6983039220300165],
            "dx": [6.961648741474529, 0, 1.1284037121061417, -1.002803579466591],
            "dgamma": [2.316097518236281, 1.2453297002399837, 0.04205335767106587, -0.10151170830119462],
            "dbeta": [7.290275473095604, -0.5322459934677535, 1.9186246203533264, -0.1936825277329977],
        },
    ),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_each_twin_gives_the_numbers_from_elsewhere(name: str) -> None:
    make, x, flags, expected = ELSEWHERE[name]
    layer = make()
    out = layer.forward(x(), *flags)
    dx = layer.backward(sines(*out.shape, step=0.5, start=1.0))
    for of, numbers in expected.items():
        array = {"out": out, "dx": dx}[of] if of in ("out", "dx") else getattr(layer, of)
        # Sums of a hundred numbers of size 1 in another order.
        np.testing.assert_allclose(figures(array), numbers, rtol=1e-11, atol=1e-13, err_msg=of)


def test_three_steps_of_the_books_batch_normalization() -> None:
    """Its running variance begins at 0."""
    layer = twins.BatchNormalization(*scale_and_shift(5), 0.9, np.zeros(5), np.zeros(5))
    for k in range(3):
        out = layer.forward(sines(8, 5, step=1 + 0.1 * k, start=0.5 * k, size=1 + k), True)
        dx = layer.backward(cosines(8, 5, step=0.5, start=1 + k))
        if k == 1:
            found = [figures(a) for a in (out, dx, layer.dgamma, layer.running_mean, layer.running_var)]
    expected = [
        [8.254146002971929, 5.581933569693002, 0.9811646401745977, -0.744375550213724],
        [4.047125934274972, 0, -0.36946345905065325, -0.535086405765258],
        [1.0913503799371107, 1.3143660089358258, 0.2524155884681809, 0.7213191776794541],
        [0.028775362370440028, 0.012954939702860224, -0.017197455403040875, 0.008576393270728662],
        [0.5432292008382306, 1.2144891317128423, 0.23779022314822013, 0.24645485151822943],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
    evaluated = layer.forward(sines(8, 5, step=0.9, start=0.2, size=2), False)
    np.testing.assert_allclose(
        figures(evaluated), [19.396746927675125, 10.827349954462502, 0.8594832087503066, -2.234439180599039], rtol=1e-11
    )


def test_of_equal_pixels_the_first_is_taken_row_by_row() -> None:
    layer = twins.Pooling(2, 2)
    layer.forward(np.maximum(sines(1, 1, 4, 4, step=1.3, start=0.2), 0))
    dx = layer.backward(np.array([[[[2.0, 3], [5, 7]]]]))
    # The book's: places 1, 2, 0 and 1 of the four windows.
    assert dx[0, 0].tolist() == [[0, 2, 0, 0], [0, 0, 3, 0], [5, 0, 0, 7], [0, 0, 0, 0]]
