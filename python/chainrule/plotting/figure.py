"""The figure that every picture is drawn on. Importing this module imports matplotlib, or says what to install."""

from __future__ import annotations

import io

try:
    import matplotlib.figure
    from matplotlib import style as style
except ImportError:
    raise ImportError("pictures need matplotlib: pip install 'chainrule[plot]'") from None


class Figure(matplotlib.figure.Figure):
    """A figure that pyplot does not know: no window, no display, nothing to close. A notebook shows it by itself."""

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        self.savefig(png, format="png")
        return png.getvalue()
