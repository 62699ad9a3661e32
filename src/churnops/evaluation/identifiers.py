"""Where an id could carry a label, on purpose or by the way ids were given out."""

import re

import numpy as np
import numpy.typing as npt

from churnops.evaluation.association import Column

_EXACT_DIGITS = 15  # what a float holds


def id_parts(customer_id: npt.NDArray[np.object_]) -> dict[str, Column]:
    """What can be read off an id, by name; none of it is a feature of the model."""
    digits = [re.sub(r"\D", "", one) for one in customer_id]
    texts = {
        "letters": [re.sub(r"\d", "", one) for one in customer_id],
        "length": [str(len(one)) for one in customer_id],
        "first character": [one[:1] for one in customer_id],
        "first two characters": [one[:2] for one in customer_id],
        "first three characters": [one[:3] for one in customer_id],
        "last character": [one[-1:] for one in customer_id],
        "last two characters": [one[-2:] for one in customer_id],
        "last digit": [one[-1:] for one in digits],
    }
    number = np.array([float(one[:_EXACT_DIGITS]) if one else np.nan for one in digits])
    return {"number": number, **{name: np.array(parts, dtype=object) for name, parts in texts.items()}}
