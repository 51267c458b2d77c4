"""A network's parameters by name, as one dict."""

from __future__ import annotations

from typing import Any, NoReturn, Self

import numpy as np

from chainrule._gate import FloatArray, fill, fitting


class Parameters(dict[str, Any]):
    """Parameters by name. Assigning to a name copies into the array that is held there, so it reaches the layer.

    Raises
    ------
    ValueError
        On assignment, if the shape differs or the held array is read-only. Nothing is changed then.
    TypeError
        On assignment of something that does not hold real numbers, and where one would be removed: a layer holds it.
    KeyError
        On assignment to a name that no layer's parameter has, if these are those of a network of this package that has
        layers. A class of your own may hold more: its methods can use it.

    Examples
    --------
    >>> W = np.zeros(2)
    >>> params = Parameters(W1=W)
    >>> params["W1"] = [3, 4]
    >>> W
    array([3., 4.])
    """

    #: Whether there are all names that there can be; the network says so when it gives its parameters.
    complete = False

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self:
            fill(self[name], value, f"params[{name!r}]")
        else:
            self._expect_open(name)
            super().__setitem__(name, value)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Give the parameter of a name; assign `default` to it first if there is none.

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
            As ``params[name] = default``.
        """
        if name not in self:
            self[name] = default
        return self[name]

    def update(self, *others: Any, **values: Any) -> None:
        """Assign each of the values, as ``params[name] = value`` does.

        Parameters
        ----------
        *others, **values
            As for ``dict.update``; the values array_like, each in the shape of the array that is held.

        Raises
        ------
        TypeError, ValueError, KeyError
            As ``params[name] = value``.
        """
        given = dict(*others, **values)
        # All are looked at before the first is changed.
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
        """Raise KeyError if there is one that nothing would use."""
        if new and self.complete:
            names = ", ".join(map(repr, new))
            raise KeyError(
                f"no layer has a parameter called {names}; there are {', '.join(self)}. A layer that is put into"
                " net.layers brings its own"
            )

    def __getstate__(self) -> None:
        """Leave `complete` to the network that the copy belongs to: while it is made, every name is new."""

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]  # any mapping, as in update
        self.update(other)
        return self

    def _refuse(self, *_: Any) -> NoReturn:
        """Raise TypeError: no parameter is removed.

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
