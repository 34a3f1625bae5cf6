"""A window that shows pictures as they come. It is Tk's, since the OpenCV that this project needs comes without one."""

from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8


class Window:
    """A window for pictures; q, Escape and its own button ask for the end."""

    def __init__(self, title: str, ask_for_the_end: Callable[[], None]) -> None:
        """Open the window.

        Raises:
            ValueError: there is no display, or this Python has no Tk.
        """
        try:
            import tkinter  # which some installations of Python lack
        except ImportError as error:
            raise ValueError("no window can be opened: this Python has no tkinter") from error
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise ValueError(f"no window can be opened: {error}") from error
        self._root.title(title)
        self._label = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        self._image_of = tkinter.PhotoImage
        for key in ("q", "<Escape>"):
            self._root.bind(key, lambda _: ask_for_the_end())
        self._root.protocol("WM_DELETE_WINDOW", ask_for_the_end)

    def show(self, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        """Show a picture instead of the one before, and hear what was asked."""
        height, width = picture.shape[:2]
        self._image = self._image_of(data=f"P6 {width} {height} 255 ".encode() + picture.tobytes(), format="ppm")
        self._label.configure(image=self._image)  # which doesn't keep it alive
        self._root.update()

    def close(self) -> None:
        """Close the window."""
        self._root.destroy()
