"""The commands of the workbench. Heavy imports happen inside them, so that ``--help`` answers at once."""

from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

MIN_YEAR, MAX_YEAR = 1970, 2200
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
AsOf = Annotated[
    str | None, typer.Option("--as-of", metavar="DAY", help="The day from which last_week is told, such as 2026-11-23.")
]
Pdf = Annotated[bool, typer.Option("--pdf", help="Print each report to report.pdf too (needs Chromium).")]
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
    as_of: AsOf = None,
    annotations: Annotated[
        str | None, typer.Option(metavar="FILE", help="CSV file of days to draw on charts: date, label, end_date.")
    ] = None,
    comment: Annotated[str, typer.Option(metavar="TEXT", help="What you have to say, at the top of the report.")] = "",
    mask_below: Annotated[
        int, typer.Option("--mask-below", metavar="N", min=0, help="Do not show numbers of fewer than N people.")
    ] = 0,
    pdf: Pdf = False,
    fail_on_alarm: FailOnAlarm = False,
) -> None:
    """Run one notebook on one source and write its report."""

    def answer() -> int:
        from workbench.report.folder import locked
        from workbench.report.progress import Progress
        from workbench.report.request import prepare_run
        from workbench.report.run import start_run

        request = prepare_run(
            notebook,
            source,
            parameters=_parameters(parameter, parameter_file),
            mapping=mapping,
            lang=lang,
            as_of=_day(as_of),
            annotations=annotations,
            comment=comment,
            mask_below=mask_below,
        )
        if pdf:
            _need_browser()
        with locked(out, alone=False), Progress([request]) as progress:
            result = start_run(request, out, lambda done, total: progress.cell(request, done, total), pdf=pdf)
            progress.done(result)
        if result.status == "done":
            typer.echo(result.report.absolute())
        return RINGS if fail_on_alarm and result.rings and result.exit_code == DONE else result.exit_code

    _leave(answer)


@app.command()
def batch(
    plan: Annotated[Path, typer.Argument(help="YAML file with the runs.")],
    out: Out,
    jobs: Annotated[int, typer.Option(help="How many runs at a time.", min=1)] = 2,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Do this run alone; may be repeated.")] = None,
    as_of: AsOf = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the plan, tell its runs, start nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Do anew what has not changed too.")] = False,
    retries: Annotated[int, typer.Option(help="How often a failed run is tried again.", min=0)] = 0,
    timeout: Annotated[float | None, typer.Option(help="Minutes that a run may take.", min=0.01)] = None,
    yes: Annotated[bool, typer.Option("--yes", help="A plan of very many runs is meant.")] = False,
    pdf: Pdf = False,
    bundle: Annotated[Path | None, typer.Option(help="Zip file for mailing: the index and the reports.")] = None,
    fail_on_alarm: FailOnAlarm = False,
    fail_on_stale: Annotated[
        bool, typer.Option("--fail-on-stale", help="Exit with 3 if all is done and the data of a run are out of date.")
    ] = False,
) -> None:
    """Run a plan and write an index page that leads to its reports; what has not changed is kept."""

    def answer() -> int:
        from workbench.report.batch import Options, check_only, is_stale, run_batch, what_would_run
        from workbench.report.bundle import check_bundle, write_bundle
        from workbench.report.folder import locked
        from workbench.report.plan import load_plan
        from workbench.report.progress import Progress, run_lines

        requests, lang = load_plan(plan, as_of=_day(as_of), allow_many=yes)
        seconds = timeout * 60 if timeout else None
        options = Options(jobs, check_only(only or (), requests), force, retries, seconds, pdf)
        if pdf:
            _need_browser()
        if bundle is not None:
            check_bundle(bundle)
        if dry_run:
            typer.echo("\n".join(run_lines(what_would_run(requests, out, options))))
            return DONE
        with Progress(requests, out, options) as progress:
            results = run_batch(
                requests,
                out,
                lang=lang,
                options=options,
                on_cell=progress.cell,
                on_done=progress.done,
                on_note=progress.note,
            )
        is_bundled = True
        if bundle is not None:
            try:
                with locked(out, alone=False, waits=True):
                    write_bundle(requests, out, bundle)
            except OSError as error:
                typer.echo(f'--bundle: "{bundle}" could not be written: {error.strerror or error}.', err=True)
                is_bundled = False
        typer.echo((out / "index.html").absolute())
        if not is_bundled or any(result.exit_code != DONE for result in results):
            return FAILED
        stale = fail_on_stale and any(is_stale(result) for result in results)
        return RINGS if stale or (fail_on_alarm and any(result.rings for result in results)) else DONE

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

        from workbench.explore.lab import lab_command, lab_environment

        command = lab_command(lang or "en", out and out.absolute())
        return subprocess.run(command, env=lab_environment(), check=False).returncode

    _leave(start)


def main() -> None:
    """Entry point of the ``workbench`` command."""
    app()


def _leave(command: Callable[[], int]) -> None:
    """Leave with the exit code of a command; an error that a user can mend is one message, no traceback."""
    from workbench.errors import EstimationError, ParameterError, SourceError, TableError

    _end_as_by_hand()
    try:
        code = command()
    except (ParameterError, SourceError, TableError) as error:
        typer.echo(str(error), err=True)
        code = REFUSED
    except EstimationError as error:
        typer.echo(str(error), err=True)
        code = FAILED
    except KeyboardInterrupt:
        typer.echo("interrupted; what was finished before stays as it was. The same command goes on.", err=True)
        code = INTERRUPTED
    except OSError as error:
        where = f' "{error.filename}"' if error.filename else ""
        typer.echo(f"files: {error.strerror or error}{where}. Check the path and that you may write there.", err=True)
        code = REFUSED
    raise typer.Exit(code)


def _day(text: str | None) -> date | None:
    from workbench.period import parse_date

    day = parse_date(text, "--as-of")
    if day is not None and not MIN_YEAR <= day.year <= MAX_YEAR:
        from workbench.errors import ParameterError

        raise ParameterError(f"--as-of: {day} is no day of a shop; give one between {MIN_YEAR} and {MAX_YEAR}.")
    return day


def _need_browser() -> None:
    from workbench.report.pdf import find_browser

    find_browser()


def _end_as_by_hand() -> None:
    """Let what ends a service (SIGTERM) leave the folder in order, as Ctrl-C does."""
    import signal

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with suppress(ValueError):  # not in the main thread: a test
        signal.signal(signal.SIGTERM, interrupt)


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
