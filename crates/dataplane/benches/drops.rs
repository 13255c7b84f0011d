//! What datagrams that are dropped cost the userspace backend of a home agent: the processor time of
//! the thread that judges them, for each reason, while a transfer of 100 Mbit/s goes on through a
//! tunnel. Needs root and iperf3.
//!
//! `cargo bench -p dataplane --bench drops [seconds per measurement]`

#![expect(clippy::panic, clippy::expect_used, reason = "a benchmark")]

#[path = "../tests/userspace_lab/mod.rs"]
mod userspace_lab;

mod iperf;

use std::io::IoSlice;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use iperf::{megabits, seconds, servers};
use mobility_protocol::{Reachability, Tunnel};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
use socket2::{Domain, Socket, Type};
use userspace_lab::*;

const STRANGER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 254);

/// A home address whose care-of address is not proven and has no credit.
const UNPROVEN: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 6);

/// The threads that judge what comes out of tunnels, and what goes into them.
const OUT_OF_TUNNELS: &str = "tunnel-down";
const INTO_TUNNELS: &str = "tunnel-up";

/// Packets sent by one call.
const BATCH: usize = 64;

fn main() {
    if !possible() {
        return;
    }
    let seconds = seconds();
    let lab = Lab::new();
    let (home_agent, _mobile_node) = lab.bound();
    let _servers = servers(&lab, &[CORRESPONDENT.into()]);

    home_agent
        .apply(&install(Tunnel {
            home_address: UNPROVEN.into(),
            reachability: Reachability::Unproven,
            ..tunnel(AGENT, CARE_OF_2)
        }))
        .expect("install");

    let good = datagram(HOME, CORRESPONDENT, 9);
    let elsewhere = datagram(HOME, Ipv4Addr::new(198, 51, 100, 9), 9);
    let foreign = datagram(STRANGER, CORRESPONDENT, 9);
    let nested = encapsulated(HOME, CORRESPONDENT, &good);
    let tunnelled = |from, inner: &[u8]| (&lab.router, AGENT, encapsulated(from, AGENT, inner));
    let excess = datagram(CORRESPONDENT, UNPROVEN, 9);
    let kinds = [
        ("nothing", "", OUT_OF_TUNNELS, None),
        (
            "rubbish",
            "drop_malformed",
            OUT_OF_TUNNELS,
            Some(tunnelled(CARE_OF_1, &[0x45; 64])),
        ),
        (
            "another outer source",
            "drop_wrong_outer_source",
            OUT_OF_TUNNELS,
            Some(tunnelled(STRANGER, &good)),
        ),
        (
            "another inner source",
            "drop_wrong_inner_source",
            OUT_OF_TUNNELS,
            Some(tunnelled(CARE_OF_1, &foreign)),
        ),
        (
            "a tunnel inside",
            "drop_nested_tunnel",
            OUT_OF_TUNNELS,
            Some(tunnelled(CARE_OF_1, &nested)),
        ),
        (
            "no correspondent",
            "drop_not_a_correspondent",
            OUT_OF_TUNNELS,
            Some(tunnelled(CARE_OF_1, &elsewhere)),
        ),
        (
            "more than the credit",
            "drop_no_credit",
            INTO_TUNNELS,
            Some((&lab.cn, UNPROVEN, excess)),
        ),
    ];
    println!(
        "{:<24}{:>14}{:>14}{:>20}{:>18}",
        "datagrams", "dropped/s", "ns each", "/s of one core", "transfer Mbit/s"
    );
    for (what, counter, thread, flood) in kinds {
        let dropped = || match counter {
            "" => 0,
            counter => count(&home_agent, counter),
        };
        let flood = flood.map(|(from, to, packet)| Flood::start(from, to, packet));
        let begin = (Instant::now(), dropped(), worked(thread));
        let report = lab.mn.sh(&format!(
            "iperf3 -c {CORRESPONDENT} -t {seconds} -b 100M -R -f m"
        ));
        let took = begin.0.elapsed().as_secs_f64();
        let (drops, busy) = (
            (dropped() - begin.1) as f64,
            (worked(thread) - begin.2) as f64,
        );
        drop(flood);
        println!(
            "{what:<24}{:>14.0}{:>14.0}{:>20.0}{:>18}",
            drops / took,
            busy / drops.max(1.0),
            drops * 1e9 / busy,
            megabits(&report).map_or_else(|| "?".to_owned(), |rate| rate.to_string())
        );
    }
    println!("home agent: {:?}", counted(&home_agent));
}

/// The same packet again and again.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Flood {
    fn start(from: &Namespace, to: Ipv4Addr, packet: Vec<u8>) -> Self {
        let socket =
            from.run(|| Socket::new(Domain::IPV4, Type::RAW, Some(255.into())).expect("raw"));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let slices = [[IoSlice::new(&packet)]; BATCH];
            let to = [Some(SockaddrIn::from(std::net::SocketAddrV4::new(to, 0))); BATCH];
            let mut headers = MultiHeaders::preallocate(BATCH, None);
            while !stopped.load(Ordering::Relaxed) {
                // What does not fit into a queue is the network's loss.
                let _ = sendmmsg(
                    socket.as_raw_fd(),
                    &mut headers,
                    &slices,
                    to,
                    [],
                    MsgFlags::empty(),
                );
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// Nanoseconds that the home agent's thread of this name has worked. Of the two with the name the other
/// is the mobile node's, and younger.
fn worked(thread: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc");
    let found = tasks
        .flatten()
        .filter_map(|task| task.file_name().to_str()?.parse::<u32>().ok())
        .filter(|task| {
            std::fs::read_to_string(format!("/proc/self/task/{task}/comm"))
                .is_ok_and(|name| name.trim_end() == thread)
        })
        .min()
        .unwrap_or_else(|| panic!("no thread is {thread}"));
    let times = std::fs::read_to_string(format!("/proc/self/task/{found}/schedstat"));
    let times = times.unwrap_or_else(|error| panic!("no times of a thread: {error}"));
    let worked = times.split(' ').next().and_then(|time| time.parse().ok());
    worked.unwrap_or_else(|| panic!("no time in {times}"))
}
