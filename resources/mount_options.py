"""Mount options as written and as the mount table shows them → what differs."""

from reconciler.asks import Mount

SHOWN = {
    "nosuid": "suid",
    "nodev": "dev",
    "noexec": "exec",
    "noatime": "atime",
    "nodiratime": "diratime",
    "nosymfollow": "symfollow",
    "sync": "async",
    "dirsync": "",
    "relatime": "norelatime",
    "lazytime": "nolazytime",
}
"""Options that the mount table shows by their own name, each with its opposite."""


def options(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def differing(wanted: str, mount: Mount) -> tuple[str, ...]:
    """Options named in `wanted` that the mount table shows otherwise; rw and ro are not among them."""
    shown = mount.options | mount.super_options
    last: dict[str, bool] = {}
    for word in options(wanted):
        for name, opposite in SHOWN.items():
            if word in (name, opposite):
                last[name] = word == name
    return tuple(name if on else SHOWN[name] for name, on in last.items() if on is not (name in shown))


def read_only(wanted: str) -> bool:
    """Whether it is asked for; of several the last word holds."""
    words = [word for word in options(wanted) if word in ("ro", "rw")]
    return bool(words) and words[-1] == "ro"


def kernel_gave_up(mount: Mount) -> bool:
    """Read-only by the kernel's doing: a remount by hand changes the mount's own flag as well."""
    return "emergency_ro" in mount.super_options or (
        "ro" in mount.super_options and "ro" not in mount.options
    )
