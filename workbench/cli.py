"""The commands of the workbench. Heavy imports happen inside them, so that ``--help`` answers at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

DONE, FAILED, REFUSED, RINGS, INTERRUPTED = 0, 1, 2, 3, 130

app = typer.Typer(
    name="workbench",
    help="From a shop's tables to reports that open offline.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Language = Literal["en", "zh"]
Source = Annotated[str, typer.Argument(help="Folder of Parquet or CSV files, DuckDB file, or database URL.")]
Mapping = Annotated[Path | None, typer.Option(help="YAML file that maps the source to the contract.")]
Out = Annotated[Path, typer.Option(help="Folder that gets the results.")]
FailOnAlarm = Annotated[
    bool, typer.Option("--fail-on-alarm", help="Exit with 3 if all is done and an alarm of the newest days rings.")
]
Lang = Annotated[Language | None, typer.Option(help="Language of the answer.", show_default="en")]


@app.command()
def sample(
    directory: Annotated[Path, typer.Argument(help="Folder to write the shop to.")],
    users: Annotated[int, typer.Option(help="How many users the shop has.", min=1)] = 20_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same shop.")] = 1,
) -> None:
    """Write a made-up shop with known effects planted in it (truth.json tells them)."""

    def write() -> int:
        from workbench.source.simulate import simulate_shop

        simulate_shop(directory, users=users, seed=seed)
        typer.echo(directory)
        return DONE

    _leave(write)


@app.command()
def check(source: Source, mapping: Mapping = None, lang: Lang = None) -> None:
    """Check a source against the contract and reconcile its tables."""

    def answer() -> int:
        from workbench.source.checks import check_source

        report = check_source(source, mapping)
        typer.echo(report.text(lang or "en"))
        return REFUSED if report.faults else DONE

    _leave(answer)


@app.command()
def run(
    notebook: Annotated[str, typer.Argument(help="Name of a shipped notebook, or path to an .ipynb.")],
    source: Source,
    out: Out,
    parameter: Annotated[
        list[str] | None, typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="A parameter, as YAML.")
    ] = None,
    parameter_file: Annotated[
        Path | None, typer.Option("-f", "--parameter-file", metavar="FILE", help="YAML file of parameters.")
    ] = None,
    mapping: Mapping = None,
    lang: Lang = None,
    fail_on_alarm: FailOnAlarm = False,
) -> None:
    """Run one notebook on one source and write its report."""

    def answer() -> int:
        from workbench.report.progress import Progress
        from workbench.report.run import prepare_run, start_run

        request = prepare_run(
            notebook, source, parameters=_parameters(parameter, parameter_file), mapping=mapping, lang=lang
        )
        with Progress([request]) as progress:
            result = start_run(request, out, lambda done, total: progress.cell(request, done, total))
            progress.done(result)
        if result.status == "done":
            typer.echo(result.report.absolute())
        return RINGS if fail_on_alarm and result.rings else result.exit_code

    _leave(answer)


@app.command()
def batch(
    plan: Annotated[Path, typer.Argument(help="YAML file with the runs.")],
    out: Out,
    jobs: Annotated[int, typer.Option(help="How many runs at a time.", min=1)] = 2,
    fail_on_alarm: FailOnAlarm = False,
) -> None:
    """Run a plan and write an index page that leads to its reports."""

    def answer() -> int:
        from workbench.report.batch import run_batch
        from workbench.report.plan import load_plan
        from workbench.report.progress import Progress

        requests, lang = load_plan(plan)
        with Progress(requests) as progress:
            results = run_batch(requests, out, lang=lang, jobs=jobs, on_cell=progress.cell, on_done=progress.done)
        typer.echo((out / "index.html").absolute())
        if any(result.status != "done" for result in results):
            return FAILED
        return RINGS if fail_on_alarm and any(result.rings for result in results) else DONE

    _leave(answer)


@app.command()
def audience(
    rules: Annotated[Path, typer.Argument(help="YAML file of audiences (docs/audiences.md).")],
    source: Source,
    out: Annotated[Path, typer.Option(help="File that gets the user ids, .csv or .parquet.")],
    only: Annotated[str | None, typer.Option(metavar="NAME", help="Write this audience alone.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    mapping: Mapping = None,
    lang: Lang = None,
) -> None:
    """Write the user ids of audiences, with a random control held back in each."""

    def answer() -> int:
        from workbench.source.shop import open_shop
        from workbench.user.audience import make_audiences
        from workbench.user.audience_files import check_target, write_audiences, written_words
        from workbench.user.audience_rules import load_audience_rules

        asked = load_audience_rules(rules).only(only)
        check_target(out, force=force)
        shop = open_shop(source, mapping)
        manifest = write_audiences(shop, make_audiences(shop, asked), out, force=force)
        typer.echo(written_words(manifest, lang or "en"))
        typer.echo(out.absolute())
        return DONE

    _leave(answer)


@app.command()
def lab(
    out: Annotated[
        Path | None, typer.Option(help="Folder of runs whose reports are linked.", show_default="out")
    ] = None,
    lang: Lang = None,
) -> None:
    """Open JupyterLab on a start page: the notebooks, the last runs, the sample."""

    def start() -> int:
        import subprocess

        from workbench.explore.lab import lab_command

        return subprocess.run(lab_command(lang or "en", out and out.absolute()), check=False).returncode

    _leave(start)


def main() -> None:
    """Entry point of the ``workbench`` command."""
    app()


def _leave(command: Callable[[], int]) -> None:
    """Leave with the exit code of a command; an error that a user can mend is one message, no traceback."""
    from workbench.errors import EstimationError, ParameterError, SourceError, TableError

    try:
        code = command()
    except (ParameterError, SourceError, TableError) as error:
        typer.echo(str(error), err=True)
        code = REFUSED
    except EstimationError as error:
        typer.echo(str(error), err=True)
        code = FAILED
    except KeyboardInterrupt:
        typer.echo("interrupted; what was finished before stays as it was.", err=True)
        code = INTERRUPTED
    except OSError as error:
        where = f' "{error.filename}"' if error.filename else ""
        typer.echo(f"files: {error.strerror or error}{where}. Check the path and that you may write there.", err=True)
        code = REFUSED
    raise typer.Exit(code)


def _parameters(pairs: list[str] | None, file: Path | None) -> dict[str, Any]:
    """Values of ``-f`` and ``-p``; ``-p`` wins."""
    from workbench.errors import ParameterError
    from workbench.report.plan import read_yaml

    values: dict[str, Any] = {}
    if file is not None:
        if not file.is_file():
            raise ParameterError(f'-f: there is no file "{file}".')
        content = read_yaml(file.read_text(encoding="utf-8"), file.name)
        if not isinstance(content, dict | None):
            raise ParameterError(f"-f: {file.name} must hold one name: value a line.")
        values |= {str(name): value for name, value in (content or {}).items()}
    for pair in pairs or []:
        name, sign, text = pair.partition("=")
        if not sign or not name.strip():
            raise ParameterError(f'-p: "{pair}" is not name=value, such as -p lookback_hours=72.')
        values[name.strip()] = read_yaml(text, f"-p {name.strip()}")
    return values


if __name__ == "__main__":
    main()
