"""Entry points of the commands: error messages and exit statuses."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

from .errors import AmcNetError
from .extras import needed_by
from .interrupt import GracefulInterrupt, SignalInterrupt


def cli_entry_point(main: Callable[[], int]) -> Callable[[], int]:
    """Wrap a CLI main: AmcNetError -> exit 2, Ctrl-C -> 130, SIGTERM -> 143, SIGHUP -> 129, closed pipe -> 141.

    The message of an AmcNetError goes to stderr. An optional dependency that is not installed is reported in the same
    way, with the extra that installs it. All other exceptions pass.

        @cli_entry_point
        def main() -> int: ...
    """

    @functools.wraps(main)
    def wrapped() -> int:
        try:
            with GracefulInterrupt(), needed_by(Path(sys.argv[0]).name):
                return main()
        except AmcNetError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt as error:
            return error.exit_status if isinstance(error, SignalInterrupt) else 130
        except BrokenPipeError:
            # The reader of stdout has exited (`| head`). Flushing stdout at exit would raise again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141

    return wrapped
