"""A figure's data as plain lists and arrays, which matplotlib's type annotations do not specify."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D


def xs(line: Line2D) -> list[Any]:
    return np.asarray(line.get_xdata()).tolist()


def ys(line: Line2D) -> list[Any]:
    return np.asarray(line.get_ydata()).tolist()


def points(line: Line2D) -> list[list[float]]:
    return np.asarray(line.get_xydata()).tolist()


def corners(band: Collection) -> np.ndarray:
    """The vertices of the band's first path, [n, 2]."""
    return np.asarray(band.get_paths()[0].vertices)


def legend(axes: Axes) -> list[str]:
    """The labels of the axes' legend."""
    shown = axes.get_legend()
    assert shown is not None
    return [text.get_text() for text in shown.get_texts()]


def bars(axes: Axes) -> list[ErrorbarContainer]:
    """The error bars of axes without other containers."""
    found = [each for each in axes.containers if isinstance(each, ErrorbarContainer)]
    assert len(found) == len(axes.containers)
    return found
