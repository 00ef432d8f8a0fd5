#!/bin/bash
# A bio-based dm-multipath map with queue_if_no_path, in which one request waits because no path is left.
#
# One expects that what waits costs nothing. The worker takes the request off its queue and puts it back without a
# pause (process_queued_bios in drivers/md/dm-mpath.c), so a processor is busy for as long as the path is away. The
# same map suspended, without a flush and without freezing the filesystem above, keeps the same request at no cost.
#
# The second surprise is in that suspend. It waits for what was sent down, and a signal ends the wait. The map is then
# active as before, with one difference: it does not queue any more. multipath_presuspend switches queue_if_no_path
# off, and nothing switches it on again when a suspend is given up, so the next request without a path is an error.
#
# Debian's kernel 6.1.192 (linux-image-6.1.0-57-amd64), emulated. Seen: busy 100 % with a request that waits, 1 % with
# the map suspended; "queue_if_no_path" in the table before the signal, and not behind it.
# Needs apt and a Debian 12 archive with these versions, dpkg-deb, and qemu-system-x86_64; no root, nothing is
# installed. Takes about a minute.
set -euo pipefail

kernel=6.1.0-57-amd64
packages="linux-image-$kernel=6.1.192-3 busybox-static=1:1.35.0-4+deb12u1+b1 dmsetup=2:1.02.185-2
    libdevmapper1.02.1=2:1.02.185-2 libselinux1=3.4-1+b6 libudev1=252.39-1~deb12u2 libpcre2-8-0=10.42-1+deb12u2
    libc6=2.36-9+deb12u14"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

for package in $packages; do
    apt-get -q download "$package" >apt.log 2>&1 || { cat apt.log >&2; exit 1; }
done
for archive in ./*.deb; do
    dpkg-deb -x "$archive" root
done

mkdir -p guest/{bin,dev,proc,sys,modules,lib64,lib/x86_64-linux-gnu}
cp root/bin/busybox guest/bin/
cp root/sbin/dmsetup guest/bin/
for name in libdevmapper.so.1.02.1 libselinux.so.1 libudev.so.1 libpcre2-8.so.0 libc.so.6 libm.so.6; do
    found=$(find root/lib root/usr/lib -name "$name" | head -n 1)
    cp -L "$found" guest/lib/x86_64-linux-gnu/
done
cp -L root/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 guest/lib64/
for module in brd dax dm-mod scsi_common scsi_mod scsi_dh_alua dm-multipath dm-round-robin; do
    found=$(find "root/lib/modules/$kernel/kernel" -name "$module.ko" | head -n 1)
    [ -z "$found" ] || cp "$found" guest/modules/
done

cat >guest/init <<'INIT'
#!/bin/busybox sh
export PATH=/bin DM_DISABLE_UDEV=1
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev; mount -t proc none /proc; mount -t sysfs none /sys
for module in dax dm-mod scsi_common scsi_mod dm-multipath dm-round-robin; do
    [ ! -e /modules/$module.ko ] || insmod /modules/$module.ko
done
insmod /modules/brd.ko rd_nr=1 rd_size=16384

busy() {
    set -- $(grep '^cpu ' /proc/stat); all=$(($2 + $3 + $4 + $5 + $6 + $7 + $8)); idle=$(($5 + $6))
    sleep 5
    set -- $(grep '^cpu ' /proc/stat)
    all=$(($2 + $3 + $4 + $5 + $6 + $7 + $8 - all)); idle=$(($5 + $6 - idle))
    echo $((100 - 100 * idle / all))
}
map() { dmsetup create "$1" --table "0 32768 multipath 3 queue_if_no_path queue_mode bio 0 1 1 round-robin 0 1 1 $2 1"; }
write() { dd if=/dev/zero of="$1" bs=4k count=1 oflag=direct 2>/dev/null; }
queues() { dmsetup table "$1" | grep -q queue_if_no_path && echo yes || echo no; }

map lost 1:0
dmsetup message lost 0 fail_path 1:0
write /dev/mapper/lost & waiting=$!
sleep 1
echo "RESULT queueing $(busy)"
dmsetup suspend --noflush --nolockfs lost
echo "RESULT suspended $(busy)"
dmsetup resume lost
dmsetup message lost 0 reinstate_path 1:0
wait $waiting && echo "RESULT written yes"

dmsetup create below --table "0 32768 linear 1:0 0"
map parked "$(dmsetup info -c --noheadings -o major,minor --separator : below)"
echo "RESULT before $(queues parked)"
dmsetup suspend --noflush --nolockfs below
write /dev/mapper/parked & waiting=$!
sleep 1
dmsetup suspend --noflush --nolockfs parked 2>/dev/null & suspending=$!
sleep 2
kill -TERM $suspending
wait $suspending
echo "RESULT state $(dmsetup info -c --noheadings -o suspended parked)"
echo "RESULT after $(queues parked)"
dmsetup resume below
wait $waiting && echo "RESULT written yes"
echo o >/proc/sysrq-trigger
sleep 60
INIT
chmod +x guest/init
(cd guest && find . | ../root/bin/busybox cpio -o -H newc 2>/dev/null) >initramfs

timeout 300 qemu-system-x86_64 -accel tcg -cpu max -smp 1 -m 512 -nographic -no-reboot \
    -kernel "root/boot/vmlinuz-$kernel" -initrd initramfs -append "console=ttyS0 quiet" </dev/null >console 2>&1
tr -d '\r' <console | grep -ao 'RESULT [a-z]* [A-Za-z0-9]*' | sort -u >results || { tail -n 40 console >&2; exit 1; }
cat results

value() { grep -a "^RESULT $1 " results | cut -d' ' -f3; }
[ "$(value queueing)" -ge 80 ]
[ "$(value suspended)" -le 20 ]
[ "$(value written)" = yes ]
[ "$(value before)" = yes ]
[ "$(value state)" = Active ]
[ "$(value after)" = no ]
echo "as described"
