"""Links and images as artifacts."""

from uuid import UUID
from prefect import flow
from prefect.artifacts import create_image_artifact, create_link_artifact


@flow
def main():
    a = create_link_artifact(key="a-link", link="https://a.example", link_text="A")
    b = create_image_artifact(image_url="https://a.example/i.png", key="an-image")
    return isinstance(a, UUID), isinstance(b, UUID)


print(main())
