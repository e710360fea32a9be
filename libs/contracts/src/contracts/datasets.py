"""Bounds of a dataset's columns: what can be imported can be asked for."""

MAX_TITLE_CHARS = 500
MAX_DESCRIPTION_CHARS = 20_000
MAX_TAG_CHARS = 64
MAX_TAGS = 100
MAX_NAME_CHARS = 200  # provider, company, province, city
MAX_URL_CHARS = 2048
TAG_SEPARATOR = ";"
