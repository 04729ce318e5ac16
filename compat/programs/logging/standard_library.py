"""Records of the standard library."""

import logging
from prefect import flow


@flow
def main():
    logging.getLogger("app").warning("from the app")
    return "logged"


print(main())
