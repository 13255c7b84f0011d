use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use super::*;

/// Runs in a network namespace of its own, or says loudly that it can't.
fn apart(job: impl FnOnce() + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: this test needs root, to make a network namespace");
        return;
    }
    let body = move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        assert!(run("ip link set lo up").status.success());
        job();
    };
    std::thread::spawn(body).join().unwrap();
}

fn run(command: &str) -> std::process::Output {
    Command::new("timeout")
        .args(["20", "sh", "-ec", command])
        .output()
        .unwrap()
}

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// Whether the kernel answers an empty datagram of this protocol to this host with an error.
fn is_answered(family: Family, protocol: u8) -> bool {
    let (domain, icmp, host, packet) = match family {
        Family::Ipv4 => {
            let mut packet = vec![0u8; 48];
            packet[0] = 0x45;
            packet[8] = 9;
            packet[9] = protocol;
            packet[12..16].copy_from_slice(&Ipv4Addr::LOCALHOST.octets());
            packet[16..20].copy_from_slice(&Ipv4Addr::LOCALHOST.octets());
            (
                socket2::Domain::IPV4,
                1,
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                packet,
            )
        }
        Family::Ipv6 => {
            // A tunnel module looks at nothing shorter than a header.
            let mut packet = vec![0u8; 80];
            packet[0] = 0x60;
            packet[5] = 40;
            packet[6] = protocol;
            packet[7] = 9;
            packet[8..24].copy_from_slice(&Ipv6Addr::LOCALHOST.octets());
            packet[24..40].copy_from_slice(&Ipv6Addr::LOCALHOST.octets());
            (
                socket2::Domain::IPV6,
                58,
                IpAddr::V6(Ipv6Addr::LOCALHOST),
                packet,
            )
        }
    };
    let mut listener = socket2::Socket::new(domain, socket2::Type::RAW, Some(icmp.into())).unwrap();
    listener
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let raw = socket2::Socket::new(domain, socket2::Type::RAW, Some(255.into())).unwrap();
    raw.send_to(&packet, &SocketAddr::new(host, 0).into())
        .unwrap();
    let mut answer = [0u8; 256];
    // The socket of IPv4 gives the header too.
    let (at, errors) = match family {
        Family::Ipv4 => (20, 3..=3),
        Family::Ipv6 => (0, 1..=4),
    };
    listener
        .read(&mut answer)
        .is_ok_and(|length| length > at && errors.contains(&answer[at]))
}

#[test]
fn in_a_namespace_of_its_own_only_a_module_contests() {
    apart(|| {
        for family in FAMILIES {
            let expected = match module_loaded(family) {
                true => Ownership::Contested,
                false => Ownership::Free,
            };
            assert_eq!(probe(family).unwrap(), expected);
        }
    });
}

#[test]
fn the_guard_silences_errors_about_our_protocol_only() {
    apart(|| {
        for (family, ours, loopback) in [(Family::Ipv4, 4, "127.0.0.1"), (Family::Ipv6, 41, "::1")]
        {
            assert!(
                is_answered(family, ours),
                "without the guard the kernel answers"
            );
            let _left_by_a_crash = Guard::install(family).unwrap();
            assert!(!is_answered(family, ours));
            assert!(
                is_answered(family, 99),
                "other protocols are none of our business"
            );
            // An error in answer to UDP.
            let socket = UdpSocket::bind((loopback, 0)).unwrap();
            socket.connect((loopback, 9)).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            socket.send(b"anybody?").unwrap();
            assert_eq!(
                socket.recv(&mut [0; 8]).unwrap_err().kind(),
                io::ErrorKind::ConnectionRefused
            );

            let listing = run("nft list ruleset");
            assert!(
                listing.status.success(),
                "{}",
                String::from_utf8_lossy(&listing.stderr)
            );
            assert!(String::from_utf8_lossy(&listing.stdout).contains(TABLE));

            Guard::install(family).unwrap().remove().unwrap();
            assert!(!String::from_utf8_lossy(&run("nft list ruleset").stdout).contains(TABLE));
            assert!(is_answered(family, ours));
        }
    });
}

#[test]
fn a_refusal_says_what_nft_says() {
    apart(|| {
        let refusal = nft("table ip cha_userspace { nonsense }").unwrap_err();
        assert!(refusal.to_string().contains("nonsense"), "{refusal}");
    });
}
