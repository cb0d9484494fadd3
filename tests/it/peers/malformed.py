# Sends packets that no honest host sends to 10.77.0.2 and fd77::2, on the device in argv[1], argv[2] of them; then holds the
# windows of argv[3] connections closed. With the same numbers the same packets.
import random, socket, sys, time
from scapy.all import IP, IPv6, TCP, ICMP, ICMPv6PacketTooBig, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, Raw

DEVICE, COUNT, HOLDERS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
HERE, THERE = "10.77.0.1", "10.77.0.2"
dice = random.Random(7)
out = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)


def send(packet):
    data = bytes(packet)
    kind = 0x86DD if data[:1] and data[0] >> 4 == 6 else 0x0800
    while True:
        try:
            out.sendto(data, (DEVICE, kind))
            return
        except OSError as e:
            if e.errno != 105:  # ENOBUFS: the queue is full
                return
            time.sleep(0.001)


def number():
    return dice.getrandbits(32)


def noise(most):
    return dice.randbytes(dice.randrange(most + 1))


def segment(**fields):
    # The ports of the transfers that go on meanwhile, and some beside them.
    return TCP(sport=40000 + dice.randrange(12), dport=80, seq=number(), ack=number(), window=dice.getrandbits(16), **fields)


def v4(layer, **fields):
    return IP(src=HERE, dst=THERE, **fields) / layer


def any_options():
    """Kinds 0 to 255 with every length, true or not."""
    kind, size = dice.randrange(256), dice.randrange(42)
    options = (bytes([kind, size]) + noise(38))[:40]
    options += bytes(-len(options) % 4)
    tcp = bytearray(bytes(segment(flags=dice.choice(["S", "A", "PA", "FA", "SA"]))))
    tcp[12] = (5 + len(options) // 4) << 4
    return v4(Raw(bytes(tcp) + options), proto=6)


def any_flags():
    return v4(segment(flags=dice.randrange(512)) / Raw(noise(100)))


def bad_sum():
    return v4(segment(flags="PA", chksum=dice.getrandbits(16)) / Raw(noise(300)))


def bad_header():
    packet = bytearray(bytes(v4(segment(flags="PA") / Raw(noise(60)))))
    for _ in range(dice.randrange(1, 4)):
        packet[dice.randrange(40)] = dice.getrandbits(8)
    return packet[: dice.randrange(1, len(packet) + 1)]


def bad_offset():
    return v4(segment(flags="PA", dataofs=dice.randrange(16)) / Raw(noise(20)))


def odd_source():
    src = dice.choice([THERE, "0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "10.77.0.255", "240.0.0.1"])
    return IP(src=src, dst=THERE) / TCP(sport=80, dport=80, flags=dice.choice(["S", "A", "R"]), seq=number())


def overlapping_fragments():
    body, pieces = bytes(segment(flags="PA") / Raw(dice.randbytes(400))), []
    for _ in range(dice.randrange(2, 9)):
        at = dice.choice([0, 1, 2, 3, 10, 20, 8191, dice.randrange(64)])
        size = dice.choice([1, 7, 8, 16, 64, 200])
        pieces.append(v4(Raw(body[at * 8 % 400 :][:size]), proto=6, frag=at, flags=dice.choice(["MF", 0]), id=dice.randrange(4)))
    return pieces


def urgent():
    return v4(segment(flags="PAU", urgptr=dice.getrandbits(16)) / Raw(noise(50)))


def icmp_error():
    about = bytes(IP(src=THERE, dst=HERE) / TCP(sport=80, dport=40000 + dice.randrange(12), seq=number()))[: dice.randrange(20, 41)]
    kind, code = dice.choice([(3, dice.randrange(16)), (4, 0), (5, 1), (11, 0), (12, 0)])
    return v4(ICMP(type=kind, code=code, nexthopmtu=dice.choice([0, 1, 68, 576, 1499])) / Raw(about))


def v6(layer):
    return IPv6(src="fd77::1", dst="fd77::2") / layer


def six():
    return dice.choice(
        [
            lambda: v6(segment(flags=dice.randrange(512)) / Raw(noise(80))),
            lambda: v6(IPv6ExtHdrFragment(id=1, offset=dice.randrange(60), m=dice.randrange(2)) / Raw(noise(200))),
            lambda: v6(IPv6ExtHdrHopByHop(autopad=1) / IPv6ExtHdrHopByHop() / segment(flags="S")),
            lambda: v6(ICMPv6PacketTooBig(mtu=dice.choice([0, 1279, 1280, 1400])) / Raw(noise(90))),
            lambda: IPv6(src=dice.choice(["::", "::1", "ff02::1", "::ffff:10.77.0.1", "fd77::2"]), dst="fd77::2") / TCP(dport=80, flags="S"),
            lambda: bytes([0x60]) + noise(80),
        ]
    )()


def rubbish():
    return bytes([0x45]) + noise(120)


KINDS = [any_options, any_flags, bad_sum, bad_header, bad_offset, odd_source, overlapping_fragments, urgent, icmp_error, six, rubbish]
for n in range(COUNT):
    made = KINDS[n % len(KINDS)]()
    for packet in made if isinstance(made, list) else [made]:
        send(packet)

# Clients that ask for much and take nothing. The kernel does not know their addresses, so it does not reset them.
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
tap.bind((DEVICE, 0x0800))
tap.settimeout(10)
held = 0
for n in range(HOLDERS):
    src, port = f"10.77.0.{10 + n % 200}", 2000 + n
    send(IP(src=src, dst=THERE) / TCP(sport=port, dport=80, flags="S", seq=100, window=60000))
    while True:
        answer = IP(tap.recv(2000))
        if TCP in answer and answer.dst == src and answer[TCP].dport == port and answer[TCP].flags == "SA":
            break
    ask = b"GET /bytes/1000000 HTTP/1.1\r\nHost: glass\r\n\r\n"
    ack = answer[TCP].seq + 1
    send(IP(src=src, dst=THERE) / TCP(sport=port, dport=80, flags="A", seq=101, ack=ack, window=0))
    send(IP(src=src, dst=THERE) / TCP(sport=port, dport=80, flags="PA", seq=101, ack=ack, window=0) / ask)
    held += 1
print(f"{held} windows held closed")
