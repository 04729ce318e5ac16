"""Each public name of Prefect is there, or refused where it is first met, in one sentence that says what to use."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import penstock
from penstock import flow, task
from penstock.authoring.prefect.prefect_names import METHODS_OF_FLOWS, METHODS_OF_TASKS, MODULES, NAMES
from penstock.cli.main import main
from penstock.errors import NotOfferedError

KNOWN = yaml.safe_load(Path(__file__).with_name("prefect_names.yaml").read_text())
PUBLIC = [(module, name) for module, names in KNOWN.items() for name in names.split()]
OFFERED = {
    "": "allow_failure flow get_run_logger pause_flow_run serve tags task unmapped State Transaction",
    "blocks.core": "Block",
    "blocks.system": "Secret",
    "cache_policies": "CacheKeyFnPolicy CompoundCachePolicy FlowParameters Inputs NONE RunId TaskSource",
    "client.schemas.objects": "FlowRun State StateType TaskRun",
    "concurrency.sync": "concurrency rate_limit",
    "concurrency.asyncio": "concurrency rate_limit",
    "context": "FlowRunContext TaskRunContext get_run_context tags",
    "deployments": "arun_deployment run_deployment",
    "exceptions": "CancelledRun FailedRun MissingContextError ParameterTypeError PrefectException UnfinishedRun",
    "filesystems": "LocalFileSystem",
    "futures": "PrefectFuture PrefectFutureList as_completed wait",
    "input": "RunInput",
    "input.run_input": "RunInput",
    "logging": "disable_run_logger get_logger get_run_logger",
    "runtime.flow_run": "id name parameters",
    "runtime.deployment": "id name parameters",
    "serializers": "CompressedSerializer JSONSerializer PickleSerializer Serializer",
    "states": "AwaitingRetry Cancelling raise_state_exception",
    "task_runners": "ConcurrentTaskRunner ProcessPoolTaskRunner SequentialTaskRunner ThreadPoolTaskRunner",
    "testing.utilities": "prefect_test_harness",
    "transactions": "CommitMode IsolationLevel Transaction atransaction get_transaction transaction",
    "utilities.annotations": "allow_failure quote unmapped",
}


def module_of(name):
    return importlib.import_module(f"penstock.{name}" if name else "penstock")


@pytest.mark.parametrize(("module", "name"), [(m, n) for m, names in OFFERED.items() for n in names.split()])
def test_a_name_that_works_within_a_process_is_there(module, name):
    assert hasattr(module_of(module), name)


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_a_name_of_prefect_is_there_or_refused_with_an_alternative(module, name):
    try:
        getattr(module_of(module), name)
    except NotOfferedError as error:
        said = str(error)
    else:
        return
    # Whoever reads only this line knows what to do.
    assert re.fullmatch(r"penstock(\.\S+)? has no (module )?'[\w.]+': \S.{8,}", said)


def test_an_import_statement_shows_the_alternative():
    code = "from penstock.states import StateGroup"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "NotOfferedError: penstock.states has no 'StateGroup': " in answer.stderr


def test_a_name_of_the_engine_is_refused_as_an_attribute_too():
    with pytest.raises(NotOfferedError, match=r"penstock\.engine has no 'pause_flow_run': import it from penstock"):
        module_of("engine").pause_flow_run  # noqa: B018 - that it is asked for
    with pytest.raises(NotOfferedError, match=r"penstock\.engine has no 'run_flow': it is internal to Prefect"):
        from penstock.engine import run_flow  # type: ignore[attr-defined]  # noqa: F401, PLC0415 - as above
    assert not hasattr(penstock.engine, "nothing")


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_without_a_counterpart_is_refused_below_it_too(module):
    with pytest.raises(NotOfferedError, match=rf"penstock has no module '{module}.deep.er': "):
        penstock._PrefectModules.find_spec(f"penstock.{module}.deep.er")


def test_a_name_that_nobody_has_is_an_ordinary_error():
    with pytest.raises(ImportError, match=r"cannot import name 'Complted' from 'penstock\.states'"):
        from penstock.states import Complted  # type: ignore[attr-defined]  # noqa: F401, PLC0415 - the point
    assert not hasattr(module_of("futures"), "nothing")


def test_no_name_is_both_there_and_in_the_table():
    both = [
        (module, name)
        for module, names in NAMES.items()
        for name in names
        if name != "*" and name in vars(module_of(module))
    ]
    assert both == []


def test_modules_are_found_as_attributes_of_the_package():
    code = "import penstock; print(penstock.states.Completed().name, penstock.runtime.flow_run.id)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "Completed None\n"


@pytest.mark.parametrize("name", sorted(METHODS_OF_FLOWS))
def test_a_method_of_flows_that_only_prefect_has_is_refused_on_flows_and_their_class(name):
    for owner in (flow(name="f")(lambda: 1), penstock.Flow):
        with pytest.raises(NotOfferedError, match=rf"flows have no {name}\(\): "):
            getattr(owner, name)


@pytest.mark.parametrize("name", sorted(METHODS_OF_TASKS))
def test_a_method_of_tasks_that_only_prefect_has_is_refused(name):
    with pytest.raises(NotOfferedError, match=rf"tasks have no {name}\(\): .*call the task in a flow"):
        getattr(task(name="t")(lambda: 1), name)


def test_loading_a_flow_from_a_repository_is_refused_on_the_decorator_too():
    with pytest.raises(NotOfferedError, match="import the module that has the flow"):
        flow.from_source(source="https://example.com/r.git", entrypoint="f.py:f")  # type: ignore[attr-defined]


ADVICE = sorted(
    {
        *MODULES.values(),
        *METHODS_OF_FLOWS.values(),
        *METHODS_OF_TASKS.values(),
        *(advice for names in NAMES.values() for advice in names.values()),
    }
)


@pytest.mark.parametrize("page", sorted(set(re.findall(r"docs/[\w-]+\.md", " ".join(ADVICE)))))
def test_a_page_that_is_an_alternative_is_there(page):
    assert (Path(__file__).parents[2] / page).is_file()


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`penstock (\w+ -[^`]*)`", " ".join(ADVICE)))))
def test_a_command_that_is_an_alternative_has_its_options(command, capsys):
    name, *words = command.split()
    with pytest.raises(SystemExit):
        main([name, "--help"])
    usage = set(re.findall(r"[\w-]+", capsys.readouterr().out))
    assert usage >= set(words)


def test_a_name_of_a_module_that_is_an_object_here_is_an_ordinary_error():
    assert not hasattr(penstock.runtime.flow_run, "nothing")
