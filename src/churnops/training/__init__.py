"""From the dataset to fitted candidates: the network of this product and the baselines it must beat."""
