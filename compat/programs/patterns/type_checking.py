"""Names for annotations only."""

from __future__ import annotations
from typing import TYPE_CHECKING
from prefect import Flow, State, Task, flow, task

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.futures import PrefectFuture


def hook(f: Flow, run: FlowRun, state: State) -> None:
    print(isinstance(f, Flow), isinstance(state, State))


@task
def t(): ...
@flow(on_completion=[hook])
def main(): ...


main()
print(isinstance(t, Task), isinstance(main, Flow))
