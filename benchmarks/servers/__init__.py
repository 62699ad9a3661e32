"""The servers that `serving.py` compares with ours, and the columns they are sent."""

NUMERIC = tuple(f"amount_{i}" for i in range(15))
LEVELS = {
    "plan": ("basic", "plus", "pro"),
    "city": tuple(f"city {i}" for i in range(12)),
    "channel": ("mail", "phone", "shop", "web"),
    "device": ("phone", "tablet", "desktop"),
    "currency": ("EUR", "GBP", "USD"),
}
