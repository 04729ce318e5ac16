"""A condition that stops retries."""

from prefect import flow, task

calls = []


def again(task, task_run, state):
    try:
        state.result()
    except ConnectionError:
        return True
    except Exception:
        return False


@task(retries=5, retry_condition_fn=again)
def t():
    calls.append(1)
    raise ConnectionError if len(calls) == 1 else ValueError("stop")


@flow
def main():
    return t(return_state=True)


s = main(return_state=True)
print(s.type.value, len(calls))
