"""A matplotlib backend whose ``plt.show()`` saves figures that cannot be shown, and says where."""

from __future__ import annotations

import io
import sys
from typing import Any

from matplotlib._pylab_helpers import Gcf
from matplotlib.backends.backend_agg import FigureCanvasAgg

from chainrule._harmless import harmless
from chainrule.book.display import free_path
from chainrule.storage.atomic_write import write_whole

FigureCanvas = FigureCanvasAgg


def show(*_: Any, **__: Any) -> None:
    """Save all open figures as PNG and close them, as if the user had closed their windows."""
    for manager in Gcf.get_all_fig_managers():
        path = free_path()
        try:
            png = io.BytesIO()
            manager.canvas.figure.savefig(png, format="png")
            write_whole(path, png.getvalue())
            text = f"picture saved: {path}"
        except OSError as error:  # the script should still run to its end
            text = f"picture not saved: {path}: {error.strerror}"
        if sys.stderr is not None:
            print(harmless(f"chainrule: {text}"), file=sys.stderr)
    Gcf.destroy_all()
