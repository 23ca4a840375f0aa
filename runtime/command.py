"""The exit statuses of the commands."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

from .errors import AmcNetError
from .extras import needed_by
from .interrupt import GracefulInterrupt


def cli_entry_point(main: Callable[[], int]) -> Callable[[], int]:
    """Give a command's `main` its manners: 2 for an error the user can mend, 130 for Ctrl-C, 141 for a closed pipe.

    An extra that is not installed is such an error, wherever it is imported.
    """

    @functools.wraps(main)
    def wrapped() -> int:
        try:
            with GracefulInterrupt(), needed_by(Path(sys.argv[0]).name):
                return main()
        except AmcNetError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return 130
        except BrokenPipeError:
            # The reader of our output has gone (`| head`): nothing more can be said, not even at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141

    return wrapped
