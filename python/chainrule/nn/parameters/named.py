"""The parameters of a network by name, in one dict."""

from __future__ import annotations

from typing import Any, NoReturn, Self

import numpy as np

from chainrule._gate import FloatArray, fill, fitting


class Parameters(dict[str, Any]):
    """Parameters by name. Assigning to a name copies into the array that is held there, so the layer sees the change.

    Raises
    ------
    ValueError
        On assignment, if the shape differs or the held array is read-only. Nothing is changed then.
    TypeError
        On assignment of something that does not hold real numbers, and on removal of a parameter: a layer holds it.
    KeyError
        On assignment to a name that no layer's parameter has, if the parameters belong to a network of this package
        that has layers. A class of your own may hold more names, because its methods can use them.

    Examples
    --------
    >>> W = np.zeros(2)
    >>> params = Parameters(W1=W)
    >>> params["W1"] = [3, 4]
    >>> W
    array([3., 4.])
    """

    #: Whether no further names are allowed; the network sets this when it gives its parameters.
    complete = False

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self:
            fill(self[name], value, f"params[{name!r}]")
        else:
            self._expect_open(name)
            super().__setitem__(name, value)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Give the parameter `name`; assign `default` to it first if there is none.

        Parameters
        ----------
        name : str
            Known or new.
        default : ndarray, any shape
            Held, not copied.

        Returns
        -------
        ndarray

        Raises
        ------
        KeyError
            As for ``params[name] = default``.
        """
        if name not in self:
            self[name] = default
        return self[name]

    def update(self, *others: Any, **values: Any) -> None:
        """Assign each of the values, as ``params[name] = value`` does.

        Parameters
        ----------
        *others, **values
            As for ``dict.update``; the values are array_like, each in the shape of the held array.

        Raises
        ------
        TypeError, ValueError, KeyError
            As for ``params[name] = value``.
        """
        given = dict(*others, **values)
        # Check all values before changing the first.
        self._expect_open(*(name for name in given if name not in self))
        ready = {
            name: fitting(self[name], value, f"params[{name!r}]") if name in self else value
            for name, value in given.items()
        }
        for name, value in ready.items():
            if name in self:
                np.copyto(self[name], value)
            else:
                self.hold(name, value)

    def _expect_open(self, *new: str) -> None:
        """Raise KeyError if one of these names would not be used by anything."""
        if new and self.complete:
            names = ", ".join(map(repr, new))
            raise KeyError(
                f"no layer has a parameter called {names}; there are {', '.join(self)}. A layer that you put into"
                " net.layers brings its own"
            )

    def __getstate__(self) -> None:
        """Leave out `complete`: the network of the copy sets it, and every name is new while the copy is being made."""

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]  # any mapping, as in update
        self.update(other)
        return self

    def _refuse(self, *_: Any) -> NoReturn:
        """Raise TypeError: parameters cannot be removed.

        Parameters
        ----------
        *_ : object
            As for a dict.

        Raises
        ------
        TypeError
            Always.
        """
        raise TypeError("a parameter cannot be removed: a layer of the network holds it; change its numbers in place")

    __delitem__ = pop = popitem = clear = _refuse

    def hold(self, name: str, array: FloatArray) -> None:
        """Make `array` itself the parameter `name`.

        Parameters
        ----------
        name : str
            Known or new.
        array : ndarray, any shape, float32 or float64
            Held, not copied.
        """
        super().__setitem__(name, array)
