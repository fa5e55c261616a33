"""The ``nosology`` command: mounts the commands, and turns what goes wrong into one line and an exit code.

Exit codes: 0 done; 1 an error of the program itself; 2 wrong input or options; 130 interrupted; 143 terminated.
Nothing heavy is imported here or at the top of a command's module, so that ``nosology --help`` is quick.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from nosology import __version__
from nosology.cli.code import code
from nosology.cli.codes import app as codes_app
from nosology.cli.compare import compare
from nosology.cli.convert import convert
from nosology.cli.corpus import app as corpus_app
from nosology.cli.evaluate import evaluate
from nosology.cli.experiment import experiment
from nosology.cli.prepare import prepare
from nosology.cli.probe import probe
from nosology.cli.reproduce import reproduce
from nosology.cli.segments import app as segments_app
from nosology.cli.simulate import simulate
from nosology.cli.stats import stats
from nosology.cli.train import train
from nosology.cli.tune import tune
from nosology.errors import NosologyError

_DEBUG = "--debug"
_PLAIN = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="nosology",
    help="Codes clinical notes with ICD, shows the words that justify each code, and stays good on rare codes.",
    epilog="""Examples:

\b
  nosology train simulated --out model
  nosology evaluate model --split dev
  nosology code model note.txt
  nosology codes show I10

'nosology COMMAND --help' tells more. No note text is ever put into an error message.""",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings=_PLAIN,
)
app.command(context_settings=_PLAIN)(train)
app.command(context_settings=_PLAIN)(evaluate)
app.command(context_settings=_PLAIN)(compare)
app.command(context_settings=_PLAIN)(code)
app.command(context_settings=_PLAIN)(tune)
app.command(context_settings=_PLAIN)(experiment)
app.command(context_settings=_PLAIN)(reproduce)
app.command(context_settings=_PLAIN)(simulate)
app.command(context_settings=_PLAIN)(prepare)
app.command(context_settings=_PLAIN)(stats)
app.command(context_settings=_PLAIN)(convert)
app.command(context_settings=_PLAIN)(probe)
app.add_typer(codes_app, name="codes")
app.add_typer(corpus_app, name="corpus")
app.add_typer(segments_app, name="segments")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nosology {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option(_DEBUG, help="Show a traceback when something goes wrong.")] = False,
) -> None:
    """Options of the command itself; ``main`` has taken ``--debug`` out already, wherever it stood."""


def main() -> NoReturn:
    """Entry point of the console script."""
    _replace_what_cannot_be_printed()
    signal.signal(signal.SIGTERM, _stop)
    arguments = sys.argv[1:]
    code = run([a for a in arguments if a != _DEBUG], debug=_DEBUG in arguments)
    sys.exit(_flushed(code))


def run(arguments: Sequence[str], *, debug: bool = False) -> int:
    """Run one command line and return its exit code; whatever went wrong has been told on stderr, in one line.

    Args:
        arguments: without the program's name.
        debug: also print the traceback, which may show file names and values, but no ``repr`` of a note.
    """
    try:
        app(args=list(arguments), prog_name="nosology")
    except SystemExit as stop:
        return _exit_code(stop)
    except KeyboardInterrupt:
        return _interrupted()
    except NosologyError as error:
        _show_traceback(debug)
        _say(f"nosology: error: {error}")
        return 2
    except MemoryError:
        _show_traceback(debug)
        _say("nosology: error: not enough memory; code fewer or shorter notes at once")
        return 1
    except Exception as error:  # the last resort: its text could hold note text, so only its kind and place are told
        _show_traceback(debug)
        _say(f"nosology: internal error ({type(error).__name__} at {_place(error)}); please report it{_how(debug)}")
        return 1
    return 0


def _exit_code(stop: SystemExit) -> int:
    if stop.code == 130:  # how typer hands on a KeyboardInterrupt
        return _interrupted()
    return stop.code if isinstance(stop.code, int) else int(stop.code is not None)


def _interrupted() -> int:
    _say("nosology: interrupted; nothing half-written was left")
    return 130


def _say(line: str) -> None:
    with suppress(OSError):
        print(" ".join(line.splitlines()), file=sys.stderr)


def _show_traceback(debug: bool) -> None:
    if debug:
        traceback.print_exc()


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"


def _how(debug: bool) -> str:
    return "" if debug else f" with what {_DEBUG} shows (look it through first: it names your files)"


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """End on SIGTERM as on Ctrl-C: blocks that clean up do so."""
    sys.exit(128 + number)


def _replace_what_cannot_be_printed() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _flushed(code: int) -> int:
    """Flush before Python does, so that a reader that has gone (``| head``) causes no noise."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code or 1
    return code
