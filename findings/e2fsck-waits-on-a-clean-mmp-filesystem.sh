#!/bin/bash
# e2fsck on an ext4 with multi-mount protection (mke2fs -O mmp) that is clean and mounted nowhere.
#
# One expects `e2fsck -p` to say "clean" within milliseconds, as it does without the feature. It takes eleven seconds:
# before it looks at the state of the filesystem it writes a sequence number of its own into the MMP block and waits for
# twice the update interval (5 s) and a second, to see whether somebody else writes there. With `-n`, which writes
# nothing, it does not wait. So whoever runs e2fsck before each mount has to allow for that.
#
# Debian's e2fsprogs 1.47.0 (bookworm). Seen: without the feature 0.0 s, with it 11.0 s, with it and -n 0.0 s.
# Needs apt and a Debian whose archive has these versions; no root, nothing is installed.
set -euo pipefail

version=1.47.0-2+b2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

for package in e2fsprogs libext2fs2 libcom-err2; do
    apt-get -q download "$package=$version" >apt.log 2>&1 || { cat apt.log >&2; exit 1; }
done
for archive in ./*.deb; do
    dpkg-deb -x "$archive" root
done
export LD_LIBRARY_PATH=$work/root/lib/x86_64-linux-gnu:$work/root/usr/lib/x86_64-linux-gnu
sbin=$work/root/sbin
"$sbin/e2fsck" -V 2>&1 | head -n 1

# Tenths of a second that e2fsck takes; it must find the filesystem clean.
tenths() {
    local image=$1 begin end
    shift
    begin=$(date +%s%N)
    "$sbin/e2fsck" "$@" "$image" >said 2>&1 || { cat said >&2; exit 1; }
    end=$(date +%s%N)
    grep -q clean said
    echo $(((end - begin) / 100000000))
}

truncate -s 64M plain protected
"$sbin/mke2fs" -q -t ext4 -F plain
"$sbin/mke2fs" -q -t ext4 -O mmp -F protected

plain=$(tenths plain -p)
protected=$(tenths protected -p)
looked_at=$(tenths protected -n)
echo "e2fsck -p without mmp: $plain tenths of a second; with mmp: $protected; -n with mmp: $looked_at"

if [ "$protected" -lt 100 ] || [ "$plain" -ge 50 ] || [ "$looked_at" -ge 50 ]; then
    echo "changed: e2fsck no longer waits about 11 s on a clean filesystem with mmp, and only there" >&2
    exit 1
fi
