"""The storage of a flow, for all of its tasks."""

from prefect import flow, task
from prefect.filesystems import LocalFileSystem


fs = LocalFileSystem(basepath="/tmp/penstock-compat-flow")
fs.save("compat-flow", overwrite=True)


@task(result_storage_key="one.pkl", persist_result=True)
def t():
    return 1


@flow(result_storage=fs, persist_result=True)
def main():
    return t()


print(main())
