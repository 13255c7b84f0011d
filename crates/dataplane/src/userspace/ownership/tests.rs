use std::net::{Ipv4Addr, UdpSocket};

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

/// Whether the kernel answers an empty datagram of this protocol to this host with an error.
fn is_answered(protocol: i32) -> bool {
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::RAW, Some(1.into())).unwrap();
    listener
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let raw =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::RAW, Some(255.into())).unwrap();
    let mut packet = [0u8; 48];
    packet[0] = 0x45;
    packet[8] = 9;
    packet[9] = protocol as u8;
    packet[12..16].copy_from_slice(&Ipv4Addr::LOCALHOST.octets());
    packet[16..20].copy_from_slice(&Ipv4Addr::LOCALHOST.octets());
    raw.send_to(
        &packet,
        &std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into(),
    )
    .unwrap();
    let mut answer = [0u8; 256];
    let mut listener = listener;
    listener
        .read(&mut answer)
        .is_ok_and(|length| length > 40 && answer[20] == 3)
}

#[test]
fn a_namespace_of_its_own_is_free() {
    apart(|| assert_eq!(probe().unwrap(), Ownership::Free));
}

#[test]
fn the_guard_silences_errors_about_our_protocol_only() {
    apart(|| {
        assert!(is_answered(4), "without the guard the kernel answers");
        let _left_by_a_crash = Guard::install().unwrap();
        assert!(!is_answered(4));
        assert!(is_answered(99), "other protocols are none of our business");
        // An error in answer to UDP.
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect("127.0.0.1:9").unwrap();
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

        Guard::install().unwrap().remove().unwrap();
        assert!(!String::from_utf8_lossy(&run("nft list ruleset").stdout).contains(TABLE));
        assert!(is_answered(4));
    });
}

#[test]
fn a_refusal_says_what_nft_says() {
    apart(|| {
        let refusal = nft("table ip cha_userspace { nonsense }").unwrap_err();
        assert!(refusal.to_string().contains("nonsense"), "{refusal}");
    });
}
