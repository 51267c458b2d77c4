"""Tables of one's own: CSV files as they occur, frames, what becomes of their cells, and what is said of wrong ones.

What should come out is worked out by Python's ``statistics``, by pandas or scikit-learn, or by hand.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import statistics
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule import DataError, IdentityWithLoss, Network, Table, TwoLayerNet, fit, load, load_table
from chainrule.cli import main
from chainrule.data.mnist import key_file

Text = pytest.CaptureFixture[str]

PENGUINS = """"","species","island","bill_length_mm","bill_depth_mm","sex"
"1","Adelie","Torgersen",39.1,18.7,"male"
"2","Adelie","Torgersen",39.5,17.4,"female"
"3","Adelie","Torgersen",NA,NA,NA
"4","Gentoo","Biscoe",46.1,13.2,"female"
"5","Gentoo","Biscoe",50,16.3,"male"
"6","Chinstrap","Dream",46.5,17.9,
"""
TITANIC = '''PassengerId,Survived,Pclass,Name,Sex,Age,Cabin
1,0,3,"Braund, Mr. Owen ""Harris""",male,22,
2,1,1,"Cumings, Mrs. John
Bradley",female,38,C85
3,1,3,"Heikkinen, Miss. Laina",female,26,
4,1,1,"Futrelle, Mrs. Jacques",female,35,C123
5,0,3,"Allen, Mr. William",male,,
'''
IRIS = """5.1, 3.5, setosa
4.9, 3.0, setosa
7.0, 3.2, versicolor
6.4, 3.2, versicolor
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Give what writes a file."""

    def write(content: str | bytes, name: str = "data.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def refusal(source: Any, target: str = "kind", error: type[Exception] = DataError, **options: Any) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.raises(error) as caught:
            load_table(source, target, **options)
    return str(caught.value)


def scaled(*numbers: float) -> list[float]:
    mean, spread = statistics.fmean(numbers), statistics.pstdev(numbers)
    return [(number - mean) / spread for number in numbers]


# --- what becomes of cells ---


def test_numbers_are_scaled_and_words_are_a_one_among_zeros(written: Callable[..., Path]) -> None:
    table = load_table(written("size,colour,kind\n1,red,b\n2,green,a\n6,red,a\n"), "kind")
    first = scaled(1, 2, 6)
    np.testing.assert_allclose(table.x, [[first[0], 0, 1], [first[1], 1, 0], [first[2], 0, 1]], rtol=1e-14)
    assert table.classes == ("a", "b")
    assert table.t.tolist() == [1, 0, 0]
    assert [column.name for column in table.columns] == ["size", "colour"]


def test_a_column_without_spread_is_zero_and_harms_nothing(written: Callable[..., Path]) -> None:
    table = load_table(written("a,b,kind\n0.1,1,x\n0.1,2,y\n0.1,4,x\n"), "kind")
    assert table.x[:, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "text",
    [
        "a;b;kind\n1,5;2;x\n2,5;3;y\n-0,5;1e1;x\n",
        "a\tb\tkind\n1,5\t2\tx\n2.5\t3\ty\n-,5\t10,0\tx\n",
        "a|b|kind\n1.5|2|x\n2.5|3|y\n-.5|10|x\n",
        "\ufeffa,b,kind\r\n1.5,2,x\r\n2.5,3,y\r\n-0.5,10,x\r\n",
        'a , b , kind\n 1.5 , 2 , x\n"2.5", "3", "y"\n -0.5,+10,x \n\n   \n',
        '"a","b","kind"\n"r1",1.5,2,"x"\n"r2",2.5,3,"y"\n"r3",-0.5,10,"x"\n'.replace('"r1"', "1")
        .replace('"r2"', "2")
        .replace('"r3"', "3"),
        ",a,b,kind\n0,1.5,2,x\n1,2.5,3,y\n2,-0.5,10,x\n",
        "a,b,kind,\n1.5,2,x,\n2.5,3,y,\n-0.5,10,x,\n",
    ],
    ids=["semicolons", "tabs", "bars", "BOM and CRLF", "spaces", "names of rows", "an index", "a comma at the end"],
)
def test_however_it_is_written_it_is_the_same_table(written: Callable[..., Path], text: str) -> None:
    table = load_table(written(text.replace("   \n", "")), "kind")
    np.testing.assert_allclose(table.x, np.transpose([scaled(1.5, 2.5, -0.5), scaled(2, 3, 10)]), rtol=1e-14)
    assert (table.classes, table.t.tolist()) == (("x", "y"), [0, 1, 0])


def test_thousands_have_dots_where_the_comma_is_decimal(written: Callable[..., Path]) -> None:
    table = load_table(written("price;kind\n1.234,5;x\n10;y\n20;x\n"), "kind")
    np.testing.assert_allclose(table.x[:, 0], scaled(1234.5, 10, 20), rtol=1e-14)


def test_utf_16_as_excel_writes_it_is_read(written: Callable[..., Path]) -> None:
    table = load_table(written("größe\tkind\n1\tä\n2\tb\n".encode("utf-16")), "kind")
    assert (table.columns[0].name, table.classes) == ("größe", ("b", "ä"))


def test_penguins_without_their_empty_cells(written: Callable[..., Path]) -> None:
    path = written(PENGUINS)
    text = refusal(path, "species")
    assert text.startswith(f"{path}: line 4, column 'bill_length_mm': the cell says 'NA'; missing='drop'")
    table = load_table(path, "species", missing="drop")
    assert table.places == ("line 2", "line 3", "line 5", "line 6")
    assert table.classes == ("Adelie", "Gentoo")  # no Chinstrap is left
    np.testing.assert_allclose(table.x[:, 3], scaled(39.1, 39.5, 46.1, 50), rtol=1e-13)
    assert refusal(path, "species", drop=["bill_length_mm", "bill_depth_mm"]).startswith(
        f"{path}: line 4, column 'sex'"
    )
    assert "line 7, column 'sex': the cell is empty" in refusal(written(PENGUINS.replace("NA", "1")), "species")


def test_penguins_with_the_mean_in_their_empty_cells(written: Callable[..., Path]) -> None:
    table = load_table(written(PENGUINS), "species", missing="fill")
    there = [39.1, 39.5, 46.1, 50, 46.5]
    mean = statistics.fmean(there)
    np.testing.assert_allclose(table.x[:, 3], scaled(39.1, 39.5, mean, 46.1, 50, 46.5), rtol=1e-12, atol=1e-14)
    assert table.x[[2, 5], -2:].tolist() == [[0, 0], [0, 0]]  # female, male
    assert table.classes == ("Adelie", "Chinstrap", "Gentoo")  # of which one has one row


def test_titanic_with_line_breaks_quotes_and_commas_within_cells(written: Callable[..., Path]) -> None:
    rows = [TITANIC.partition("\n")[0]] + [f'{6 + i},{i % 2},3,"P{i}, Mr.",male,{20 + i},' for i in range(12)]
    path = written(TITANIC + "\n".join(rows[1:]) + "\n")
    with pytest.warns(UserWarning, match="is left out") as caught:
        table = load_table(path, "Survived", missing="fill", drop=["PassengerId"])
    assert [str(one.message).partition(": ")[2] for one in caught] == [
        "column 'Name' is left out: 17 different words in 17 rows say nothing of other rows"
    ]
    assert table.classes == ("0", "1")
    assert table.t[:5].tolist() == [0, 1, 1, 1, 0]
    assert [column.name for column in table.columns] == ["Pclass", "Sex", "Age", "Cabin"]
    assert table.places[:4] == ("line 2", "line 3", "line 5", "line 6")  # the second row has two lines
    assert "line 7, column 'Age': the cell is empty" in refusal(path, "Survived", drop=["Cabin"])


@pytest.mark.fault("F16")
@pytest.mark.parametrize("cell", ["", "NA", "N/A", "NaN", "nan", "null", "?", "  "])
def test_a_missing_cell_is_named_by_line_and_header(written: Callable[..., Path], cell: str) -> None:
    path = written(f"age,kind\n1,a\n2,b\n{cell},a\n")
    assert refusal(path).startswith(f"{path}: line 4, column 'age': ")
    path = written(f"age,kind\n1,a\n2,{cell}\n3,b\n")
    assert refusal(path, missing="fill").startswith(f"{path}: line 3, column 'kind': ")


@pytest.mark.fault("F16")
def test_a_cell_that_is_no_number_among_many_is_named(written: Callable[..., Path]) -> None:
    path = written("age,kind\n" + "3,a\n4,b\n" * 10 + "4O,a\n")
    assert refusal(path).startswith(f"{path}: line 22, column 'age': '4O' is no number, as most others")
    for cell in ("inf", "-inf", "1e999"):
        path = written(f"age,kind\n3,a\n{cell},b\n")
        assert refusal(path) == f"{path}: line 3, column 'age': an infinite number"
    path = written("age,kind\n3,a\n1e308,b\n-1e308,a\n")
    assert "line 3, column 'age': so large a number" in refusal(path)


def test_words_that_are_nearly_all_different_are_left_out(written: Callable[..., Path]) -> None:
    lines = [f"{i},w{i},v{i % 6},{'ab'[i % 2]}\n" for i in range(12)]
    with pytest.warns(UserWarning, match="column 'name' is left out: 12 different words in 12 rows"):
        table = load_table(written("n,name,few,kind\n" + "".join(lines)), "kind")
    assert [column.name for column in table.columns] == ["n", "few"]
    with pytest.warns(UserWarning, match="column 'nothing' is left out: all its cells are empty"):
        load_table(written("n,nothing,kind\n1,,a\n2,NA,b\n"), "kind")


@pytest.mark.parametrize(
    ("words", "rows", "kept"), [(12, 24, True), (12, 23, False), (10, 10, True), (257, 1000, False), (256, 1000, True)]
)
def test_how_many_different_words_are_too_many(written: Callable[..., Path], words: int, rows: int, kept: bool) -> None:
    path = written("n,word,kind\n" + "".join(f"{i},w{i % words},{'ab'[i % 2]}\n" for i in range(rows)))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        table = load_table(path, "kind")
    assert [column.name for column in table.columns] == ["n", "word"][: 1 + kept]
    assert len(told) == (not kept)


def test_only_a_nameless_column_that_counts_is_taken_for_an_index(written: Callable[..., Path]) -> None:
    path = written(",a,kind\n5,1,x\n3,2,y\n")
    assert refusal(path) == f"{path}: column 1 has no name in the first line; give it one"
    named = load_table(written("year,a,kind\n1990,1,x\n1991,2,y\n"), "kind")
    assert [column.name for column in named.columns] == ["year", "a"]
    of_pandas = load_table(written("Unnamed: 0,a,kind\n0,1,x\n1,2,y\n"), "kind")
    assert [column.name for column in of_pandas.columns] == ["a"]


# --- what there is to learn ---


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["0", "1", "1", "0"], ("0", "1")),
        (["10", "2", "2", "10"], ("2", "10")),  # as numbers are sorted
        (["1.0", "1", "2.0", "2"], ("1", "2")),
        (["b", "a", "c", "a"], ("a", "b", "c")),
        (["True", "False", "True", "True"], ("False", "True")),
        (["1", "2", "a", "a"], ("1", "2", "a")),
    ],
)
def test_words_and_few_whole_numbers_are_classes(
    written: Callable[..., Path], cells: list[str], classes: tuple[str, ...]
) -> None:
    table = load_table(written("a,kind\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells))), "kind")
    assert table.classes == classes
    names = [classes[i] for i in table.t]
    assert names == [cell.removesuffix(".0") for cell in cells]


@pytest.mark.parametrize("cells", [["0.5", "1", "1", "2"], ["1", "2", "3"], [str(i % 21) for i in range(60)]])
def test_other_numbers_are_learnt_as_numbers(written: Callable[..., Path], cells: list[str]) -> None:
    table = load_table(written("a,price\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells))), "price")
    numbers = [float(cell) for cell in cells]
    assert table.classes is None
    np.testing.assert_allclose(table.t, scaled(*numbers), atol=1e-12)
    np.testing.assert_allclose(table.numbers(table.t[:, None]), numbers, rtol=1e-12)
    assert isinstance(table.network().last_layer, IdentityWithLoss)


def test_a_line_through_points_is_learnt_and_told_in_its_unit(written: Callable[..., Path]) -> None:
    path = written("a,price\n" + "".join(f"{i},{200_000 + 1000.5 * i}\n" for i in range(60)))
    table = load_table(path, "price")
    net = table.network(20, seed=0)
    history = fit(net, table.x, table.t, epochs=300, batch_size=10, optimizer="adam", learning_rate=0.01, seed=0)
    assert history.train_r2[-1] > 0.999
    said = table.numbers(net.predict(table.x))
    assert np.abs(said - [200_000 + 1000.5 * i for i in range(60)]).max() < 3000


def test_classes_have_no_numbers(written: Callable[..., Path]) -> None:
    table = load_table(written("a,kind\n1,x\n2,y\n"), "kind")
    with pytest.raises(ValueError, match="'kind' is a class"):
        table.numbers(table.t)


@pytest.mark.fault("F16")
@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "empty"),
        ("\n \n", "empty"),
        ("a,kind\n", "there are names of columns, and no rows"),
        ("kind\nx\ny\n", "there is no column to learn from beside the target"),
        ("a,kind\n1,x\n2,x\n", "the target 'kind' cannot be learnt: all its cells are 'x'"),
        ("a,kind\n1,3\n2,3\n", "the target 'kind' cannot be learnt: all its cells are '3'"),
        (
            "a,kind\n" + "".join(f"{i},w{i}\n" for i in range(11)),
            "the target 'kind' cannot be learnt: 11 different words in 11 rows",
        ),
        ("a,kind,a\n1,x,2\n", "two columns are called 'a'"),
        ("a,kind\n1,x\n2\n", "line 3 has 1 cells, the line of names 2"),
        ("a,kind\n1,x\n2,y,z\n", "line 3 has 3 cells, the line of names 2"),
        ('a,kind\n1,x\n2,"y\n', "line 3: unexpected end of data"),
        (b"a,kind\n1,x\n2,caf\xe9\n", "line 3 is not text in UTF-8"),
        (b"PK\x03\x04xlsx", "a zip archive, such as a workbook of Excel's; save the sheet as CSV"),
        (gzip.compress(b"a,kind\n", mtime=0), "compressed by gzip; unpack it first"),
        ("a,kind\nNA,x\n1,\n", "each of the 2 rows has an empty cell, so none is left"),
    ],
)
def test_a_file_that_is_no_table_to_learn_from_says_why(
    written: Callable[..., Path], text: str | bytes, what: str
) -> None:
    path = written(text)
    assert refusal(path, missing="drop").startswith(f"{path}: {what}")


def test_one_class_with_one_row_is_a_class(written: Callable[..., Path]) -> None:
    table = load_table(written("a,kind\n1,x\n2,x\n3,x\n4,once\n"), "kind")
    assert (table.classes, table.t.tolist()) == (("once", "x"), [1, 1, 1, 0])
    train, test = table.split(0.25, seed=0)
    assert (len(train), len(test)) == (3, 1)
    fit(table.network(seed=0), train.x, train.t, test=(test.x, test.t), epochs=1)


@pytest.mark.parametrize(
    ("arguments", "error", "what"),
    [
        ({"target": "species"}, ValueError, "there is no column 'species'; the columns are 'a', 'kind'"),
        ({"drop": ["b"]}, ValueError, "there is no column 'b'"),
        ({"drop": ["kind"]}, ValueError, "the target 'kind' is not to be dropped"),
        ({"drop": "a"}, TypeError, "drop must be a list of names of columns, got 'a'"),
        ({"missing": "mean"}, ValueError, "missing must be one of 'raise', 'drop', 'fill', got 'mean'"),
        ({"target": None}, TypeError, "target must name the column to be learnt, got None"),
    ],
)
def test_a_wrong_argument_says_what_is_asked_for(
    written: Callable[..., Path], arguments: dict[str, Any], error: type[Exception], what: str
) -> None:
    path = written("a,kind\n1,x\n2,y\n")
    assert what in refusal(path, **{"target": "kind", "error": error, **arguments})


def test_a_file_without_a_line_of_names_is_told_from_one_with_another(written: Callable[..., Path]) -> None:
    assert "put a line with the names of the columns above it" in refusal(written(IRIS), "species", error=ValueError)


def test_what_is_neither_a_path_nor_a_frame_is_refused(tmp_path: Path) -> None:
    assert "got list" in refusal([[1, 2]], error=TypeError)
    assert "is a folder, not a CSV file" in refusal(tmp_path)
    refusal(tmp_path / "none.csv", error=FileNotFoundError)


# --- frames ---


class Frame:
    """What polars and pandas have in common, and nothing else."""

    def __init__(self, **columns: list[Any]) -> None:
        self.columns, self._held = list(columns), columns

    def to_numpy(self) -> Any:
        return np.array(list(self._held.values()), object).T


def test_a_frame_is_read_as_the_file_that_it_would_be(written: Callable[..., Path]) -> None:
    pandas = pytest.importorskip("pandas")
    path = written("a,colour,kind\n0.1,red,x\n2,green,y\n1e-7,red,x\n")
    of_file, frame = load_table(path, "kind"), pandas.read_csv(path)
    plain = Frame(a=[0.1, 2, 1e-7], colour=["red", "green", "red"], kind=["x", "y", "x"])
    for source in (frame, plain, frame.astype({"colour": "category"})):
        table = load_table(source, "kind")
        assert (table.x == of_file.x).all()
        assert (table.metadata, table.t.tolist()) == (of_file.metadata, of_file.t.tolist())
        assert table.places == ("row 0", "row 1", "row 2")


@pytest.mark.parametrize("nothing", [None, float("nan"), "NA", "pandas.NA"])
def test_nothing_in_a_frame_is_named_by_row_and_column(nothing: Any) -> None:
    if nothing == "pandas.NA":
        nothing = pytest.importorskip("pandas").NA
    frame = Frame(age=[1.0, nothing, 2.0], kind=["x", "y", "x"])
    assert refusal(frame).startswith("the Frame: row 1, column 'age': the cell ")


# --- real files ---


def bundled(name: str) -> Iterator[list[str]]:
    """Give the lines of a CSV file that scikit-learn brings along."""
    datasets = pytest.importorskip("sklearn.datasets")
    path = Path(datasets.__file__).parent / "data" / name
    if not path.is_file():
        pytest.skip(f"this scikit-learn has no {name}")
    with gzip.open(path, "rt") if name.endswith(".gz") else path.open() as file:
        yield from csv.reader(file)


@pytest.mark.parametrize(("name", "columns", "least"), [("iris.csv", 4, 0.9), ("wine_data.csv", 13, 0.9)])
def test_scikit_learns_files_are_scaled_as_it_scales_them_and_learnt(
    written: Callable[..., Path], name: str, columns: int, least: float
) -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    first, *rows = bundled(name)
    names = first[2:]
    headers = [*(f"c{i}" for i in range(columns)), "kind"]
    lines = [headers, *([*row[:-1], names[int(row[-1])]] for row in rows)]
    table = load_table(written("\n".join(",".join(line) for line in lines)), "kind")
    numbers = np.array([row[:-1] for row in rows], float)
    np.testing.assert_allclose(table.x, preprocessing.StandardScaler().fit_transform(numbers), atol=1e-12)
    assert [table.classes[i] for i in table.t] == [names[int(row[-1])] for row in rows]  # type: ignore[index]
    train, test = table.split(0.3, seed=0)
    net = table.network(seed=0)
    fit(net, train.x, train.t, epochs=30, batch_size=16, optimizer="adam", learning_rate=0.01, seed=0)
    assert net.accuracy(test.x, test.t) > least


@pytest.mark.parametrize(
    ("name", "what"),
    [("iris.csv", "there is no column 'species'"), ("wine_data.csv", "line 2 has 14 cells, the line of names 5")],
)
def test_scikit_learns_own_first_line_is_none_of_names(written: Callable[..., Path], name: str, what: str) -> None:
    path = written("\n".join(",".join(row) for row in bundled(name)))
    assert what in refusal(path, "species", error=ValueError)


def test_the_words_of_many_columns_are_pandas_dummies(written: Callable[..., Path]) -> None:
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {name: rng.choice(list("vwxyz"), 40) for name in "abc"} | {"kind": rng.choice(["k", "l"], 40)}
    )
    path = written(frame.to_csv(index=True))
    dummies = pandas.get_dummies(frame[["a", "b", "c"]]).to_numpy(float)
    assert (load_table(path, "kind").x == dummies).all()


# --- parts ---


def test_both_parts_are_scaled_by_the_first(written: Callable[..., Path]) -> None:
    numbers = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    path = written("a,price\n" + "".join(f"{number},{number * 1.5 + 0.1}\n" for number in numbers))
    train, test = load_table(path, "price").split(1 / 3, seed=3)
    rows = [int(place.removeprefix("line ")) - 2 for place in (*train.places, *test.places)]
    assert sorted(rows) == list(range(6))
    kept, held = [numbers[row] for row in rows[:4]], [numbers[row] for row in rows[4:]]
    np.testing.assert_allclose(train.x[:, 0], scaled(*kept), atol=1e-12)
    mean, spread = statistics.fmean(kept), statistics.pstdev(kept)
    np.testing.assert_allclose(test.x[:, 0], [(number - mean) / spread for number in held], rtol=1e-12)
    np.testing.assert_allclose(test.numbers(test.t), [number * 1.5 + 0.1 for number in held], rtol=1e-12)
    again, _ = load_table(path, "price").split(1 / 3, seed=3)
    assert again.places == train.places


@pytest.mark.parametrize("share", [0, 1, -0.1, 2])
def test_a_share_lies_between_0_and_1(written: Callable[..., Path], share: float) -> None:
    with pytest.raises(ValueError, match="share must lie between 0 and 1"):
        load_table(written("a,kind\n1,x\n2,y\n"), "kind").split(share)


# --- the file of the network ---


def trained(path: Path, target: str, folder: Path, **options: Any) -> tuple[Table, Network]:
    table = load_table(path, target, **options)
    net = table.network(8, seed=0)
    fit(net, table.x, table.t, epochs=3, seed=0)
    net.save(folder / "net.safetensors")
    return table, load(folder / "net.safetensors")


def test_the_file_reads_another_table_alike(written: Callable[..., Path], tmp_path: Path) -> None:
    table, net = trained(written("a,colour,kind\n1,red,x\n2,green,y\n6,red,x\n"), "kind", tmp_path)
    other = load_table(written("more;colour;a\nm;green;2,0\nm;red;6,0\n", "other.csv"), like=net)
    assert (other.x == table.x[[1, 2]]).all()
    assert (other.classes, len(other.t)) == (("x", "y"), 0)
    with_answers = load_table(written("kind,colour,a\ny,green,6\n", "more.csv"), like=net)
    assert with_answers.t.tolist() == [1]
    assert json.loads(net.metadata["classes"]) == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("colour\nred\n", "the network reads a column 'a'; there are 'colour'"),
        ("a,colour\n1,red\n2,blue\n", "line 3, column 'colour': 'blue' is none of the words"),
        ("a,colour\n1,red\n?,red\n", "line 3, column 'a': the cell says '?'; a network trained with missing='fill'"),
        ("a,colour\n1,\n", "line 2, column 'colour': the cell is empty"),
        ("a,colour\nx,red\n", "line 2, column 'a': 'x' is no finite number"),
        ("a,colour,kind\n1,red,z\n", "line 2, column 'kind': 'z' is none of the words it was made with: x, y"),
    ],
)
def test_a_table_that_does_not_fit_the_network_says_where(
    written: Callable[..., Path], tmp_path: Path, text: str, what: str
) -> None:
    _, net = trained(written("a,colour,kind\n1,red,x\n2,green,y\n6,red,x\n"), "kind", tmp_path)
    with pytest.raises(DataError) as caught:
        load_table(written(text, "other.csv"), like=net)
    assert what in str(caught.value)


def test_a_network_that_has_seen_empty_cells_takes_them(written: Callable[..., Path], tmp_path: Path) -> None:
    path = written("a,colour,kind\n1,red,x\n,green,y\n6,,x\n")
    table, net = trained(path, "kind", tmp_path, missing="fill")
    other = load_table(written("a,colour\n,green\n6,blue\n", "other.csv"), like=net)
    assert (other.x == table.x[[1, 2]]).all()


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"columns": [{"name": "a", "mean": 0, "spread": 0}]}', '{"columns": 3}']
)
def test_metadata_that_do_not_hold_together_are_refused(written: Callable[..., Path], text: str) -> None:
    net = TwoLayerNet(2, 3, 2, seed=0)
    path = written("a,kind\n1,x\n")
    with pytest.raises(ValueError, match="was not trained on a table"):
        load_table(path, like=net)
    net.metadata["columns"] = text
    with pytest.raises(DataError, match="do not hold together"):
        load_table(path, like=net)
    with pytest.raises(TypeError, match="like must be a Network or a Table, got int"):
        load_table(path, like=3)
    with pytest.raises(ValueError, match="leave them out"):
        load_table(path, "kind", like=net)


# --- the command line ---


def lines_of(capsys: Text) -> list[str]:
    return capsys.readouterr().out.splitlines()


def made(written: Callable[..., Path], target: str = "species") -> Path:
    """Write a table that is easily learnt."""
    rng = np.random.default_rng(0)
    lines = ["name,length,colour," + target]
    for i in range(60):
        kind = i % 2
        lines.append(f"n{i % 7},{rng.normal(kind * 8):.3f},{['red', 'blue'][kind]},{['cat', 'big dog'][kind]}")
    return written("\n".join(lines))


def test_three_commands_make_a_strangers_table_a_model_with_a_report(
    written: Callable[..., Path], tmp_path: Path, capsys: Text
) -> None:
    path, model, page = made(written), str(tmp_path / "net.safetensors"), tmp_path / "net.html"
    assert main(["train", str(path), "--target", "species", "--save", model, "--report", str(page)]) == 0
    told = lines_of(capsys)
    assert told[0] == f"{path}: Table(60 rows, 3 columns as 10 numbers; species: big dog 30, cat 30)"
    assert told[-1] == "train accuracy 1.0000  test accuracy 1.0000"
    html = page.read_text(encoding="utf-8")
    assert all(word in html for word in ("big dog", "colour", "a 1 for one of blue, red", "species"))
    assert "First-layer weights" not in html
    assert main(["eval", model, str(path), "--confusion"]) == 0
    assert lines_of(capsys)[-2:] == ["0 big dog 30  ·  1.0000", "1 cat      · 30  1.0000"]
    other = written("colour,length,name\nred,0.1,n1\nblue,8.2,n2\n", "new.csv")
    assert main(["predict", model, str(other)]) == 0
    assert [line.split("  ")[1] for line in lines_of(capsys)] == ["cat", "big dog"]
    assert main(["predict", model, str(other), "--format", "jsonl"]) == 0
    first = json.loads(lines_of(capsys)[0])
    assert (first["label"], first["name"], first["index"]) == (1, "cat", 0)


def test_the_test_is_the_same_rows_when_a_run_goes_on(
    written: Callable[..., Path], tmp_path: Path, capsys: Text
) -> None:
    path, one, two = str(made(written)), str(tmp_path / "one"), str(tmp_path / "two")
    own = [path, "--target", "species", "--test", "0.25"]
    assert main(["train", *own, "--epochs", "4", "--save", one]) == 0
    whole = lines_of(capsys)
    assert main(["train", *own, "--epochs", "2", "--save", two]) == 0
    assert main(["train", path, "--target", "species", "--epochs", "4", "--resume", two]) == 0
    assert lines_of(capsys)[-1] == whole[-1]
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_numbers_are_predicted_in_their_unit(written: Callable[..., Path], tmp_path: Path, capsys: Text) -> None:
    path = written("a,price\n" + "".join(f"{i},{200_000 + 1000.5 * i}\n" for i in range(60)))
    model = str(tmp_path / "net")
    assert main(["train", str(path), "--target", "price", "--epochs", "200", "--save", model, "--quiet"]) == 0
    assert float(lines_of(capsys)[-1].partition("test R² ")[2]) > 0.99
    assert main(["predict", model, str(path), "--format", "jsonl"]) == 0
    said = [json.loads(line)["value"] for line in lines_of(capsys)]
    assert np.abs(np.array(said) - [200_000 + 1000.5 * i for i in range(60)]).max() < 5000
    assert main(["eval", model, str(path), "--format", "jsonl"]) == 0
    assert json.loads(lines_of(capsys)[0])["r2"] > 0.99


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (
            ["{}"],
            "{}: name the column to learn with --target NAME; the columns are 'name', 'length', 'colour', 'species'",
        ),
        (["{}", "--target", "Species"], "did you mean 'species'?"),
        (["{}", "--target", "spceies"], "did you mean 'species'?"),
        (["{}", "--target", "kind"], "{}: there is no column 'kind'; the columns are 'name'"),
        (["{}", "--target", "species", "--drop", "x"], "{}: there is no column 'x'"),
        (["{}", "--target", "species", "--data-dir", "digits"], "both say what to train on"),
        (["{}", "--target", "species", "--net", "convnet"], "--net convnet is for pictures; for the rows of a table: "),
        (["{}", "--target", "species", "--size", "8"], "--size goes with a folder of pictures"),
        (["{}", "--target", "species", "--batch-size", "90"], "--batch-size 90 is more than the 48 training examples"),
        (["{}.none", "--target", "species"], "{}.none: No such file or directory"),
        (["--target", "species"], "--target goes with a CSV file"),
        (["--test", "0.3"], "--test goes with data of your own"),
    ],
)
def test_the_command_says_what_is_wrong_with_its_arguments(
    written: Callable[..., Path], arguments: list[str], what: str, capsys: Text
) -> None:
    path = made(written)
    assert main(["train", *(argument.format(path) for argument in arguments)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert what.format(path) in line


def test_a_network_of_a_table_is_not_asked_about_digits(
    written: Callable[..., Path], tmp_path: Path, capsys: Text
) -> None:
    path, model = made(written), str(tmp_path / "net")
    assert main(["train", str(path), "--target", "species", "--epochs", "1", "--save", model]) == 0
    capsys.readouterr()
    assert main(["eval", model]) == 2
    assert "was trained on a CSV file; name one to evaluate it on" in capsys.readouterr().err
    no_answers = written("colour,length,name\nred,0.1,n1\n", "new.csv")
    assert main(["eval", model, str(no_answers)]) == 2
    assert "the column of the answers is not there" in capsys.readouterr().err
    TwoLayerNet(4, 3, 2, seed=0).save(tmp_path / "digits")
    assert main(["eval", str(tmp_path / "digits"), str(path)]) == 2
    assert "was not trained on a CSV file or a folder" in capsys.readouterr().err


def test_what_is_named_in_the_wrong_place_says_where_it_belongs(
    written: Callable[..., Path], tmp_path: Path, capsys: Text
) -> None:
    path, model = made(written), str(tmp_path / "net")
    assert main(["train", str(path), "--target", "species", "--epochs", "1", "--save", model]) == 0
    (tmp_path / "folder").mkdir()
    assert main(["eval", model, str(tmp_path / "folder")]) == 2
    assert f"is a folder; {model} was trained on a CSV file" in capsys.readouterr().err
    assert main(["train", "--resume", model]) == 2
    assert "the run was made with other training data; name what it was trained on" in capsys.readouterr().err
    assert main(["train", str(path), "--target", "species", "--recipe", "97"]) == 2
    assert "FILE does not go with --recipe" in capsys.readouterr().err
    for name in key_file.values():
        (tmp_path / "folder" / name).write_bytes(b"")
    assert main(["train", str(tmp_path / "folder")]) == 2
    assert f"--data-dir {tmp_path / 'folder'}" in capsys.readouterr().err
    assert main(["predict", model, str(written(b"\x89PNG\r\n", "a.png"))]) == 2
    assert "a PNG picture, not a CSV file" in capsys.readouterr().err


def test_the_line_that_ctrl_c_leaves_goes_on_with_the_same_data(
    written: Callable[..., Path], tmp_path: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, model = made(written), str(tmp_path / "net")

    def interrupted(net: Any, *_: Any, checkpoint: Any, **__: Any) -> None:
        net.save(checkpoint)
        raise KeyboardInterrupt

    monkeypatch.setattr("chainrule.cli.train.fit", interrupted)
    command = ["train", str(path), "--target", "species", "--missing", "fill", "--drop", "name", "--save", model]
    assert main(command) == 130
    told = f"go on with: chainrule train {path} --target species --missing fill --drop name --resume {model}"
    assert told in capsys.readouterr().err


# --- any bytes ---

PIECES = [
    "a",
    "kind",
    "1",
    "2.5",
    "-3e2",
    "inf",
    "NA",
    "",
    "x",
    "y",
    '"',
    '""',
    ",",
    ";",
    "\t",
    "|",
    "\n",
    "\r\n",
    "\r",
]
PIECES += [" ", "\x00", "\x1b[2J", "\ufeff", "\u2028", "_", "é"]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    content=st.one_of(
        st.binary(max_size=80),
        st.lists(st.sampled_from(PIECES), max_size=60).map(lambda pieces: "a,kind\n" + "".join(pieces)).map(str.encode),
    ),
    missing=st.sampled_from(["raise", "drop", "fill"]),
)
def test_any_bytes_are_a_table_or_a_named_error(
    content: bytes, missing: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any-{os.getpid()}.csv"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        table, told = None, ""
        try:
            table = load_table(path, "kind", missing=missing)
        except ValueError as error:
            told = str(error)
    if table is None:
        assert str(path) in told
        return
    assert np.isfinite(table.x).all()
    assert len(table.x) == len(table.t) == len(table.places)
    assert "\x1b" not in repr(table)


@pytest.mark.fault("X1")
def test_x1_what_commands_a_terminal_is_shown_escaped(
    written: Callable[..., Path], tmp_path: Path, capsys: Text
) -> None:
    path = written("a,kind\n1,\x1b[2Jx\n2,y\n3,\x1b[2Jx\n4,y\n5,y\n")
    table = load_table(path, "kind")
    net = table.network(seed=0)
    assert "\\x1b[2Jx 2" in repr(table)
    assert "\\x1b[2Jx" in str(net.evaluate(table.x, table.t))
    net.save(tmp_path / "net")
    assert main(["train", str(path), "--target", "kind", "--epochs", "1"]) == 0
    assert main(["predict", str(tmp_path / "net"), str(path)]) == 0
    assert main(["eval", str(tmp_path / "net"), str(path), "--confusion"]) == 0
    assert "\x1b" not in capsys.readouterr().out
