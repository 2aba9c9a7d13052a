"""x → y."""


def written() -> None: ...
