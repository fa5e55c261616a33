"""From scores to decisions: probabilities that mean what they say, and thresholds above which codes are assigned."""

from nosology.calibration.probabilities import (
    IsotonicCalibration,
    best_threshold,
    expected_calibration_error,
    threshold_of_precision,
)
from nosology.calibration.threshold_files import read_thresholds, write_thresholds
from nosology.calibration.thresholds import (
    CrossFitted,
    ScoredLabels,
    ThresholdKind,
    Thresholds,
    cross_fit_thresholds,
    refuse_tuned_on,
    tune_scored,
    tune_thresholds,
)

__all__ = [
    "CrossFitted",
    "IsotonicCalibration",
    "ScoredLabels",
    "ThresholdKind",
    "Thresholds",
    "best_threshold",
    "cross_fit_thresholds",
    "expected_calibration_error",
    "read_thresholds",
    "refuse_tuned_on",
    "threshold_of_precision",
    "tune_scored",
    "tune_thresholds",
    "write_thresholds",
]
