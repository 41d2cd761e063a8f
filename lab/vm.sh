#!/bin/sh
# A stock Debian kernel under qemu, without KVM: for what this machine's own kernel does not have (ESP, above all).
#
#   lab/vm.sh COMMAND...    runs it as root in the repository; its output is ours, and its status
#
# The guest's files are this machine's, read-only below an overlay in memory: nothing that it writes stays. The kernel and a
# busybox for its first steps are taken from Debian's packages into build/vm, once. VM_SECONDS (1800) bounds it.
set -eu
cd "$(dirname "$0")/.."
REPO=$PWD
VM=$REPO/build/vm
mkdir -p "$VM"
for tool in qemu-system-x86_64 cpio depmod; do
    command -v $tool >/dev/null || { echo "lab/vm.sh: $tool is missing (apt-get install qemu-system-x86 cpio kmod)" >&2; exit 2; }
done

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

# What the guest does before it is this machine: find its files.
first_steps() # KERNEL
{
    rm -rf "$VM/first"
    mkdir -p "$VM/first/bin" "$VM/first/mods" "$VM/first/proc" "$VM/first/sys" "$VM/first/dev" "$VM/first/lower" "$VM/first/up" "$VM/first/new"
    cp "$VM/root/bin/busybox" "$VM/first/bin/"
    for m in virtio_pci 9pnet_virtio 9p overlay; do
        modprobe -d "$VM/root" -S "$1" --show-depends $m | awk '$1 == "insmod" { print $2 }'
    done | awk '!s[$0]++' | while read -r file; do
        cp "$file" "$VM/first/mods/"
        basename "$file"
    done >"$VM/first/mods/order"
    cat >"$VM/first/init" <<'I'
#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sysfs /sys; $B mount -t devtmpfs dev /dev
while read -r m; do $B insmod /mods/$m; done </mods/order
$B mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose root /lower
$B mount -t tmpfs -o size=1g up /up
$B mkdir /up/upper /up/work
$B mount -t overlay -o lowerdir=/lower,upperdir=/up/upper,workdir=/up/work new /new
for d in proc sys dev; do $B mount --move /$d /new/$d; done
exec $B switch_root /new /bin/sh REPO/build/vm/second
I
    sed -i "s,REPO,$REPO," "$VM/first/init"
    chmod +x "$VM/first/init"
    (cd "$VM/first" && find . | cpio -o -H newc --quiet | gzip -1) >"$VM/initrd.gz"
}

[ -d "$VM/root/lib/modules" ] || fetch_kernel
kernel=$(ls "$VM/root/lib/modules")
first_steps "$kernel"
for word in "$@"; do printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\\\''/g")"; done >"$VM/command"
cat >"$VM/second" <<S
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
exec </dev/null >/dev/ttyS0 2>&1
stty -F /dev/ttyS0 raw
mount -t tmpfs run /run; mount -t tmpfs tmp /var/tmp; mkdir -p /run/netns /dev/pts /dev/shm
mount -t devpts devpts /dev/pts; mount -t tmpfs shm /dev/shm; mount -t bpf bpf /sys/fs/bpf 2>/dev/null
mkdir -p /usr/lib/modules; mount --bind $VM/root/lib/modules /usr/lib/modules
modprobe tun; ip link set lo up; hostname vm
cd $REPO
$(cat "$VM/command")
echo "vm-status \$?"
sync; echo o >/proc/sysrq-trigger; sleep 10
S
timeout -k 5 "${VM_SECONDS:-1800}" qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -smp 1 -m 2048 \
    -nodefaults -no-user-config -display none -no-reboot -kernel "$VM/root/boot/vmlinuz-$kernel" -initrd "$VM/initrd.gz" \
    -append "console=ttyS1 panic=-1" -fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap \
    -device virtio-9p-pci,fsdev=root,mount_tag=root -object rng-random,id=rng,filename=/dev/urandom \
    -device virtio-rng-pci,rng=rng -serial "file:$VM/output" -serial "file:$VM/console" -monitor none </dev/null &
qemu=$!
trap 'kill $qemu 2>/dev/null' INT TERM
: >"$VM/output"
tail -f --pid=$qemu "$VM/output" | grep -a --line-buffered -v '^vm-status '
wait $qemu || echo "lab/vm.sh: the guest's end: $?" >&2
status=$(sed -n 's/^vm-status //p' "$VM/output" | tail -n 1)
[ -n "$status" ] || { echo "lab/vm.sh: no status from the guest; its console:" >&2; tail -n 20 "$VM/console" >&2; exit 125; }
exit "$status"
