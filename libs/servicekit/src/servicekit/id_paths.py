"""Ids in paths: `{dataset_id:id}` takes the rest of a path, because a text id may hold a slash or a line break."""

from starlette.convertors import Convertor, register_url_convertor


class IdConvertor(Convertor[str]):
    """Takes any text; what is not an id is rejected by the parameter's type."""

    regex = "(?s:.+)"

    def convert(self, value: str) -> str:
        """Return the text of an id."""
        return value

    def to_string(self, value: str) -> str:
        """Return the part of a path."""
        return value


def register_id_convertor() -> None:
    """Make `id` known to the routes that are defined after this call."""
    register_url_convertor("id", IdConvertor())
