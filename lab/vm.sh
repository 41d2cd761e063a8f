#!/bin/sh
# A stock Debian kernel under qemu, without KVM: for what this machine's own kernel does not have (ESP, above all), and for what
# wants a systemd of its own.
#
#   lab/vm.sh COMMAND...                 runs it as root in the repository; its output is ours, and its status. The guest's
#                                        files are this machine's, read-only below an overlay in memory
#   lab/vm.sh --disk IMAGE COMMAND...    boots the Debian in IMAGE (ext4), with its init, and runs the command in /srv/dovetail,
#                                        which is the repository, read-only, as soon as it can
#
# Nothing that the guest writes stays. The kernel and a busybox for its first steps are taken from Debian's packages into
# build/vm, once. VM_SECONDS (1800) bounds it.
set -eu
cd "$(dirname "$0")/.."
REPO=$PWD
VM=$REPO/build/vm
DISK=
[ "${1:-}" != --disk ] || { DISK=$2 && shift 2; }
mkdir -p "$VM"
for tool in qemu-system-x86_64 cpio depmod; do
    command -v $tool >/dev/null || { echo "lab/vm.sh: $tool is missing (apt-get install qemu-system-x86 cpio kmod)" >&2; exit 2; }
done
WORK=$(mktemp -d "$VM/run.XXXXXX")
qemu=
trap '[ -z "$qemu" ] || kill $qemu 2>/dev/null; rm -rf "$WORK"' EXIT
trap 'exit 130' INT TERM

fetch_kernel()
{
    image=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-.*\)/\1/p' | head -n 1)
    cd "$VM"
    rm -rf root ./*.deb
    apt-get download "$image" busybox-static >"$VM/download.log" 2>&1 || { cat "$VM/download.log" >&2; exit 2; }
    for deb in ./*.deb; do dpkg -x "$deb" root; done
    rm -f ./*.deb
    depmod -b root "$(ls root/lib/modules)"
    cd "$REPO"
}

# What the guest does before it is this machine, or the one of the image: find its files.
first_steps() # KERNEL
{
    mkdir -p "$WORK/first"
    for d in bin mods proc sys dev lower up new; do mkdir "$WORK/first/$d"; done
    cp "$VM/root/bin/busybox" "$WORK/first/bin/"
    for m in virtio_pci virtio_blk ext4 9pnet_virtio 9p overlay; do
        modprobe -d "$VM/root" -S "$1" --show-depends $m | awk '$1 == "insmod" { print $2 }'
    done | awk '!s[$0]++' | while read -r file; do
        cp "$file" "$WORK/first/mods/"
        basename "$file"
    done >"$WORK/first/mods/order"
    {
        cat <<'I'
#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sysfs /sys; $B mount -t devtmpfs dev /dev
while read -r m; do $B insmod /mods/$m; done </mods/order
share="-t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose root"
I
        if [ -n "$DISK" ]; then
            cat <<'I'
n=0; while [ ! -b /dev/vda ] && [ $n -lt 100 ]; do $B sleep 0.1; n=$((n + 1)); done
$B mount -t ext4 -o noatime /dev/vda /new
$B mkdir -p /new/srv/dovetail /new/usr/lib/modules
$B mount $share /new/srv/dovetail
$B mount -o bind /new/srv/dovetail/build/vm/root/lib/modules /new/usr/lib/modules
$B cp /unit /new/etc/systemd/system/lab.service
$B cp /second /new/srv/second
I
        else
            cat <<'I'
$B mount $share /lower
$B mount -t tmpfs -o size=1g up /up
$B mkdir /up/upper /up/work
$B mount -t overlay -o lowerdir=/lower,upperdir=/up/upper,workdir=/up/work new /new
$B cp /second /new/second
I
        fi
        echo 'for d in proc sys dev; do $B mount --move /$d /new/$d; done'
        if [ -n "$DISK" ]; then echo 'exec $B switch_root /new /sbin/init'; else echo 'exec $B switch_root /new /bin/sh /second'; fi
    } >"$WORK/first/init"
    chmod +x "$WORK/first/init"
}

# What it does then, and the end.
second_steps()
{
    echo 'export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C'
    echo 'exec </dev/null >/dev/ttyS0 2>&1'
    echo 'stty -F /dev/ttyS0 raw'
    if [ -n "$DISK" ]; then
        echo 'cd /srv/dovetail'
    else
        cat <<S
mount -t tmpfs run /run; mount -t tmpfs tmp /var/tmp; mkdir -p /run/netns /dev/pts /dev/shm
mount -t devpts devpts /dev/pts; mount -t tmpfs shm /dev/shm; mount -t bpf bpf /sys/fs/bpf 2>/dev/null
mkdir -p /usr/lib/modules; mount --bind $VM/root/lib/modules /usr/lib/modules
modprobe tun; ip link set lo up; hostname vm
cd $REPO
S
    fi
    for word in "$@"; do printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\\\''/g")"; done
    echo
    # shellcheck disable=SC2016
    echo 'echo "vm-status $?"; sync; echo 1 >/proc/sys/kernel/sysrq; echo o >/proc/sysrq-trigger; sleep 10'
}

[ -d "$VM/root/lib/modules" ] || fetch_kernel
kernel=$(ls "$VM/root/lib/modules")
first_steps "$kernel"
second_steps "$@" >"$WORK/first/second"
# Wanted by nothing: the kernel's command line has it, so that nothing of the image waits for it.
printf '[Unit]\nDescription=The laboratory\nDefaultDependencies=no\nAfter=basic.target\n[Service]\nExecStart=/bin/sh /srv/second\nKillMode=process\n' >"$WORK/first/unit"
(cd "$WORK/first" && find . | cpio -o -H newc --quiet | gzip -1) >"$WORK/initrd.gz"

more="console=ttyS1 panic=-1 mitigations=off" share=/ smp=1
if [ -n "$DISK" ]; then
    more="$more systemd.wants=lab.service systemd.mask=serial-getty@ttyS1.service" share=$REPO smp=2
fi
# shellcheck disable=SC2086
TMPDIR=$WORK timeout -k 5 "${VM_SECONDS:-1800}" qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -smp $smp -m 2048 \
    -nodefaults -no-user-config -display none -no-reboot -kernel "$VM/root/boot/vmlinuz-$kernel" -initrd "$WORK/initrd.gz" \
    -append "$more" -fsdev local,id=root,path=$share,security_model=none,readonly=on,multidevs=remap \
    ${DISK:+-drive file="$DISK",if=none,id=disk,format=raw,snapshot=on,cache=unsafe -device virtio-blk-pci,drive=disk} \
    -device virtio-9p-pci,fsdev=root,mount_tag=root -object rng-random,id=rng,filename=/dev/urandom \
    -device virtio-rng-pci,rng=rng -serial "file:$WORK/output" -serial "file:$VM/console" -monitor none </dev/null &
qemu=$!
: >"$WORK/output"
tail -f --pid=$qemu "$WORK/output" | grep -a --line-buffered -v '^vm-status '
wait $qemu || echo "lab/vm.sh: the guest's end: $?" >&2
qemu=
status=$(sed -n 's/^vm-status //p' "$WORK/output" | tail -n 1)
[ -n "$status" ] || { echo "lab/vm.sh: no status from the guest; its console:" >&2; tail -n 20 "$VM/console" >&2; exit 125; }
exit "$status"
