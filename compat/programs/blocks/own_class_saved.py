"""A block class of the program, saved and loaded."""

from prefect.blocks.core import Block


class Settings(Block):
    region: str
    size: int = 1


Settings(region="eu", size=3).save("compat-settings", overwrite=True)
s = Settings.load("compat-settings")
print(s.region, s.size)
