"""The file of `serve --config`: what is wrong with it is told by file and key."""

import pytest

from churnops.config import load_toml
from churnops.errors import ConfigError
from churnops.serving.protection import Protection


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("signed_by = 'no key'", "signed_by: is no Ed25519 public key in PEM"),
        ("cors_origins = ['*']", "cors_origins: name each origin; '*' lets every page of the web ask"),
        ("otlp_endpoint = 'collector'", "otlp_endpoint: collector is no address such as http"),
        (
            "[keys]\nweb = 'churnops_secret'",
            "keys.web: is not the hash of a key: take the line that `churnops key`",
        ),
        ("[keys]\n'' = '0'", "'' names no caller"),
        ('[keys]\n"a\\nb" = "0"', r"'a\nb' names no caller"),
    ],
)
def test_a_fault_of_the_file_is_told_by_its_key(text, told, tmp_path):
    file = tmp_path / "serving.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_toml(Protection, file)
    assert f"{file}:\n  - " in str(raised.value)
    assert told in str(raised.value)
    assert "Value error" not in str(raised.value)
