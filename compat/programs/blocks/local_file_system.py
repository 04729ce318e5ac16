"""Files through a block."""

from prefect.filesystems import LocalFileSystem

fs = LocalFileSystem(basepath="/tmp/penstock-compat-files")
fs.write_path("a.txt", b"text")
print(fs.read_path("a.txt"))
