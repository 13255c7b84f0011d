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
