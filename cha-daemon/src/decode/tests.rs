use super::*;

/// A Registration Request with a Network Access Identifier and an authenticator.
const REQUEST: &str = "\
0000  01 22 07 08 00 00 00 00 cb 00 71 0a c6 33 64 07
0010  ed 00 37 80 80 00 00 01 83 0f 6d 6e 31 40 65 78
0020  61 6d 70 6c 65 2e 63 6f 6d 20 14 00 00 01 00 0a
0030  d4 02 00 8b 07 09 b9 0c a2 2d f1 70 4c f1 2f
";
/// When it was sent: 2026-01-01 00:00:00.5 UTC.
const SECONDS: u32 = 1_767_225_600;
const MICROSECONDS: u32 = 500_000;

fn request() -> Vec<u8> {
    hexadecimal::parse(REQUEST).unwrap()
}

/// An IPv4 packet from 198.51.100.7:40000 to 203.0.113.10:434. `fragment` is its flags and offset.
fn packet(payload: &[u8], fragment: u16) -> Vec<u8> {
    let length = |more: usize| u16::try_from(payload.len() + more).unwrap().to_be_bytes();
    let mut packet = vec![0x45, 0];
    packet.extend(length(28));
    packet.extend([0, 7]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, 17, 0, 0, 198, 51, 100, 7, 203, 0, 113, 10]);
    packet.extend(40_000u16.to_be_bytes());
    packet.extend(434u16.to_be_bytes());
    packet.extend(length(8));
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}

fn ethernet(packet: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0], packet].concat()
}

/// A pcap in this byte order, each frame cut at `snap` octets.
fn pcap(link: u32, frames: &[Vec<u8>], snap: usize, number: fn(u32) -> [u8; 4]) -> Vec<u8> {
    let mut file = number(0xa1b2_c3d4).to_vec();
    file.extend(if number(1)[0] == 1 {
        [2, 0, 4, 0]
    } else {
        [0, 2, 0, 4]
    });
    for field in [0, 0, 65_535, link] {
        file.extend(number(field));
    }
    for frame in frames {
        let captured = &frame[..frame.len().min(snap)];
        let lengths = [captured.len(), frame.len()].map(|length| u32::try_from(length).unwrap());
        for field in [SECONDS, MICROSECONDS, lengths[0], lengths[1]] {
            file.extend(number(field));
        }
        file.extend(captured);
    }
    file
}

/// A pcapng with one interface that counts nanoseconds.
fn pcapng(link: u16, frame: &[u8]) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let length = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
        [&kind.to_le_bytes(), &length, body, &length].concat()
    };
    let mut section = 0x1a2b_3c4du32.to_le_bytes().to_vec();
    section.extend([1, 0, 0, 0]);
    section.extend([0xff; 8]);
    let mut interface = link.to_le_bytes().to_vec();
    interface.extend([0; 6]);
    interface.extend([9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    let time = u64::from(SECONDS) * 1_000_000_000 + u64::from(MICROSECONDS) * 1000;
    let mut enhanced = vec![0; 4];
    for field in [
        u32::try_from(time >> 32).unwrap(),
        (time & 0xffff_ffff) as u32,
    ] {
        enhanced.extend(field.to_le_bytes());
    }
    let length = u32::try_from(frame.len()).unwrap();
    enhanced.extend([length.to_le_bytes(), length.to_le_bytes()].concat());
    enhanced.extend(frame);
    enhanced.resize(enhanced.len().next_multiple_of(4), 0);
    [
        block(0x0a0d_0d0a, &section),
        block(1, &interface),
        block(6, &enhanced),
    ]
    .concat()
}

/// What a stream is decoded to, and whether any message was refused.
fn decoded(stream: &[u8], json: bool) -> (String, bool) {
    let mut to = Vec::new();
    let mut output = Output {
        to: &mut to,
        json,
        refused: 0,
        shown: 0,
    };
    decode_stream(stream, &mut output).unwrap();
    let refused = output.refused > 0;
    (String::from_utf8(to).unwrap(), refused)
}

fn objects(stream: &[u8]) -> Vec<Value> {
    decoded(stream, true)
        .0
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn hexadecimal_is_explained_field_by_field() {
    let [message] = &objects(REQUEST.as_bytes())[..] else {
        panic!("one message")
    };
    assert_eq!(message["type"], 1);
    assert_eq!(message["lifetime"], 1800);
    assert_eq!(message["care_of_address"], "198.51.100.7");
    let authenticator = &message["extensions"][1];
    assert_eq!(authenticator["spi"], 256);
    assert_eq!(authenticator["covers"], 47);
    assert!(message.get("error").is_none());
}

#[test]
fn the_human_form_is_aligned_and_complete() {
    let (text, refused) = decoded(
        &pcap(
            1,
            &[ethernet(&packet(&request(), 0))],
            9000,
            u32::to_le_bytes,
        ),
        false,
    );
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("#1  2026-01-01T00:00:00.5Z  198.51.100.7:40000 -> 203.0.113.10:434"),
        "{text}"
    );
    for line in [
        "  flags                     - - D - - - T -",
        "  home agent                203.0.113.10",
        "  extensions",
        "      nai  mn1@example.com",
        "      spi            256",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line:?} in\n{text}"
        );
    }
    assert!(!refused);
}

#[test]
fn every_link_type_and_byte_order_gives_the_same() {
    let ip = packet(&request(), 0);
    let vlan = [
        &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, 5, 8, 0],
        &ip[..],
    ]
    .concat();
    let cooked = [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0, 8, 0], &ip[..]].concat();
    let cooked_2 = [
        &[8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0],
        &ip[..],
    ]
    .concat();
    let null = [&[2, 0, 0, 0], &ip[..]].concat();
    let expected = objects(&pcap(1, &[ethernet(&ip)], 9000, u32::to_le_bytes));
    assert_eq!(expected[0]["source"], "198.51.100.7:40000");
    for (link, frame) in [
        (1, vlan),
        (113, cooked),
        (276, cooked_2),
        (0, null),
        (101, ip.clone()),
    ] {
        assert_eq!(
            objects(&pcap(link, &[frame], 9000, u32::to_be_bytes)),
            expected,
            "link type {link}"
        );
    }
    assert_eq!(objects(&pcapng(1, &ethernet(&ip))), expected);
}

#[test]
fn a_packet_in_hexadecimal_is_unwrapped() {
    let text = hex::encode(packet(&request(), 0));
    let [message] = &objects(text.as_bytes())[..] else {
        panic!("one message")
    };
    assert_eq!(
        (&message["destination"], &message["type"]),
        (&json!("203.0.113.10:434"), &json!(1))
    );
}

#[test]
fn what_can_not_be_read_is_reported_and_refused() {
    let request = request();
    let cases = [
        (
            pcap(1, &[ethernet(&packet(&request, 0))], 60, u32::to_le_bytes),
            "truncated_capture",
        ),
        (
            pcap(1, &[ethernet(&packet(&request, 0))], 38, u32::to_le_bytes),
            "truncated_capture",
        ),
        (
            pcap(
                1,
                &[ethernet(&packet(&request, 0x2000))],
                9000,
                u32::to_le_bytes,
            ),
            "fragment",
        ),
    ];
    for (file, kind) in cases {
        let [message] = &objects(&file)[..] else {
            panic!("one message")
        };
        assert_eq!(message["error"]["kind"], kind);
        assert_eq!(message["destination"], "203.0.113.10:434");
        assert!(decoded(&file, false).1);
    }
    let mut lying = packet(&request, 0);
    lying[25] = 200;
    let [message] = &objects(&pcap(101, &[lying], 9000, u32::to_le_bytes))[..] else {
        panic!("one message")
    };
    assert_eq!(message["error"]["kind"], "bad_udp_length");

    let (text, refused) = decoded(b"01 22 07", false);
    assert!(refused && text.contains("REFUSED at octet"), "{text}");
    let (text, refused) = decoded(b"00", false);
    assert!(refused && text.starts_with("unknown (type 0)"), "{text}");
}

#[test]
fn other_traffic_is_passed_over() {
    let mut dns = packet(&request(), 0);
    dns[23] = 53;
    let mut tcp = packet(&request(), 0);
    tcp[9] = 6;
    let frames = [
        dns,
        tcp,
        vec![0x60; 60],
        vec![],
        vec![0x45],
        packet(&request(), 0x0005),
    ];
    assert!(objects(&pcap(101, &frames, 9000, u32::to_le_bytes)).is_empty());
}

#[test]
fn a_cut_off_capture_shows_what_it_has() {
    let frames = [
        ethernet(&packet(&request(), 0)),
        ethernet(&packet(&request(), 0)),
    ];
    let file = pcap(1, &frames, 9000, u32::to_le_bytes);
    let mut to = Vec::new();
    let mut output = Output {
        to: &mut to,
        json: true,
        refused: 0,
        shown: 0,
    };
    let error = decode_stream(&file[..file.len() - 10], &mut output).unwrap_err();
    assert_eq!(error.to_string(), "the capture is cut off after packet 1");
    assert_eq!(output.shown, 1);
}

#[test]
fn damaged_captures_end_with_a_reason_and_never_panic() {
    let files = [
        pcap(
            1,
            &[ethernet(&packet(&request(), 0))],
            9000,
            u32::to_le_bytes,
        ),
        pcapng(1, &ethernet(&packet(&request(), 0))),
    ];
    for file in &files {
        for position in (4..file.len()).step_by(3) {
            let mut damaged = file.clone();
            damaged[position] ^= 0xff;
            let mut output = Output {
                to: io::sink(),
                json: false,
                refused: 0,
                shown: 0,
            };
            let _ = decode_stream(&damaged[..], &mut output);
        }
    }
}

#[test]
fn neither_a_file_nor_octets() {
    let mut output = Output {
        to: io::sink(),
        json: false,
        refused: 0,
        shown: 0,
    };
    let error = decode("story.pcap", &mut output).unwrap_err().to_string();
    assert_eq!(
        error,
        "\"story.pcap\" is neither a file nor hexadecimal: line 1: \"story.pcap\" is not hexadecimal"
    );
}

/// A Binding Update with a Home Address option, from its IPv6 header on.
const UPDATE: &str = "\
0000  60 00 00 00 00 68 3c 40 20 01 0d b8 01 01 00 00
0010  00 00 00 00 00 00 00 20 20 01 0d b8 02 00 00 00
0020  00 00 00 00 00 00 00 01 87 02 01 02 00 00 c9 10
0030  20 01 0d b8 02 00 00 01 00 00 00 00 00 00 00 a1
0040  3b 09 05 00 b5 05 12 35 c0 00 00 96 01 00 03 10
0050  20 01 0d b8 01 01 00 00 00 00 00 00 00 00 00 20
0060  08 10 01 6d 6e 31 40 65 78 61 6d 70 6c 65 2e 6e
0070  65 74 0a 08 e8 d5 a0 00 12 34 56 78 00 09 11 01
0080  00 00 01 00 04 c3 58 17 a7 94 6c 99 b3 29 d4 59
";
/// A Binding Acknowledgement in UDP, from the IPv4 header on.
const ACKNOWLEDGEMENT: &str = "\
0000  45 00 00 64 00 01 00 00 40 11 14 4a c6 33 64 01
0010  cb 00 71 09 10 5f ef 32 00 50 00 00 60 00 00 00
0020  00 20 87 40 20 01 0d b8 02 00 00 00 00 00 00 00
0030  00 00 00 01 20 01 0d b8 02 00 00 01 00 00 00 00
0040  00 00 00 a1 3b 03 06 00 5c 59 00 00 00 07 00 96
0050  1e 06 00 80 c0 00 02 4d 1f 06 00 00 00 00 00 6e
0060  01 02 00 00
";

/// This IPv6 packet's payload in UDP over IPv6, from and to port 4191.
fn in_udp6(inner: &[u8]) -> Vec<u8> {
    let length = u16::try_from(inner.len() + 8).unwrap().to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length);
    packet.extend([17, 64]);
    packet.extend([0xfc; 32]);
    packet.extend([0x10, 0x5f, 0x10, 0x5f]);
    packet.extend(length);
    packet.extend([0, 0]);
    packet.extend(inner);
    packet
}

#[test]
fn a_mobility_header_is_explained_with_its_packet() {
    let packet = hexadecimal::parse(UPDATE).unwrap();
    let ethernet = [
        &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd],
        &packet[..],
    ]
    .concat();
    let null = [&[30, 0, 0, 0], &packet[..]].concat();
    for stream in [
        UPDATE.as_bytes().to_vec(),
        pcap(1, &[ethernet], 9000, u32::to_le_bytes),
        pcap(0, &[null], 9000, u32::to_le_bytes),
        pcap(101, std::slice::from_ref(&packet), 9000, u32::to_be_bytes),
        pcapng(229, &packet),
    ] {
        let [message] = &objects(&stream)[..] else {
            panic!("one message")
        };
        assert_eq!(message["source"], "2001:db8:101::20");
        assert_eq!(message["destination"], "2001:db8:200::1");
        assert_eq!(message["home_address_option"], "2001:db8:200:1::a1");
        assert_eq!(message["name"], "Binding Update");
        assert_eq!(message["checksum_valid"], true);
        assert_eq!(message["options"][2]["nai"], "mn1@example.net");
        let authenticator = &message["options"][5];
        assert_eq!(
            (&authenticator["spi"], &authenticator["covers"]),
            (&json!(256), &json!(68))
        );
        assert!(message.get("error").is_none());
    }
    let (text, refused) = decoded(UPDATE.as_bytes(), false);
    for line in [
        "  home address option  2001:db8:200:1::a1",
        "Binding Update (type 5)",
        "  flags             A H - - - - - - - - - -",
        "  lifetime seconds  600",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line:?} in\n{text}"
        );
    }
    assert!(!refused);
}

#[test]
fn a_mobility_header_alone_has_no_checksum_to_check() {
    let message = hex::encode(&hexadecimal::parse(UPDATE).unwrap()[64..]);
    let [message] = &objects(message.as_bytes())[..] else {
        panic!("one message")
    };
    assert_eq!(message["sequence"], 0x1235);
    assert_eq!(message.get("checksum_valid"), None);
}

#[test]
fn messages_in_udp_are_told_from_tunnelled_packets() {
    let packet = hexadecimal::parse(ACKNOWLEDGEMENT).unwrap();
    let update = hexadecimal::parse(UPDATE).unwrap();
    let mut tunnelled = packet.clone();
    tunnelled[28 + 6] = 6;
    let mut ipv4 = packet.clone();
    ipv4[28] = 0x45;
    let frames = [packet, tunnelled, ipv4, in_udp6(&update)];
    let [over_ipv4, over_ipv6] = &objects(&pcap(101, &frames, 9000, u32::to_le_bytes))[..] else {
        panic!("two messages")
    };
    assert_eq!(over_ipv4["packet"], 1);
    assert_eq!(over_ipv4["source"], "198.51.100.1:4191");
    assert_eq!(over_ipv4["inner_source"], "2001:db8:200::1");
    assert_eq!(over_ipv4["status_name"], "Binding Update accepted");
    assert_eq!(over_ipv4["options"][0]["ipv4_home_address"], "192.0.2.77");
    assert_eq!(over_ipv4["checksum_valid"], true);
    assert_eq!(over_ipv6["packet"], 4);
    assert_eq!(over_ipv6["inner_destination"], "2001:db8:200::1");
    assert_eq!(over_ipv6["checksum_valid"], true);
}

#[test]
fn a_damaged_mobility_header_is_refused() {
    let packet = hexadecimal::parse(UPDATE).unwrap();
    let mut wrong = packet.clone();
    wrong[0x47] ^= 1;
    let mut twice = packet.clone();
    twice[0x2a] = 201;
    let fragment = |fragment: u8| {
        let mut octets = packet.clone();
        octets[5] += 8;
        octets[6] = 44;
        octets.splice(40..40, [60, 0, 0, fragment, 0, 0, 0, 7]);
        octets
    };
    let cases = [
        (wrong, 9000, "bad_checksum"),
        (twice, 9000, "malformed_header"),
        (packet.clone(), 100, "truncated_capture"),
        (fragment(1), 9000, "fragment"),
    ];
    for (frame, snap, kind) in cases {
        let file = pcap(101, &[frame], snap, u32::to_le_bytes);
        let [message] = &objects(&file)[..] else {
            panic!("one message: {kind}")
        };
        assert_eq!(message["error"]["kind"], kind);
        assert_eq!(message["source"], "2001:db8:101::20");
        assert!(decoded(&file, false).1);
    }
    let later = fragment(9);
    assert!(objects(&pcap(101, &[later], 9000, u32::to_le_bytes)).is_empty());
    for end in (0..packet.len()).step_by(7) {
        objects(&pcap(
            101,
            std::slice::from_ref(&packet),
            end,
            u32::to_le_bytes,
        ));
        objects(&pcap(101, &[in_udp6(&packet)], end, u32::to_le_bytes));
    }
}
