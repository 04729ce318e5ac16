"""Label selectors: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.api.event import LabelRequirement, LabelSelector


def selects(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Whether a selector selects an object.

    Args:
        selector: all of its requirements must hold; None selects everything.
        labels: of the object.
    """
    if selector is None:
        return True
    wanted = selector.match_labels or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _holds(one, labels) for one in selector.match_expressions or ()
    )


def _holds(one: LabelRequirement, labels: Mapping[str, str]) -> bool:
    if one.operator == "Exists":
        return one.key in labels
    if one.operator == "DoesNotExist":
        return one.key not in labels
    # As in Kubernetes, an object without the label is not in any set of values.
    is_in = one.key in labels and labels[one.key] in (one.values or ())
    return is_in == (one.operator == "In")
