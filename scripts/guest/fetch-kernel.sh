#!/usr/bin/env bash
# Fetches Debian's Linux 6.1 for the guest into .cache/guest: the package is unpacked, not installed. Needs the package lists of a
# Debian 12 (`apt-get update`); needs no root. It owns that directory and nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-6\.1\.[^ ]*\)$/\1/p' | head -n 1)
[ -n "$package" ] || { echo "apt knows no linux-image-cloud-amd64 of version 6.1 here (apt-get update first, or name a kernel in RINGLINE_GUEST_KERNEL)" >&2; exit 1; }
[ ! -e ".cache/guest/vmlinuz-${package#linux-image-}" ] || exit 0

mkdir -p .cache/guest
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get download -q "$package")
dpkg-deb --fsys-tarfile "$work"/*.deb | tar -x -C "$work" --wildcards './boot/vmlinuz-*'
mv "$work"/boot/vmlinuz-* .cache/guest/
