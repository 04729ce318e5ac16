"""A call without a required argument."""

from prefect import flow


@flow
def main(a):
    return a


try:
    main()
except TypeError as e:
    print("TypeError")
