"""What of the schemes in quantize.schemes a base cannot have, known from its configuration and its layers' classes."""

from typing import Any

from tasks.core.errors import CheckFailed
from tasks.quantize.schemes import SCHEMES
from tasks.training.coverage import low_bits_share


def check_shares(skeleton: Any, schemes: list[str], least: float) -> None:
    """Raise `CheckFailed` where bitsandbytes would leave more of the model `skeleton` whole than `least` allows."""
    affected = [name for name in schemes if SCHEMES[name].writer == "bits"]
    if affected and (share := low_bits_share(skeleton)) < least:
        raise CheckFailed(
            f"quantize: {', '.join(affected)} would store only {share:.0%} of the layers' weights in fewer bits, less "
            f"than quantize.min_low_bits = {least:g} requires: bitsandbytes does not quantise the other layers of this "
            f"model, such as experts; remove {', '.join(affected)} from quantize.schemes, or lower the limit."
        )
