//! Silence at a move: how much longer nothing arrives than the path itself takes.
//!
//! Probes leave on a grid, one way only. The instant at which the new address is usable is taken by whoever gave
//! it. From then on a perfect handover costs one way up before the server hears the client, and one way up (the
//! Binding Update) plus one way down before the client hears the server; what comes later than that is excess.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use super::{
    probes::{Carrier, Probes, Seen, grid},
    report::Section,
    statistics::{Sample, number},
    wireguard::{self, WireGuard},
};
use crate::{
    AccessNetwork, Backend, Failure, Family, Laptop, Node, Stage, eventually, stage::BOUND,
    udp::Direction,
};

/// Two networks at once for so long, make before break.
const OVERLAP: Duration = Duration::from_millis(500);

/// Time between two moves.
const REST: Duration = Duration::from_millis(700);

/// Who stays silent for so long is given up for this move.
const SILENT: Duration = Duration::from_secs(2);

/// Probes that must arrive before a move is judged.
const ENOUGH: usize = 100;

/// `moves` moves of each kind, at a round-trip time that the lab adds to its own.
pub fn measure(round_trip: Duration, moves: usize) -> Result<Section, Failure> {
    let mut stage = Stage::with(
        |chad| chad.lifetime = 600,
        |agent| {
            agent.unused = 600_000;
            agent.linger = 600_000;
            agent.inactivity = 600_000;
        },
    )?;
    let other = stage.internet.laptop("other")?;
    other.move_to(&stage.cafe)?;
    if !round_trip.is_zero() {
        stage.internet.delay(round_trip)?;
    }
    let mut scene = Scene {
        server: stage.site.server.clone(),
        networks: [stage.cafe.clone(), stage.train.clone()],
        ports: 9000,
        own: OwnDelay::default(),
    };
    let address = stage.site.address;
    scene.own = scene.own_delay(&other, address)?;
    stage
        .agent
        .command(&["bind", &stage.site.name])?
        .success()?;
    let (backend, family) = (Backend::of_this_story(), Family::of_this_story());
    // One comparison with its like is enough, as its silences take long.
    let wireguard = if (backend, family) == (Backend::Userspace, Family::Ipv4) {
        let kind = wireguard::Kind::InUserSpace;
        Some(WireGuard::start(other.node(), &stage.site, kind)?)
    } else {
        None
    };
    let mut with_agent = Traveller {
        laptop: &stage.laptop,
        at: 0,
    };
    let mut without = Traveller {
        laptop: &other,
        at: 0,
    };

    let mut section = Section::new("Silence at a move", &COLUMNS);
    let milliseconds = round_trip.as_millis();
    for (manner, carrier) in [
        (Manner::BreakBeforeMake, Carrier::Udp),
        (Manner::MakeBeforeBreak, Carrier::Udp),
        (Manner::BreakBeforeMake, Carrier::Tcp),
    ] {
        for direction in [Direction::Up, Direction::Down] {
            let kind = Kind {
                manner,
                direction,
                carrier,
            };
            let ours = scene.run(&mut with_agent, Way::To(address), kind, moves)?;
            let (mut limit, mut theirs) = (None, None);
            if carrier == Carrier::Udp {
                if let Some(wireguard) = &wireguard {
                    let way = Way::Through(wireguard);
                    theirs = Some(scene.run(&mut without, way, kind, moves.min(2))?);
                }
                if manner == Manner::BreakBeforeMake {
                    let kind = Kind {
                        carrier: Carrier::Roaming,
                        ..kind
                    };
                    limit = Some(scene.run(&mut without, Way::To(address), kind, moves)?);
                }
            }
            section.row(row(
                kind,
                milliseconds,
                &ours,
                limit.as_ref(),
                theirs.as_ref(),
            ));
        }
    }
    let own = &scene.own;
    section.remark(format!(
        "The path's own delay at {milliseconds} ms, {backend}, {family}: {} ms up, {} ms down.",
        number(own.up.as_secs_f64() * 1e3),
        number(own.down.as_secs_f64() * 1e3)
    ));
    Ok(section)
}

const COLUMNS: [&str; 13] = [
    "move",
    "backend",
    "family",
    "probes",
    "who sends",
    "round trip, ms",
    "probes lost",
    "worst",
    "excess, ms",
    "worst",
    "limit: lost",
    "limit: excess, ms",
    "wireguard-go: lost",
];

fn row(
    kind: Kind,
    round_trip: u128,
    ours: &Outcome,
    limit: Option<&Outcome>,
    theirs: Option<&Outcome>,
) -> Vec<String> {
    let or_nothing = |cell: Option<String>| cell.unwrap_or_default();
    let lost = |outcome: &Outcome, value: f64| {
        if kind.carrier == Carrier::Tcp {
            String::new()
        } else {
            outcome.lost_words(value)
        }
    };
    vec![
        match kind.manner {
            Manner::BreakBeforeMake => "break before make",
            Manner::MakeBeforeBreak => "make before break",
        }
        .to_owned(),
        Backend::of_this_story().to_string(),
        Family::of_this_story().to_string(),
        if kind.carrier == Carrier::Tcp {
            "TCP"
        } else {
            "UDP"
        }
        .to_owned(),
        if kind.direction == Direction::Up {
            "client"
        } else {
            "server"
        }
        .to_owned(),
        round_trip.to_string(),
        lost(ours, ours.lost.median()),
        lost(ours, ours.lost.worst()),
        number(ours.excess.median()),
        number(ours.excess.worst()),
        or_nothing(limit.map(|limit| limit.lost_words(limit.lost.median()))),
        or_nothing(limit.map(|limit| number(limit.excess.median()))),
        or_nothing(theirs.map(|theirs| theirs.lost_words(theirs.lost.median()))),
    ]
}

/// The order in which a laptop leaves and arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    BreakBeforeMake,
    MakeBeforeBreak,
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    manner: Manner,
    direction: Direction,
    carrier: Carrier,
}

/// A laptop and the number of the network it is in.
struct Traveller<'a> {
    laptop: &'a Laptop,
    at: usize,
}

/// Whom the probes go to or come from.
#[derive(Clone, Copy)]
enum Way<'a> {
    To(IpAddr),
    Through(&'a WireGuard),
}

/// What the moves of one kind came to.
#[derive(Default)]
struct Outcome {
    /// Probes a perfect handover would have delivered, per move.
    lost: Sample,
    /// Milliseconds, per move.
    excess: Sample,
    /// Moves after which nothing came within [`SILENT`].
    silent: usize,
}

impl Outcome {
    fn lost_words(&self, lost: f64) -> String {
        if self.silent > 0 {
            format!("silent > {} s", SILENT.as_secs())
        } else {
            format!("{lost:.0}")
        }
    }
}

#[derive(Clone, Copy, Default)]
struct OwnDelay {
    up: Duration,
    down: Duration,
}

struct Scene {
    server: Node,
    networks: [AccessNetwork; 2],
    ports: u16,
    own: OwnDelay,
}

impl Scene {
    /// What the path takes without any tunnel, one way.
    fn own_delay(&mut self, laptop: &Laptop, address: IpAddr) -> Result<OwnDelay, Failure> {
        let mut one = |direction| -> Result<Duration, Failure> {
            let port = self.next_port();
            let probes = Probes::start(
                laptop.node(),
                &self.server,
                address,
                port,
                direction,
                Carrier::Roaming,
            )?;
            eventually("probes to arrive", BOUND, || probes.came() > 2 * ENOUGH)?;
            let mut delays: Vec<Duration> = probes
                .seen()
                .iter()
                .filter_map(|probe| Some(probe.came?.saturating_duration_since(probe.sent)))
                .collect();
            delays.sort_unstable();
            Ok(delays[delays.len() / 2])
        };
        Ok(OwnDelay {
            up: one(Direction::Up)?,
            down: one(Direction::Down)?,
        })
    }

    fn next_port(&mut self) -> u16 {
        self.ports += 1;
        self.ports
    }

    fn run(
        &mut self,
        traveller: &mut Traveller<'_>,
        way: Way<'_>,
        kind: Kind,
        moves: usize,
    ) -> Result<Outcome, Failure> {
        let (address, wireguard) = match way {
            Way::To(address) => (address, None),
            Way::Through(wireguard) => (wireguard.address, Some(wireguard)),
        };
        let Kind {
            manner,
            direction,
            carrier,
        } = kind;
        if let Some(wireguard) = wireguard {
            // It may have been carried elsewhere since it was used last.
            wireguard.aim()?;
        }
        let (laptop, port) = (traveller.laptop, self.next_port());
        let probes = Probes::start(
            laptop.node(),
            &self.server,
            address,
            port,
            direction,
            carrier,
        )?;
        let what = format!("{kind:?} to {address}");
        eventually(&format!("probes to arrive: {what}"), BOUND, || {
            probes.came() > ENOUGH
        })?;
        let mut outcome = Outcome::default();
        for _ in 0..moves {
            thread::sleep(REST);
            traveller.at = 1 - traveller.at;
            let to = &self.networks[traveller.at];
            let first = probes.seen().len();
            let usable = match manner {
                Manner::BreakBeforeMake => laptop.move_to(to)?,
                Manner::MakeBeforeBreak => {
                    let (old, usable) = laptop.also_join(to)?;
                    thread::sleep(OVERLAP + 2 * (self.own.up + self.own.down));
                    laptop.leave(&old)?;
                    usable
                }
            };
            if carrier == Carrier::Roaming {
                probes.announce()?;
            }
            if !self.goes_on(&probes) {
                outcome.silent += 1;
                if let Some(wireguard) = wireguard {
                    wireguard.aim()?;
                }
                probes.announce()?;
                eventually(&format!("probes to arrive again: {what}"), BOUND, || {
                    self.goes_on(&probes)
                })?;
                continue;
            }
            let seen = &probes.seen()[first..];
            match manner {
                Manner::BreakBeforeMake => {
                    let heard = match direction {
                        Direction::Up => usable,
                        Direction::Down => usable + self.own.up,
                    };
                    outcome.lost.push(lost_from(seen, heard));
                    outcome
                        .excess
                        .push(excess(seen, usable, self.own.of(direction)));
                }
                Manner::MakeBeforeBreak => {
                    outcome.lost.push(lost_from(seen, seen[0].sent));
                    outcome.excess.push(longest_gap(seen));
                }
            }
        }
        Ok(outcome)
    }

    /// Whether probes that leave from now on arrive.
    fn goes_on(&self, probes: &Probes) -> bool {
        let now = Instant::now();
        let arrived = || {
            let seen = probes.seen();
            let later = seen.iter().rev().take_while(|probe| probe.sent > now);
            later.filter(|probe| probe.came.is_some()).count() > ENOUGH
        };
        eventually("probes to arrive", SILENT, arrived).is_ok()
    }
}

impl OwnDelay {
    /// What the path itself takes from the usable address to the first arrival.
    fn of(self, direction: Direction) -> Duration {
        match direction {
            Direction::Up => self.up,
            Direction::Down => self.up + self.down,
        }
    }
}

/// Probes that left at `moment` or later and did not come, up to the last one that did.
fn lost_from(seen: &[Seen], moment: Instant) -> f64 {
    let end = seen
        .iter()
        .rposition(|probe| probe.came.is_some())
        .map_or(0, |last| last + 1);
    let lost = seen[..end]
        .iter()
        .filter(|probe| probe.sent >= moment && probe.came.is_none())
        .count();
    u32::try_from(lost).map_or(f64::INFINITY, f64::from)
}

/// Milliseconds from `usable` to the first arrival of a probe that left after it, less what the path takes.
fn excess(seen: &[Seen], usable: Instant, own: Duration) -> f64 {
    let first = seen
        .iter()
        .filter(|probe| probe.sent >= usable)
        .filter_map(|probe| probe.came)
        .min();
    first.map_or(f64::INFINITY, |first| {
        let silent = first.saturating_duration_since(usable);
        (silent.as_secs_f64() - own.as_secs_f64()) * 1e3
    })
}

/// Milliseconds of the longest time without an arrival, less the grid.
fn longest_gap(seen: &[Seen]) -> f64 {
    let mut came: Vec<Instant> = seen.iter().filter_map(|probe| probe.came).collect();
    came.sort_unstable();
    let longest = came
        .windows(2)
        .map(|pair| pair[1].saturating_duration_since(pair[0]))
        .max()
        .unwrap_or_default();
    longest.saturating_sub(grid()).as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probes on the grid from a start; each comes `delay` later unless it is lost.
    fn probes(count: u32, lost: std::ops::Range<u32>, delay: Duration) -> (Instant, Vec<Seen>) {
        let start = Instant::now();
        let seen = (0..count)
            .map(|number| {
                let sent = start + grid() * number;
                let came = (!lost.contains(&number)).then_some(sent + delay);
                Seen { sent, came }
            })
            .collect();
        (start, seen)
    }

    #[test]
    fn what_was_lost_before_the_address_was_usable_is_not_counted() {
        let (start, seen) = probes(20, 5..10, Duration::from_millis(10));
        assert_eq!(lost_from(&seen, start + grid() * 8), 2.0);
        assert_eq!(lost_from(&seen, start), 5.0);
    }

    #[test]
    fn probes_still_under_way_are_not_lost() {
        let (start, seen) = probes(20, 15..20, Duration::from_millis(10));
        assert_eq!(lost_from(&seen, start), 0.0);
    }

    #[test]
    fn the_path_itself_is_no_excess() {
        let delay = Duration::from_millis(10);
        let (start, seen) = probes(20, 5..10, delay);
        assert!(excess(&seen, start + grid() * 10, delay).abs() < 1e-6);
        let step = grid().as_secs_f64() * 1e3;
        assert!((excess(&seen, start + grid() * 9, delay) - step).abs() < 1e-6);
        assert!((longest_gap(&seen) - 5.0 * step).abs() < 1e-6);
    }
}
