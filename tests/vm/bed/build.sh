#!/bin/sh
# Make the guest of these tests: a Debian cloud kernel, and an initrd that holds busybox, this
# machine's own lvm, blkid, wipefs and mke2fs with their libraries, as much of its Python as the guard
# loads, and bed/init. No root disk.
#
#   build.sh DIR        leaves DIR/vmlinuz and DIR/initrd; does nothing while they are up to date
#
# Needs: apt-get (for the packages of kernel and busybox), dpkg-deb, cpio, lvm2, e2fsprogs.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)

python=$(python3 -c 'import sys; print(sys._base_executable)')
stamp=$(cat "$here"/build.sh "$here"/init /sbin/lvm "$python" | sha256sum)
if [ "$(cat "$dir/stamp" 2>/dev/null)" = "$stamp" ]; then exit 0; fi

work=$(mktemp -d "$dir/build.XXXXXX")
trap 'rm -rf "$work"' EXIT

fetch() { # fetch PACKAGE: unpacked, never installed
    if ! ls "$dir/$1"_*.deb >/dev/null 2>&1; then
        (cd "$dir" && apt-get -qq -o APT::Sandbox::User=root download "$1")
    fi
    dpkg-deb -x "$dir/$1"_*.deb "$work/$1"
}
kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-[0-9]/ {print $2; exit}')
[ -n "$kernel" ] || { echo "build.sh: apt knows no cloud kernel: apt-get update" >&2; exit 1; }
fetch "$kernel"
fetch busybox-static

root=$work/root
mkdir -p "$root/bin" "$root/sbin" "$root/dev" "$root/proc" "$root/sys" "$root/run" "$root/tmp" "$root/mnt" "$root/etc/lvm"
cp "$work/busybox-static/bin/busybox" "$root/bin/"
ln -s busybox "$root/bin/sh"
for tool in lvm blkid wipefs mke2fs; do
    real=$(readlink -f "$(command -v "$tool" || command -v "/sbin/$tool")")
    cp "$real" "$root/sbin/$tool"
    ldd "$real" | awk '/\// { for (i = 1; i <= NF; i++) if ($i ~ /^\//) print $i }' |
        while read -r library; do
            mkdir -p "$root$(dirname "$library")"
            cp -Ln "$library" "$root$library"
        done
done
for name in pvcreate vgcreate vgchange vgremove vgexport lvcreate lvchange lvremove; do
    ln -s lvm "$root/sbin/$name"
done

# Python at its own paths, and of its library only what is loaded.
"$python" -I -S - "$here/../../.." <<'LOADED' >"$work/loaded"
import sys
sys.path.append(sys.argv[1])
import encodings.ascii, encodings.latin_1, zipimport
import reconciler.guard.__main__
for module in sys.modules.values():
    name = getattr(module, "__file__", None)
    if name and name.startswith("/") and "/reconciler/" not in name:
        print(name)
LOADED
{ echo "$python"; cat "$work/loaded"; } | while read -r file; do
    mkdir -p "$root$(dirname "$file")"
    cp -L "$file" "$root$file"
    case $file in *.py) continue ;; esac
    ldd "$file" | awk '/\// { for (i = 1; i <= NF; i++) if ($i ~ /^\//) print $i }' |
        while read -r library; do
            mkdir -p "$root$(dirname "$library")"
            cp -Ln "$library" "$root$library"
        done
done
ln -s "$python" "$root/bin/python3"

find "$work/$kernel/lib/modules" \( -name dm-mod.ko -o -name softdog.ko -o -name watchdog.ko \) -exec cp {} "$root/" \;
install -m755 "$here/init" "$root/init"

(cd "$root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) | gzip -1 >"$work/initrd"
mv "$work/initrd" "$dir/initrd"
cp "$work/$kernel"/boot/vmlinuz-* "$dir/vmlinuz"
echo "$stamp" >"$dir/stamp"
