"""with_options on a flow."""

from prefect import flow


@flow
def main(x: int = 1):
    return x


g = main.with_options(name="other", retries=2)
print(g(5), g.name, g.retries, main.retries)
