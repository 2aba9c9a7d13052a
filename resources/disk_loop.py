"""disk.loop: a file as a block device; up when a loop device has it as its backing file.

`losetup -d` on a device in use only asks the kernel to let go at its last close (autoclear): it is
still there, so it is still up, and a later stop detaches it or finds it gone.
"""

from typing import Any, NotRequired, TypedDict

from reconciler.asks import Ask, Facts, File, FileSeen, Loop, Loops
from reconciler.model import Goal, Note, Observed, State, settled, warning
from reconciler.operations import AttachLoop, CreateImage, DetachLoop, MakeDirectory, Operation, RemoveFile

KIND = "disk.loop"
DELETED = " (deleted)"


class Spec(TypedDict):
    file: str
    size: NotRequired[int]
    offset: int


def asks(spec: Spec) -> tuple[Ask[Any], ...]:
    return Loops.of(spec["file"]), File(spec["file"])


def observe(spec: Spec, facts: Facts) -> Observed:
    file = facts.of(File(spec["file"]))
    names = {spec["file"], file.real if file and file.real else spec["file"]}
    ours = tuple(
        loop
        for loop in facts.of(Loops())
        if loop.file.removesuffix(DELETED) in names and loop.offset == spec["offset"]
    )
    label = f"loop {spec['file']}"
    if not ours:
        blocked, provisioned = _image(spec, file)
        return Observed(State.DOWN, label, provisioned=provisioned, blocked=blocked)
    return Observed(
        State.UP,
        label,
        notes=_oddities(ours, file),
        provisioned=file is not None,
        exposes={"exposed_devs": (ours[0].device,)},
        identity=ours[0].device,
        data={"loops": ours},
    )


def _image(spec: Spec, file: FileSeen | None) -> tuple[str, bool | None]:
    """Why the file cannot be attached, and whether it was created."""
    path = spec["file"]
    if "{" in path:
        return f"{path} has no value yet", None
    if file is None:
        return (
            "" if spec.get("size") else f"{path} does not exist, and no size is given to create it"
        ), False
    if file.kind not in ("file", "block"):
        return f"{path} is a {file.kind}, not a file", None
    return "", True


def _oddities(ours: tuple[Loop, ...], file: FileSeen | None) -> tuple[Note, ...]:
    notes = [
        warning(f"somebody detached {loop.device}: it vanishes when nothing uses it any more")
        for loop in ours
        if loop.autoclear
    ]
    if len(ours) > 1:
        notes.append(warning(f"attached more than once: {', '.join(loop.device for loop in ours)}"))
    if file is None or any(loop.file.endswith(DELETED) for loop in ours):
        notes.append(warning("its file was deleted: the data is gone when the device is"))
    return tuple(notes)


def operations(spec: Spec, seen: Observed, goal: Goal) -> tuple[Operation, ...]:
    if settled(goal, seen):
        return ()
    if goal is Goal.DOWN:
        return tuple(
            DetachLoop(loop.device, loop.file.removesuffix(DELETED)) for loop in seen.data.get("loops", ())
        )
    return (AttachLoop(spec["file"], spec["offset"]),)


def create(spec: Spec, seen: Observed) -> tuple[Operation, ...]:
    size = spec.get("size")
    if seen.blocked or not size:
        return ()
    folder = spec["file"].rpartition("/")[0]
    return (*((MakeDirectory(folder),) if folder else ()), CreateImage(spec["file"], size))


def destroy(spec: Spec, seen: Observed) -> tuple[Operation, ...]:
    return (RemoveFile(spec["file"]),)


def exclusive(spec: Spec) -> tuple[str, ...]:
    return (f"image file {spec['file']}",)
