"""A callback of a future."""

from prefect import flow, task

seen = []


@task
def t():
    return 1


@flow
def main():
    f = t.submit()
    f.add_done_callback(lambda future: seen.append(future.state.name))
    f.wait()


main()
print(seen)
