"""Coroutine functions as flows and tasks."""

import asyncio
import threading

import pytest

from penstock import flow, get_run_logger, runtime, task
from penstock.errors import UpstreamFailedError
from penstock.task_runners import ThreadPoolTaskRunner


@task
async def add(x, y):
    await asyncio.sleep(0)
    return x + y


@task
def plain(x):
    return x + 1


@task
async def fail():
    raise ValueError("broken")


def run(function, **options):
    """Run a coroutine function as a flow and return its result."""
    return asyncio.run(flow(**options)(function)())


def test_tasks_are_awaited_on_the_flows_own_loop():
    loops = []

    @task
    async def here():
        loops.append(asyncio.get_running_loop())

    async def scene():
        await here()
        await asyncio.gather(here(), here())
        return asyncio.get_running_loop()

    own = run(scene)
    assert loops == [own] * 3


def test_tasks_gathered_on_a_loop_run_at_the_same_time():
    @task
    async def meet(arrived, everyone):
        arrived.append(1)
        if len(arrived) == 100:
            everyone.set()
        await everyone.wait()

    async def scene():
        everyone = asyncio.Event()
        arrived: list[int] = []
        await asyncio.gather(*(meet(arrived, everyone) for _ in range(100)))
        return len(arrived)

    assert run(scene) == 100


def test_submitted_coroutines_run_at_the_same_time():
    async def scene():
        arrived, everyone = [], asyncio.Event()

        @task
        async def meet():
            arrived.append(1)
            if len(arrived) == 200:
                everyone.set()
            await everyone.wait()

        [await future for future in [meet.submit() for _ in range(200)]]
        return len(arrived)

    assert run(scene) == 200


def test_the_caller_of_a_submitted_coroutine_may_block_until_it_is_done():
    async def scene():
        return [future.result() for future in [add.submit(1, 2), plain.submit(3)]]

    assert run(scene) == [3, 4]


def test_a_future_can_be_awaited():
    async def scene():
        return await add.submit(add.submit(1, 2), plain.submit(3))

    assert run(scene) == 7


def test_awaiting_a_failed_future_raises():
    async def scene():
        with pytest.raises(ValueError, match="broken"):
            await fail.submit()
        with pytest.raises(UpstreamFailedError):
            await plain.submit(fail.submit())

    run(scene)


def test_a_synchronous_flow_submits_coroutines():
    @flow
    def scene():
        return add.map([1, 2], 3).result()

    assert scene() == [4, 5]


def test_a_coroutine_that_was_submitted_awaits_others():
    @task
    async def tree(n):
        return n if n < 2 else await tree.submit(n - 1) + await tree.submit(n - 2)

    async def scene():
        return await tree.submit(7)

    assert run(scene, task_runner=ThreadPoolTaskRunner(max_workers=1)) == 13


def test_a_coroutine_that_was_submitted_can_not_block_until_another_one_is_done():
    @task
    async def blocks():
        return add.submit(1, 2).result()

    async def scene():
        with pytest.raises(RuntimeError, match="use `await future`"):
            await blocks.submit()

    run(scene)


def test_no_more_coroutines_run_at_a_time_than_the_flow_allows():
    running, most = 0, 0

    @task
    async def step():
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(3):
            await asyncio.sleep(0)
        running -= 1

    async def scene():
        [await future for future in [step.submit() for _ in range(20)]]
        return most

    assert run(scene, task_runner=ThreadPoolTaskRunner(max_workers=4)) == 4


def test_a_coroutine_is_tried_again(sleeps):
    @task(retries=2)
    async def third_time():
        if runtime.task_run.run_count < 3:
            raise ValueError("not yet")
        return runtime.task_run.run_count

    async def scene():
        return await third_time(), await third_time.submit()

    assert run(scene) == (3, 3)


def test_flows_inside_of_flows_are_awaited():
    @flow
    async def inner(x: int):
        return x + 1, runtime.flow_run.parent_flow_run_id

    async def scene():
        (one, parent), (two, _) = await asyncio.gather(inner(1), inner(2))
        return one, two, parent == runtime.flow_run.id

    assert run(scene) == (2, 3, True)


def test_a_flow_of_coroutines_waits_for_all_that_it_submitted():
    done = []

    @task
    async def note(x):
        await asyncio.sleep(0)
        done.append(x)

    async def scene():
        note.map(list(range(50)))

    run(scene)
    assert sorted(done) == list(range(50))


def test_parameters_of_coroutine_functions_are_converted():
    @flow
    async def typed(x: int):
        return x

    assert asyncio.run(typed("5")) == 5  # type: ignore[call-overload]  # that is the point


def test_tasks_that_run_at_the_same_time_do_not_mix_up_their_logs(caplog):
    @task(task_run_name="{n}")
    async def logs(n):
        for _ in range(3):
            await asyncio.sleep(0)
            get_run_logger().info("mine %s", n)

    async def scene():
        await asyncio.gather(*(logs(n) for n in range(10)))

    run(scene)
    lines = [record for record in caplog.records if record.getMessage().startswith("mine")]
    assert len(lines) == 30
    assert all(record.getMessage() == f"mine {record.run_name}" for record in lines)


def test_a_coroutine_that_is_cancelled_has_crashed():
    states = []

    @flow(on_crashed=[lambda flow, run, state: states.append(state.name)])
    async def waits(started):
        started.set()
        await asyncio.Event().wait()

    async def scene():
        started = asyncio.Event()
        running = asyncio.create_task(waits(started))
        await started.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(scene())
    assert states == ["Crashed"]


def test_a_called_task_gives_its_state_if_asked():
    async def scene():
        return (await fail(return_state=True)).name, (await add(1, 2, return_state=True)).result()

    assert run(scene) == ("Failed", 3)


def test_coroutines_can_be_submitted_outside_of_flows():
    assert add.submit(1, 2).result() == 3


def test_a_sync_flow_in_a_thread_beside_the_loop_works():
    @flow
    def scene():
        return threading.current_thread() is threading.main_thread(), plain.submit(1).result()

    async def outer():
        return await asyncio.to_thread(scene)

    assert asyncio.run(outer()) == (False, 2)
