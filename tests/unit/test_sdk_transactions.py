"""Transactions with keys, modes and levels, and hooks that are coroutine functions."""

import asyncio
import multiprocessing
import re
import threading

import pytest

from penstock import flow, task
from penstock.errors import OptionError, VariableError
from penstock.transactions import (
    CommitMode,
    IsolationLevel,
    Transaction,
    TransactionState,
    atransaction,
    get_transaction,
    transaction,
)


def test_what_a_key_names_is_done_once():
    done = []

    @flow
    def scene():
        with transaction(key="report") as txn:
            if txn.is_committed():
                return txn.read().result
            done.append(1)
            txn.stage({"rows": 5})
        return "done"

    assert [scene(), scene(), scene()] == ["done", {"rows": 5}, {"rows": 5}]
    assert done == [1]


def test_a_block_that_raised_is_done_again():
    def attempt(fails):
        with transaction(key="report") as txn:
            if txn.is_committed():
                return "skipped"
            txn.stage(1)
            if fails:
                raise ValueError("no")
        return "done"

    with pytest.raises(ValueError, match="no"):
        attempt(True)  # noqa: FBT003 - it reads well here
    assert [attempt(False), attempt(False)] == ["done", "skipped"]  # noqa: FBT003 - as above


def test_overwrite_does_not_ask_and_stores_again():
    for value in (1, 2):
        with transaction(key="report", overwrite=True) as txn:
            assert not txn.is_committed()
            txn.stage(value)
    with transaction(key="report") as txn:
        assert txn.read().result == 2


def test_nothing_is_stored_if_that_was_asked_for():
    with transaction(key="report", write_on_commit=False) as txn:
        txn.stage(1)
    with transaction(key="report") as txn:
        assert not txn.is_committed()


def test_the_value_is_stored_in_the_folder_of_the_flow(tmp_path):
    @flow(result_storage=tmp_path / "kept")
    def scene():
        with transaction(key="report") as txn:
            txn.stage(1)

    scene()
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_a_value_that_can_not_be_stored_rolls_back_with_a_warning(caplog):
    with transaction(key="report") as txn:
        txn.stage(threading.Lock())
    assert txn.is_rolled_back()
    assert "transaction 'report' is rolled back: cannot store the result" in caplog.text


def test_coroutines_of_one_loop_take_a_key_in_turn():
    entered = []

    async def work(name):
        async with atransaction(key="report", isolation_level=IsolationLevel.SERIALIZABLE, overwrite=True):
            entered.append(name)
            await asyncio.sleep(0)
            entered.append(name)

    async def main():
        await asyncio.gather(work("a"), work("b"))

    # In a thread that the test does not wait for: a loop that is blocked cannot be ended.
    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    thread.join(10)
    assert entered in (["a", "a", "b", "b"], ["b", "b", "a", "a"])


def test_a_coroutine_that_is_cancelled_while_it_waits_leaves_the_key_to_others():
    def serializable():
        return atransaction(key="report", isolation_level=IsolationLevel.SERIALIZABLE)

    async def wait():
        async with serializable():
            pass

    async def main():
        async with serializable():
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait(), 0.05)
        async with asyncio.timeout(10), serializable():
            return "got it"

    assert asyncio.run(main()) == "got it"


def test_the_states_of_a_transaction():
    with transaction() as txn:
        assert txn.is_active()
        txn.stage(1)
        assert txn.is_staged()
    assert txn.state is TransactionState.COMMITTED
    with pytest.raises(ValueError, match="no"), transaction() as txn:
        raise ValueError("no")
    assert txn.state is TransactionState.ROLLED_BACK


def test_hooks_can_be_staged_with_the_value():
    called = []
    with transaction() as txn:
        txn.stage(1, on_commit_hooks=[lambda _: called.append("commit")])
    with pytest.raises(ZeroDivisionError), transaction() as txn:
        txn.stage(1 / 0, on_rollback_hooks=[])
    with transaction(commit_mode=CommitMode.OFF) as txn:
        txn.stage(1, on_rollback_hooks=[lambda _: called.append("rollback")])
    assert called == ["commit", "rollback"]


def test_hooks_of_a_roll_back_are_called_last_first():
    called = []

    @task(on_rollback=[lambda _: called.append("task 1"), lambda _: called.append("task 2")])
    def write():
        return 0

    with transaction(commit_mode=CommitMode.OFF) as txn:
        txn.stage(1, on_rollback_hooks=[lambda _: called.append("own 1"), lambda _: called.append("own 2")])
        write()
    assert called == ["own 2", "own 1", "task 2", "task 1"]


def test_a_task_whose_commit_hook_raises_is_rolled_back_and_the_others_are_not():
    called = []

    def no(_):
        raise ValueError("no")

    @task(on_commit=[no, lambda _: called.append("not reached")], on_rollback=[lambda _: called.append("undone")])
    def fails():
        return 0

    @task(on_commit=[lambda _: called.append("committed")])
    def write():
        return 0

    @flow
    def scene():
        with transaction() as txn:
            states = [fails(return_state=True), write(return_state=True)]
        return txn.state, [each.name for each in states]

    assert scene()[0] is TransactionState.COMMITTED
    assert called == ["undone", "committed"]


def test_a_transaction_whose_own_commit_hook_raises_is_rolled_back_and_stores_nothing(caplog):
    called = []

    def no(_):
        raise ValueError("no")

    with transaction(key="report") as txn:
        txn.stage(1, [lambda _: called.append("undone")], [no, lambda _: called.append("not reached")])
    assert txn.state is TransactionState.ROLLED_BACK
    assert called == ["undone"]
    assert "'report' is rolled back, because a hook raised" in caplog.text
    with transaction(key="report") as txn:
        assert not txn.is_committed()


@pytest.fixture
def write():
    @task
    def write(_=None):
        return 0

    write.called = []
    write.on_commit(lambda txn: write.called.append("commit"))
    write.on_rollback(lambda txn: write.called.append("rollback"))
    return write


def test_a_transaction_inside_commits_with_the_outer_one_unless_it_is_eager(write):
    with transaction():
        with transaction():
            write()
        assert write.called == []
        with transaction(commit_mode=CommitMode.EAGER):
            write()
        assert write.called == ["commit"]
    assert write.called == ["commit", "commit"]


def test_a_transaction_that_never_commits_by_itself_is_rolled_back(write):
    with transaction(commit_mode=CommitMode.OFF):
        write()
    assert write.called == ["rollback"]
    with transaction(commit_mode=CommitMode.OFF) as txn:
        write()
        txn.commit()
    assert write.called == ["rollback", "commit"]


def test_the_mode_is_inherited(write):
    with transaction(commit_mode=CommitMode.EAGER), transaction() as inner:
        assert inner.commit_mode is CommitMode.EAGER


def test_an_inner_failure_that_is_handled_leaves_the_outer_one_alone(write):
    with transaction() as outer:
        write()
        with pytest.raises(ZeroDivisionError), transaction():
            write(1 / write())
    assert outer.is_committed()
    assert write.called == ["rollback", "commit"]


@pytest.mark.parametrize("is_async", [False, True])
def test_hooks_can_be_coroutine_functions(is_async):
    called = []

    async def undo(txn):
        await asyncio.sleep(0)
        called.append(txn.get("path"))

    @task(on_rollback=[undo])
    def write(): ...

    def scene():
        with transaction() as txn:
            txn.set("path", "/a")
            write()
            raise ValueError("no")

    async def scene_async():
        scene()

    if is_async:
        asyncio.run(flow(name="scene")(scene_async)(return_state=True))
    else:
        flow(name="scene")(scene)(return_state=True)
    assert called == ["/a"]


def test_coroutines_have_transactions_too(write):
    async def scene():
        async with atransaction() as txn:
            assert get_transaction() is txn
            write()

    asyncio.run(scene())
    assert write.called == ["commit"]
    assert get_transaction() is None


def test_what_a_task_sets_is_for_its_own_hooks():
    called = []

    @task(
        on_commit=[lambda txn: called.append(("commit", txn.get("path"), txn.get("of", None)))],
        on_rollback=[lambda txn: called.append(("undo", txn.get("path"), txn.is_rolled_back()))],
    )
    def write(path):
        own = get_transaction()
        assert own is not None
        own.set("path", path)
        with transaction() as inner:
            assert get_transaction() is inner

    @flow
    def scene(fails):
        with transaction() as txn:
            txn.set("of", "flow")
            write("a")
            write.submit("b").wait()
            if fails:
                raise ValueError("no")
        write("c")

    scene(fails=False, return_state=True)
    assert called == [("commit", "a", "flow"), ("commit", "b", "flow"), ("commit", "c", None)]
    called.clear()
    scene(fails=True, return_state=True)
    assert called == [("undo", "b", True), ("undo", "a", True)]


def test_values_are_copies():
    with transaction() as txn:
        txn.set("rows", [1])
        txn.get("rows").append(2)
        assert txn.get("rows") == [1]
        with pytest.raises(VariableError, match="no value 'nothing'"):
            txn.get("nothing")


def test_a_store_is_refused_with_what_to_do():
    with pytest.raises(OptionError, match="no option 'store': values are stored in PENSTOCK_HOME"):
        transaction(key="k", store=object())


def _append(path, count):
    for _ in range(count):
        with transaction(key="file", isolation_level=IsolationLevel.SERIALIZABLE, overwrite=True):
            number = int(path.read_text())
            path.write_text(str(number + 1))


def test_transactions_that_are_serializable_run_one_at_a_time_in_all_processes(tmp_path):
    path = tmp_path / "count"
    path.write_text("0")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_append, args=(path, 50)) for _ in range(3)]
    for process in processes:
        process.start()
    _append(path, 50)
    for process in processes:
        process.join()
    assert path.read_text() == "200"


@pytest.mark.parametrize(
    ("outer", "inner", "want"),
    [
        (CommitMode.EAGER, None, ["commit", "charged"]),
        (CommitMode.LAZY, None, ["charged", "undo"]),
        (CommitMode.OFF, None, ["charged", "undo"]),
        (CommitMode.EAGER, CommitMode.LAZY, ["charged", "undo"]),
        (CommitMode.LAZY, CommitMode.EAGER, ["commit", "charged"]),
    ],
)
def test_what_is_committed_eagerly_is_not_rolled_back(outer, inner, want):
    done = []

    @task(on_commit=[lambda _: done.append("commit")], on_rollback=[lambda _: done.append("undo")])
    def charge():
        return 1

    @flow
    def scene():
        with transaction(commit_mode=outer), transaction(commit_mode=inner):
            charge()
            done.append("charged")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        scene()
    assert done == want


def test_a_lazy_transaction_in_an_eager_one_commits_with_it():
    done = []

    @task(on_commit=[lambda _: done.append("commit")])
    def charge():
        return 1

    @flow
    def scene():
        with transaction(commit_mode=CommitMode.EAGER):
            with transaction(commit_mode=CommitMode.LAZY):
                charge()
            done.append("between")

    scene()
    assert done == ["between", "commit"]


def test_modes_and_levels_may_be_given_by_their_names(home):
    with transaction(commit_mode="EAGER", key="k", isolation_level="SERIALIZABLE") as txn:
        assert (txn.commit_mode, txn.isolation_level) == (CommitMode.EAGER, IsolationLevel.SERIALIZABLE)
    assert (CommitMode.EAGER, txn.state) == ("EAGER", "COMMITTED")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"commit_mode": "eager"}, "commit_mode='eager'): must be CommitMode.NAME or one of 'EAGER', 'LAZY', 'OFF'"),
        ({"isolation_level": "DIRTY"}, "isolation_level='DIRTY'): must be IsolationLevel.NAME or one of 'READ_COMM"),
    ],
)
def test_a_mode_that_does_not_exist_is_refused(option, message):
    for make in (transaction, Transaction):
        with pytest.raises(OptionError, match=re.escape(message)):
            make(**option)
