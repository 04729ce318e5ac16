"""A secret text as a parameter."""

from pydantic import SecretStr
from prefect import flow


@flow
def main(token: SecretStr):
    return str(token), token.get_secret_value()


print(main("abc"))
