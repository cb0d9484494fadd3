//! Which settings are about writing, acknowledging and buffering data?

use super::*;

pub(super) static KNOBS: &[Knob<Config>] = &[
    Knob {
        name: "tcp.nagle",
        values: "off|on|minshall",
        meaning: "what a small segment waits for: nothing, any unacknowledged data, another small segment",
        linux: "TCP_NODELAY turns it off",
        rfc: "RFC 896, RFC 9293 §3.7.4",
        get: |c| match c.nagle {
            Nagle::Off => "off".into(),
            Nagle::On => "on".into(),
            Nagle::Minshall => "minshall".into(),
        },
        set: |c, v| {
            c.nagle = match v.trim() {
                "minshall" => Nagle::Minshall,
                _ => match switch(v) {
                    Ok(true) => Nagle::On,
                    Ok(false) => Nagle::Off,
                    Err(_) => return Err(ValueError(format!("{v:?} is none of off, on, minshall"))),
                },
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.cork",
        values: "on|off",
        meaning: "hold every partial segment back, at most 200 ms",
        linux: "TCP_CORK",
        rfc: "",
        get: |c| show_switch(c.cork),
        set: |c, v| Ok(c.cork = switch(v)?),
    },
    Knob {
        name: "tcp.ack_delay",
        values: "duration 0..500ms",
        meaning: "how long an acknowledgment may wait for company; 0 acknowledges every segment; the RFC asks for less than 500 ms",
        linux: "40..200 ms, adaptive",
        rfc: "RFC 9293 §3.8.6.3",
        get: |c| show_duration(c.ack_delay),
        // RFC 9293 §3.8.6.3 (MUST-40), RFC 5681 §4.2: less than half a second.
        set: |c, v| Ok(c.ack_delay = duration_in(v, Duration::ZERO, 500 * MILLI)?),
    },
    Knob {
        name: "tcp.ack_every",
        values: "segments 1..255",
        meaning: "acknowledge at the latest every so many full-sized segments",
        linux: "2",
        rfc: "RFC 9293 §3.8.6.3",
        get: |c| c.ack_every.to_string(),
        set: |c, v| Ok(c.ack_every = number(v, 1, 255)?),
    },
    Knob {
        name: "tcp.quickack",
        values: "segments 0..255",
        meaning: "acknowledge the first so many segments of a connection at once",
        linux: "16 (TCP_QUICKACK)",
        rfc: "",
        get: |c| c.quickack.to_string(),
        set: |c, v| Ok(c.quickack = number(v, 0, 255)?),
    },
    Knob {
        name: "tcp.ack_adaptive",
        values: "on|off",
        meaning: "the delay follows the gaps between segments, up to 200 ms; a FIN's acknowledgment waits, too; \
                  a read that empties the buffer acknowledges",
        linux: "always on",
        rfc: "RFC 9293 §3.8.6.3",
        get: |c| show_switch(c.ack_adaptive),
        set: |c, v| Ok(c.ack_adaptive = switch(v)?),
    },
    Knob {
        name: "tcp.compressed_acks",
        values: "acks 0..255",
        meaning: "beyond three in a row, gather up to so many acknowledgments of data beyond a gap; 0: none",
        linux: "net.ipv4.tcp_comp_sack_nr",
        rfc: "",
        get: |c| c.compressed_acks.to_string(),
        set: |c, v| Ok(c.compressed_acks = number(v, 0, 255)?),
    },
    Knob {
        name: "tcp.compressed_ack_delay",
        values: "duration 0..1s",
        meaning: "a gathered acknowledgment waits a twentieth of the round trip, and no longer than this",
        linux: "net.ipv4.tcp_comp_sack_delay_ns",
        rfc: "",
        get: |c| show_duration(c.compressed_ack_delay),
        set: |c, v| Ok(c.compressed_ack_delay = duration_in(v, Duration::ZERO, SECOND)?),
    },
    Knob {
        name: "tcp.prune",
        values: "on|off",
        meaning: "drop what comes and close the window, though it was promised, when what waits to be read takes more memory than the \
                  buffer has; off: keep it. On in packet scripts, not else: there are peers that never ask again",
        linux: "on",
        rfc: "RFC 9293 §3.8.6 (SHLD-14)",
        get: |c| show_switch(c.prune),
        set: |c, v| Ok(c.prune = switch(v)?),
    },
    Knob {
        name: "tcp.shrink_window",
        values: "on|off",
        meaning: "a scaled window may become smaller than was promised, when what waits to be read takes the room for it",
        linux: "net.ipv4.tcp_shrink_window",
        rfc: "RFC 9293 §3.8.6 (SHLD-14), RFC 7323 §2.4",
        get: |c| show_switch(c.shrink_window),
        set: |c, v| Ok(c.shrink_window = switch(v)?),
    },
    Knob {
        name: "tcp.advmss",
        values: "off|bytes 88..65495",
        meaning: "the MSS to announce at the most; tcp.mss limits what is sent, too",
        linux: "ip route … advmss",
        rfc: "RFC 9293 §3.7.1",
        get: |c| c.advmss.map_or_else(|| "off".into(), |n| n.to_string()),
        set: |c, v| {
            c.advmss = if v.trim() == "off" { None } else { Some(number(v, 88, 65_495)?) };
            Ok(())
        },
    },
    Knob {
        name: "tcp.interactive_after",
        values: "answers 1..255",
        meaning: "after so many answers to what came traffic counts as interactive, and acknowledgments wait for data to ride on",
        linux: "tcp_pingpong_thresh",
        rfc: "",
        get: |c| c.interactive_after.to_string(),
        set: |c, v| Ok(c.interactive_after = number(v, 1, 255)?),
    },
    Knob {
        name: "tcp.reflect_tos",
        values: "on|off",
        meaning: "connections that a listener opens take over the differentiated services field of the SYN",
        linux: "tcp_reflect_tos",
        rfc: "RFC 2474",
        get: |c| show_switch(c.reflect_tos),
        set: |c, v| Ok(c.reflect_tos = switch(v)?),
    },
    Knob {
        name: "tcp.init_rwnd",
        values: "off|segments 1..65535",
        meaning: "the window in the SYN holds so many segments at the most; off: what the buffer has room for",
        linux: "ip route … initrwnd",
        rfc: "",
        get: |c| c.init_rwnd.map_or_else(|| "off".into(), |n| n.to_string()),
        set: |c, v| {
            c.init_rwnd = if v.trim() == "off" { None } else { Some(number(v, 1, 65_535)?) };
            Ok(())
        },
    },
    Knob {
        name: "tcp.whole_segments",
        values: "on|off",
        meaning: "a segment that ends beyond the window is taken whole if nothing waits to be read, else refused; off: \
                  what of it lies within the window is taken",
        linux: "on",
        rfc: "RFC 9293 §3.10.7.4",
        get: |c| show_switch(c.whole_segments),
        set: |c, v| Ok(c.whole_segments = switch(v)?),
    },
    Knob {
        name: "tcp.recv_buffer",
        values: "size 256..1GiB",
        meaning: "the receive buffer's limit: what the advertised window can grow to",
        linux: "SO_RCVBUF, net.ipv4.tcp_rmem",
        rfc: "",
        get: |c| show_size(u64::from(c.recv_buffer)),
        set: |c, v| Ok(c.recv_buffer = buffer(v)?),
    },
    Knob {
        name: "tcp.recv_buffer_max",
        values: "size 256..1GiB",
        meaning: "the largest receive buffer that may be asked for later: the window scale allows for it, if tcp.recv_buffer is \
                  less and not fixed",
        linux: "net.core.rmem_max",
        rfc: "RFC 7323 §2.3",
        get: |c| show_size(u64::from(c.recv_buffer_max)),
        set: |c, v| Ok(c.recv_buffer_max = buffer(v)?),
    },
    Knob {
        name: "tcp.urgent_is_last",
        values: "on|off",
        meaning: "the peer's urgent pointer points at the last urgent byte, not behind it",
        linux: "net.ipv4.tcp_stdurg",
        rfc: "RFC 6093 §2.1",
        get: |c| show_switch(c.urgent_is_last),
        set: |c, v| Ok(c.urgent_is_last = switch(v)?),
    },
    Knob {
        name: "tcp.min_send_mss",
        values: "bytes 48..500",
        meaning: "segments of so many bytes, options included, are sent even to a peer that announces less",
        linux: "net.ipv4.tcp_min_snd_mss",
        rfc: "RFC 9293 §3.7.1",
        get: |c| c.min_send_mss.to_string(),
        set: |c, v| Ok(c.min_send_mss = number(v, 48, 500)?),
    },
    Knob {
        name: "tcp.recv_buffer_initial",
        values: "size 256..1GiB",
        meaning: "the size of the receive buffer at first; not below tcp.recv_buffer, it is fixed",
        linux: "the second of net.ipv4.tcp_rmem",
        rfc: "RFC 9293 §3.8.6",
        get: |c| show_size(u64::from(c.recv_buffer_initial)),
        set: |c, v| Ok(c.recv_buffer_initial = buffer(v)?),
    },
    Knob {
        name: "tcp.recv_tuning",
        values: "on|off",
        meaning: "the receive buffer grows with what the application reads in a round trip",
        linux: "net.ipv4.tcp_moderate_rcvbuf",
        rfc: "",
        get: |c| show_switch(c.recv_tuning),
        set: |c, v| Ok(c.recv_tuning = switch(v)?),
    },
    Knob {
        name: "tcp.send_buffer",
        values: "size 256..1GiB",
        meaning: "the send buffer's limit",
        linux: "SO_SNDBUF, net.ipv4.tcp_wmem",
        rfc: "",
        get: |c| show_size(u64::from(c.send_buffer)),
        set: |c, v| Ok(c.send_buffer = buffer(v)?),
    },
    Knob {
        name: "tcp.send_buffer_initial",
        values: "size 256..1GiB",
        meaning: "the size of the send buffer until the connection is there; not below tcp.send_buffer, it is fixed",
        linux: "the second of net.ipv4.tcp_wmem",
        rfc: "",
        get: |c| show_size(u64::from(c.send_buffer_initial)),
        set: |c, v| Ok(c.send_buffer_initial = buffer(v)?),
    },
    Knob {
        name: "tcp.notsent_lowat",
        values: "off|size 1..1GiB",
        meaning: "so many bytes may be written and not sent; off: what the send buffer holds. Little stays in the \
                  processor's caches until it is sent",
        linux: "TCP_NOTSENT_LOWAT, net.ipv4.tcp_notsent_lowat, off",
        rfc: "",
        get: |c| c.notsent_lowat.map_or_else(|| "off".into(), |n| show_size(n.into())),
        set: |c, v| {
            c.notsent_lowat = match v.trim() {
                "off" => None,
                _ => match size(v)? {
                    n @ 1..=0x4000_0000 => Some(n as u32),
                    _ => return Err(ValueError(format!("{v} is out of range: 1 to 1GiB"))),
                },
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.memory",
        values: "off|size 64KiB..1024GiB",
        meaning: "buffers of all connections together; from two thirds on no window grows and nothing new is kept beyond a gap",
        linux: "net.ipv4.tcp_mem, the last of the three",
        rfc: "",
        get: |c| c.memory.map_or_else(|| "off".into(), show_size),
        set: |c, v| {
            c.memory = match v.trim() {
                "off" => None,
                _ => match size(v)? {
                    n @ 0x1_0000..=0x100_0000_0000 => Some(n),
                    _ => return Err(ValueError(format!("{v} is out of range: 64KiB to 1024GiB"))),
                },
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.standing_queue",
        values: "off|size 64KiB..4GiB",
        meaning: "while the device always has packets left for 5 ms and more, those who receive share windows of so many \
                  bytes, 128 KiB each at least; off: windows grow all the same",
        linux: "none: there packets wait for no program",
        rfc: "",
        get: |c| c.standing_queue.map_or_else(|| "off".into(), show_size),
        set: |c, v| {
            c.standing_queue = match v.trim() {
                "off" => None,
                _ => match size(v)? {
                    n @ 0x1_0000..=0x1_0000_0000 => Some(n),
                    _ => return Err(ValueError(format!("{v} is out of range: 64KiB to 4GiB"))),
                },
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.urgent_inline",
        values: "on|off",
        meaning: "urgent data stays in its place in the stream; off: its last byte is read apart from it",
        linux: "SO_OOBINLINE, off",
        rfc: "RFC 6093 §5",
        get: |c| show_switch(c.urgent_inline),
        set: |c, v| Ok(c.urgent_inline = switch(v)?),
    },
    Knob {
        name: "tcp.keep_data_on_reset",
        values: "on|off",
        meaning: "after a RST what was received can still be read; off throws it away",
        linux: "always on",
        rfc: "RFC 9293 §3.10.7.4",
        get: |c| show_switch(c.keep_data_on_reset),
        set: |c, v| Ok(c.keep_data_on_reset = switch(v)?),
    },
];
