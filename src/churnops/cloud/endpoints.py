"""How an endpoint's traffic is shared among its variants: SageMaker's own canary, by weights."""

from dataclasses import dataclass

from churnops.cloud.aws import Aws, told
from churnops.errors import CloudError


@dataclass(frozen=True)
class Variant:
    """One variant of an endpoint, and the share of the requests it gets."""

    name: str
    share: float


def variants(endpoint: str, aws: Aws) -> list[Variant]:
    """The variants of an endpoint with their shares; raises CloudError where there is no such endpoint."""
    weights = _weights(endpoint, aws)
    total = sum(weights.values()) or 1.0
    return [Variant(name, weight / total) for name, weight in weights.items()]


def give(endpoint: str, variant: str, share: float, aws: Aws) -> list[Variant]:
    """Give a variant `share` of the requests, 0 for none; the others divide the rest as before.

    Raises CloudError where there is no such variant, or none that the rest could go to.
    """
    weights = _weights(endpoint, aws)
    if variant not in weights:
        known = ", ".join(weights)
        raise CloudError(f"endpoint {endpoint} has no variant {variant}, only {known}: add it to its config")
    rest = sum(weight for name, weight in weights.items() if name != variant)
    if not rest:
        raise CloudError(f"endpoint {endpoint}: no variant but {variant} has any weight to take the rest")
    new = {name: weight / rest * (1 - share) for name, weight in weights.items()} | {variant: share}
    with told(f"sharing the traffic of the endpoint {endpoint}"):
        aws.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=endpoint,
            DesiredWeightsAndCapacities=[
                {"VariantName": name, "DesiredWeight": weight} for name, weight in new.items()
            ],
        )
    return [Variant(name, weight) for name, weight in new.items()]


def _weights(endpoint: str, aws: Aws) -> dict[str, float]:
    with told(f"asking for the endpoint {endpoint}"):
        found = aws.sagemaker.describe_endpoint(EndpointName=endpoint)
    # While it is updated the desired weight is what counts.
    return {
        one["VariantName"]: float(one.get("DesiredWeight", one.get("CurrentWeight", 0.0)))
        for one in found.get("ProductionVariants", ())
    }
