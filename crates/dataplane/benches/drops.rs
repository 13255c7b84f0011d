//! How many datagrams a second the userspace backend of a home agent drops, for each reason, while a
//! transfer of 100 Mbit/s through a tunnel keeps its rate, and what that costs: the processor time of
//! the thread that judges them. The flood grows until the transfer suffers. Needs root and iperf3.
//!
//! `cargo bench -p dataplane --bench drops -- [seconds per measurement] [words of the datagrams' names]`

#![expect(clippy::panic, clippy::expect_used, reason = "a benchmark")]

#[path = "../tests/userspace_lab/mod.rs"]
mod userspace_lab;

mod iperf;

use std::io::IoSlice;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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

/// The transfer, in Mbit/s, and the part of it that counts as kept.
const TRANSFER: f64 = 100.0;
const KEPT: f64 = 0.9;

/// Datagrams a second that are sent, one rate after another as long as the transfer is kept, in more
/// than half of the runs: one may meet what else the machine does.
const RATES: [u32; 5] = [25_000, 50_000, 100_000, 200_000, 400_000];
const RUNS: usize = 3;

/// Datagrams sent by one call.
const BATCH: u32 = 32;

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
        Kind {
            what: "rubbish",
            counter: "drop_malformed",
            thread: OUT_OF_TUNNELS,
            flood: tunnelled(CARE_OF_1, &[0x45; 64]),
        },
        Kind {
            what: "another outer source",
            counter: "drop_wrong_outer_source",
            thread: OUT_OF_TUNNELS,
            flood: tunnelled(STRANGER, &good),
        },
        Kind {
            what: "another inner source",
            counter: "drop_wrong_inner_source",
            thread: OUT_OF_TUNNELS,
            flood: tunnelled(CARE_OF_1, &foreign),
        },
        Kind {
            what: "a tunnel inside",
            counter: "drop_nested_tunnel",
            thread: OUT_OF_TUNNELS,
            flood: tunnelled(CARE_OF_1, &nested),
        },
        Kind {
            what: "no correspondent",
            counter: "drop_not_a_correspondent",
            thread: OUT_OF_TUNNELS,
            flood: tunnelled(CARE_OF_1, &elsewhere),
        },
        Kind {
            what: "more than the credit",
            counter: "drop_no_credit",
            thread: INTO_TUNNELS,
            flood: (&lab.cn, UNPROVEN, excess),
        },
    ];
    let transfer = || {
        lab.mn.sh(&format!(
            "iperf3 -c {CORRESPONDENT} -t {seconds} -b {TRANSFER}M -R -f m"
        ))
    };
    let alone = megabits(&transfer()).unwrap_or_default();
    println!("the transfer alone: {alone} Mbit/s");
    println!(
        "{:<22}{:>10}{:>12}{:>10}{:>12}  transfer, Mbit/s, by run",
        "datagrams", "sent/s", "dropped/s", "ns each", "/s a core"
    );
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-') && word.parse::<u32>().is_err())
        .collect();
    for kind in kinds {
        let is_wanted = words.iter().any(|word| kind.what.contains(word.as_str()));
        if !words.is_empty() && !is_wanted {
            continue;
        }
        for rate in RATES {
            let mut runs = [(); RUNS].map(|()| kind.measure(&home_agent, rate, transfer));
            runs.sort_by(|one, other| one.megabits.total_cmp(&other.megabits));
            let [_, middle, _] = runs;
            println!(
                "{:<22}{rate:>10}{:>12.0}{:>10.0}{:>12.0}  {:?}",
                kind.what,
                middle.drops / middle.took,
                middle.busy / middle.drops.max(1.0),
                middle.drops * 1e9 / middle.busy,
                runs.map(|run| run.megabits)
            );
            if middle.megabits < TRANSFER * KEPT {
                break;
            }
        }
    }
    println!("home agent: {:?}", counted(&home_agent));
}

/// A reason to drop datagrams, and those that give it.
struct Kind<'lab> {
    what: &'static str,
    counter: &'static str,
    /// Who judges them.
    thread: &'static str,
    /// From where, to which address, which packet.
    flood: (&'lab Namespace, Ipv4Addr, Vec<u8>),
}

/// What happened during one transfer.
#[derive(Clone, Copy)]
struct Run {
    /// In seconds.
    took: f64,
    drops: f64,
    /// Nanoseconds that the thread worked.
    busy: f64,
    /// What the transfer got, each second.
    megabits: f64,
}

impl Kind<'_> {
    fn measure(
        &self,
        home_agent: &dataplane::userspace::Backend,
        rate: u32,
        transfer: impl Fn() -> String,
    ) -> Run {
        let (from, to, packet) = &self.flood;
        let flood = Flood::start(from, *to, packet.clone(), rate);
        let dropped = || count(home_agent, self.counter);
        let begin = (Instant::now(), dropped(), worked(self.thread));
        let report = transfer();
        let run = Run {
            took: begin.0.elapsed().as_secs_f64(),
            drops: (dropped() - begin.1) as f64,
            busy: (worked(self.thread) - begin.2) as f64,
            megabits: megabits(&report).unwrap_or_default(),
        };
        drop(flood);
        run
    }
}

/// The same packet again and again, at most so many times a second.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Flood {
    fn start(from: &Namespace, to: Ipv4Addr, packet: Vec<u8>, rate: u32) -> Self {
        let socket =
            from.run(|| Socket::new(Domain::IPV4, Type::RAW, Some(255.into())).expect("raw"));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let slices = [[IoSlice::new(&packet)]; BATCH as usize];
            let to = [Some(SockaddrIn::from(std::net::SocketAddrV4::new(to, 0))); BATCH as usize];
            let mut headers = MultiHeaders::preallocate(BATCH as usize, None);
            let pause = Duration::from_secs(1) * BATCH / rate;
            let mut due = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                due += pause;
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
