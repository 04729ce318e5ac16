"""Results in a folder."""

import pathlib
from prefect import flow, task
from prefect.filesystems import LocalFileSystem

fs = LocalFileSystem(basepath=str(pathlib.Path("kept").resolve()))
fs.save("compat-kept", overwrite=True)


@task(persist_result=True, result_storage_key="total.json", result_serializer="json", result_storage=fs)
def total():
    return 42


@flow
def main():
    return total()


print(main(), pathlib.Path("kept/total.json").exists())
