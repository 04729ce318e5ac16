"""Any object as a parameter."""

from prefect import flow, task


class Client:
    def get(self):
        return "got"


@task
def t(c):
    return c.get()


@flow
def main(c):
    return t(c)


print(main(Client()))
