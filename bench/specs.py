"""What is measured: estimators by their spec strings, and shapes."""

import dataclasses
import re

POSITIONAL = {"st": "tau", "reinmax": "tau", "gst": "gap", "gumbel_softmax": "tau",
              "gumbel_rao": "samples"}
ESTIMATORS = ["st", "reinmax(1.3)", "gst(1)", "gumbel_softmax", "gumbel_rao(10)"]
SHAPES = ["1000000x16", "3000x10", "800x4", "32768x32", "8192x1024", "64x128000", "100x4"]
# Cells of the default table beyond estimators times shapes.
EXTRA = [("3000x10", "gumbel_rao(100)")]


@dataclasses.dataclass(frozen=True)
class Spec:
    """The single-temperature form of an estimator: `tau` is the backward temperature."""

    text: str
    method: str
    tau: float = 1.0
    gap: float = 1.0
    samples: int = 10

    @property
    def noisy(self) -> bool:
        """Whether the gradient depends on noise beyond the index."""
        return self.method.startswith("gumbel")


def parse_spec(text: str) -> Spec:
    match = re.fullmatch(r"(\w+)(?:\(([^()]*)\))?", text.strip())
    if not match or match[1] not in POSITIONAL:
        raise ValueError(f"estimator must be one of {', '.join(POSITIONAL)}, got '{text}'")
    values = {}
    for part in filter(None, (match[2] or "").split(",")):
        key, _, value = part.strip().rpartition("=")
        key = key or POSITIONAL[match[1]]
        if key not in ("tau", POSITIONAL[match[1]]):
            raise ValueError(f"{match[1]} takes {POSITIONAL[match[1]]} and tau here, got '{part}'")
        try:
            values[key] = int(value) if key == "samples" else float(value)
        except ValueError:
            raise ValueError(f"{match[1]}: {key} must be a number, got '{value}'") from None
        if not (values[key] > 0 or key == "gap" and values[key] == 0):
            raise ValueError(f"{match[1]}: {key} must be > 0, got {value}")
    return Spec(text.strip(), match[1], **values)


def parse_shape(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,9})x([1-9]\d{0,7})", text.strip())
    if not match:
        raise ValueError(f"shape must be <rows>x<categories>, such as 3000x10, got '{text}'")
    return int(match[1]), int(match[2])
