"""Detection of the use of a network in a process forked after it was loaded."""

from __future__ import annotations

import os

from .errors import BackendError


class LoadedProcess:
    """The process in which this was made.

    A fork copies the memory of a network but not the threads that compute it: a call in the child would block forever.
    """

    def __init__(self) -> None:
        self._id = os.getpid()

    @property
    def is_this(self) -> bool:
        return os.getpid() == self._id

    def require(self) -> None:
        """Raises BackendError in a child forked after this was made."""
        if not self.is_this:
            raise BackendError(
                f"the network was loaded in process {self._id}, and this is process {os.getpid()}, forked from it, "
                "which has no threads to compute with. Load the network in the child, and only there, or start the "
                "child without a fork: multiprocessing.get_context('spawn')"
            )
