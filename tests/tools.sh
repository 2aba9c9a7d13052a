#!/usr/bin/env bash
# Debian packages the tests use → installed where we are root, else a word about what will be skipped.
# `tests/tools.sh vm`: also those of the virtual machine.
set -euo pipefail
declare -A package=(
  [ip]=iproute2 [promtool]=prometheus [mkfs.xfs]=xfsprogs [mkfs.btrfs]=btrfs-progs [lvm]=lvm2
  [nft]=nftables [unshare]=util-linux [e2fsck]=e2fsprogs [setpriv]=util-linux
  [etcd]=etcd-server [openssl]=openssl [runsv]=runit [faketime]=faketime
)
if [ "${1:-}" = vm ]; then
  package+=([qemu-system-x86_64]=qemu-system-x86 [cpio]=cpio)
fi
missing=()
for tool in "${!package[@]}"; do
  command -v "$tool" >/dev/null || PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || missing+=("${package[$tool]}")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  echo "installing for the tests: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # Debian starts an etcd of its own with the package; the tests start theirs.
  [[ " ${missing[*]} " != *" etcd-server "* || ! -d /run/systemd/system ]] || systemctl mask --quiet etcd.service
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "not installed, their tests are skipped: ${missing[*]}" >&2
fi
