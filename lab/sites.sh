# Sites around one core, for discovery: gateway gN is 192.0.N.1 and 2001:db8:N::1 there, and behind it are 10.N.0.0/16 and fd0N::/64.
# Sourced after lab.sh; the namespace `core` is the caller's.

site() # N IF HOST: the gateway, and a host at its interface IF: 10.N.1.10 and fd0N::10
{
    lab_ns "g$1" "$3"
    lab_wire core "c$1" "192.0.$1.254/24 2001:db8:$1::fe/64" "g$1" eth0 "192.0.$1.1/24 2001:db8:$1::1/64"
    lab_wire "g$1" "$2" "10.$1.1.1/24 fd0$1::1/64" "$3" eth0 "10.$1.1.10/24 fd0$1::10/64"
    ip -n "$LAB-g$1" route add default via "192.0.$1.254"
    ip -n "$LAB-$3" route add default via "10.$1.1.1"
    ip -n "$LAB-core" route add "10.$1.0.0/16" via "192.0.$1.1"
    ip -n "$LAB-g$1" -6 route add default via "2001:db8:$1::fe"
    ip -n "$LAB-$3" -6 route add default via "fd0$1::1"
    ip -n "$LAB-core" -6 route add "fd0$1::/64" via "2001:db8:$1::1"
    lab_forward "g$1"
}
