"""Encodings of text by their names."""

import codecs


def check_encoding(name: str) -> str:
    """Return the name of an encoding of text; raises `ValueError`."""
    sample = "user_id,dataset_id\n"
    try:
        if sample.encode(name).decode(name) == sample:
            return codecs.lookup(name).name
    except (LookupError, UnicodeError, ValueError):
        pass
    raise ValueError(f"{name[:60]!a} is not an encoding of text; common are utf-8, gb18030, big5, shift_jis, utf-16")
