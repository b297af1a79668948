"""The checker of types and shapes that the tests switch on: beartype, to which an int is a float as well."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
