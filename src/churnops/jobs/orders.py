"""What people order of a registry: without MLflow where that can be, since it takes seconds to import."""

from churnops.errors import ConfigError
from churnops.serving.registered import Orders, Registered, Standing, is_server, registered, registry_at


def read_orders(uri: str) -> Orders:
    """To read only."""
    try:
        return registry_at(uri)
    except ConfigError:  # a database of another kind
        return _ThroughMlflow(uri)


def write_orders(uri: str) -> Orders:
    """To read and to write: only a tracking server takes orders from others than MLflow."""
    return registry_at(uri) if is_server(uri) else _ThroughMlflow(uri)


class _ThroughMlflow:
    def __init__(self, uri: str) -> None:
        from churnops.registry import aliases, client

        self._uri, self._connect, self._find = uri, client.connect, aliases.find_model

    def standing(self, name: str) -> Standing:
        with self._connect(self._uri) as client:
            model = self._find(client, name)
        if model is None:
            return Standing({}, {})
        return Standing({alias: int(number) for alias, number in model.aliases.items()}, model.tags)

    def version(self, name: str, number: int) -> Registered:
        with self._connect(self._uri) as client:
            found = client.get_model_version(name, str(number))
        return registered(name, number, found.tags, found.source or "")

    def tag(self, name: str, key: str, value: str) -> bool:
        with self._connect(self._uri) as client:
            client.set_registered_model_tag(name, key, value)
        return True

    def point(self, name: str, alias: str, number: int) -> bool:
        with self._connect(self._uri) as client:
            client.set_registered_model_alias(name, alias, str(number))
        return True
