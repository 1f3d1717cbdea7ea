"""A stand-in runner: a manifest and a function, so that what uses runners is tested without a runtime."""

from collections.abc import Callable
from dataclasses import dataclass

from pocketvision.runtime import Images, Probabilities
from pocketvision.runtime.boxes import answer_shape
from pocketvision.values import Manifest


@dataclass(frozen=True)
class FakeRunner:
    """Answers with `answer`; everything else comes from the manifest."""

    manifest: Manifest
    answer: Callable[[Images], Probabilities]
    name: str = "fake"

    @property
    def labels(self) -> tuple[str, ...]:
        """The manifest's labels."""
        return self.manifest.labels

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.manifest.image.resolution, self.manifest.image.resolution, 3

    @property
    def answer_shape(self) -> tuple[int, ...]:
        """Of the answer to one image."""
        return answer_shape(self.manifest)

    def run(self, images: Images) -> Probabilities:
        """Answer images [N, R, R, 3]."""
        return self.answer(images)
