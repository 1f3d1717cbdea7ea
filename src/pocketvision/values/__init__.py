"""Frozen records that cross rooms, and their way to JSON and back. Units stand in the names."""

from pocketvision.values.costs import Budget, Candidate, Choice, Cost, Latency, Precision
from pocketvision.values.nets import CropMode, ImageSpec, ModelSpec
from pocketvision.values.pictures import Dataset, Example, Health, Problem, Split
from pocketvision.values.records import from_json, to_json
from pocketvision.values.results import (
    Accuracy,
    Agreement,
    Answer,
    Compression,
    Epoch,
    Manifest,
    Probe,
    Proof,
    Summary,
    Trained,
    Variant,
    Verdict,
)

__all__ = [
    "Accuracy",
    "Agreement",
    "Answer",
    "Budget",
    "Candidate",
    "Choice",
    "Compression",
    "Cost",
    "CropMode",
    "Dataset",
    "Epoch",
    "Example",
    "Health",
    "ImageSpec",
    "Latency",
    "Manifest",
    "ModelSpec",
    "Precision",
    "Probe",
    "Problem",
    "Proof",
    "Split",
    "Summary",
    "Trained",
    "Variant",
    "Verdict",
    "from_json",
    "to_json",
]
