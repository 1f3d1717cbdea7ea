"""The main job: a folder of images and a budget in; a small, proven model file out."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from pocketvision.budget.limits import budget_of
from pocketvision.clock import Clock, Watch, seconds
from pocketvision.errors import BudgetMissed, PocketvisionError, VerificationFailed
from pocketvision.export.confidence import abstain_of
from pocketvision.fit.choosing import choose_net, offer
from pocketvision.fit.comparing import compress_net
from pocketvision.fit.considering import weights_at_hand
from pocketvision.fit.options import command, formats_asked
from pocketvision.fit.pacing import proof_s
from pocketvision.fit.proving import export_net, verify_files
from pocketvision.fit.racing import Race, race, second
from pocketvision.fit.teaching import teachers_for, train_or_teach
from pocketvision.progress import Progress, Silent
from pocketvision.report.report import write_report
from pocketvision.runs import RunFolder, finished, name_for, nothing_left_on, run_for, write_checksums
from pocketvision.settings.option import verb
from pocketvision.settings.verbs import FitOptions
from pocketvision.train.inputs import load_data
from pocketvision.train.logs import require_logs
from pocketvision.values import Choice, FurtherFile, Health, Precision, Proof, Split, Summary, Trained
from pocketvision.verify.outcome import raise_for


@verb(FitOptions)
def fit(options: FitOptions) -> Summary:
    """Check, split, choose, train, compress, export, verify, report; return where everything lies and how good it is.

    `data` is a folder of class folders, or `digits`. Limits are amounts such as '2MB' and '10ms'. `weights` is a
    file to start from, or 'none'. `teacher` is the run of a larger trained net, or several with commas:
    distillation from it is tried beside plain training, and the better one taken. `max_drop` is how many points of
    validation accuracy int8 may lose where the budget does not force it. `abstain` says below which top probability
    the file refuses to answer: `auto` chooses on the validation images, `off` never refuses, or a probability.
    `format` names what is written beside the `.onnx`, such as `litert,coreml`; each file is proven. `time_limit`, such
    as '10m', is for the whole chain. Raises BudgetMissed where a limit is broken and VerificationFailed where the file
    answers otherwise than the trained net; the run's folder with its report is complete then too.
    """
    formats = formats_asked(options.format)
    abstain_of(options.abstain), budget_of(options)  # refused before there is a run
    require_logs(options.log)
    run = run_for("fit", options, name_for(options.data), command=command("fit", options))
    if options.resume and finished(run):
        options.progress.say(f"{run} is finished already")
        done = RunFolder(run)
        summary, proofs = done.summary.read(), [proof.read() for proof in (done.proof, *done.further_proofs())]
        _raise_for(proofs, summary, done.choice.read())
        return summary
    return _story(run, options, formats)


def _story(run: Path, options: FitOptions, formats: tuple[str, ...]) -> Summary:
    """Tell the whole chain, one line a stage."""
    watch, progress = Watch(), options.progress
    clock, budget = Clock(seconds(options.time_limit)), budget_of(options)
    with nothing_left_on(PocketvisionError, run=run):
        with watch.step("check"):
            loaded = load_data(
                options.data, run, val=options.val, test=options.test, seed=options.seed, progress=progress
            )
            _tell(loaded.health, progress)
            teachers = teachers_for(options.teacher, loaded, options)
        with watch.step("choose"):
            given = weights_at_hand(options, progress)
            choice = choose_net(run, loaded, given, options, progress=progress)
            entry = Race(run, loaded, given, options, clock, progress)
            entry.job(choice.taken, run)  # what is wrong with how it is to be trained shows now
    with watch.step("train"):
        choice, job = race(entry, choice)
        trained = train_or_teach(job, teachers, options, progress=progress)
    with watch.step("compress"):
        compared = compress_net(run, loaded, trained, options, clock=clock, progress=progress)
        while compared.broken and not teachers and (other := second(entry, choice, "; ".join(compared.broken))):
            choice, trained = other
            compared = compress_net(run, loaded, trained, options, clock=clock, progress=progress)
    with watch.step("export"):
        files = export_net(run, loaded, trained, compared, formats=formats, progress=progress)
    with watch.step("verify"):
        proofs = verify_files(run, loaded, files, budget, within_s=proof_s(clock), progress=progress)
    summary = _summary(run, proofs, trained, compared.record.taken, watch.seconds)
    RunFolder(run).summary.write(summary)
    write_report(run, progress=Silent())
    write_checksums(run)
    progress.say(f"report: {summary.report}")
    _raise_for(list(proofs.values()), summary, choice)
    return summary


def _summary(
    run: Path, proofs: dict[str, Proof], trained: Trained, precision: Precision, seconds: dict[str, float]
) -> Summary:
    proof, *others = proofs.values()
    return Summary(
        artefact=proof.file,
        test_accuracy=proof.accuracy.value,
        test_macro=proof.accuracy.macro,
        metric=proof.accuracy.metric,
        interval=(proof.accuracy.low, proof.accuracy.high),
        size_bytes=proof.size_bytes,
        latency_ms=proof.latency.median_ms,
        verdicts=proof.verdicts,
        run=run.as_posix(),
        model=trained.spec,
        precision=precision,
        report=RunFolder(run).page.path.as_posix(),
        seconds=seconds,
        further=tuple(FurtherFile(one.file, one.size_bytes, one.latency.median_ms, one.verdicts) for one in others),
    )


def _raise_for(proofs: Sequence[Proof], summary: Summary, choice: Choice) -> None:
    """Raise what the first proof that fails calls for, with the summary; with an offer where the budget is broken."""
    for proof in proofs:
        try:
            raise_for(proof)
        except BudgetMissed as error:
            missed = BudgetMissed(f"{error}\n{offer(proof.verdicts, choice)}")
            missed.result = summary
            raise missed from None
        except VerificationFailed as error:
            error.result = summary
            raise


def _tell(health: Health, progress: Progress) -> None:
    sizes = ", ".join(f"{health.images_in(split)} {split}" for split in get_args(Split))
    progress.say(f"{len(health.labels)} {health.kind}: {sizes}")
    out = [problem for problem in health.problems if problem.left_out]
    if out:
        names = ", ".join(f"{problem.file} ({problem.kind})" for problem in out[:5])
        more = f" and {len(out) - 5} more, listed in check.json and the report" if len(out) > 5 else ""
        progress.say(f"left out: {names}{more}")
    for warning in health.warnings:
        progress.say(warning)
