//! Many bindings: registrations per second, how long a Binding Update takes to its route, and what a start with all
//! of them takes, with `chad` as a process of its own and a fleet of mobile nodes beside it.

use std::{
    fs,
    net::IpAddr,
    ops::Range,
    path::PathBuf,
    time::{Duration, Instant},
};

use ipnet::{IpNet, Ipv4Net};

use mobility_protocol::security::SecurityAssociation;

use super::{
    report::Section,
    route_watch::RouteWatch,
    statistics::{Sample, number},
};
use crate::{
    Backend, ChadSettings, Failure, Family, Fleet, HomeAgent, Internet, LabError, Node, Site,
    SiteKind, stage::BOUND, wait::patience,
};

/// Names a directory on a disk, for the store; else it is in memory, like all files of the lab.
pub const DISK: &str = "LAB_DISK";

/// Seconds; `chad` grants no more than an hour.
const LIFETIME: u32 = 3600;

/// How many bindings stand at which step, and how many mobile nodes move there.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Bindings that stand, beside those that move.
    pub standing: Vec<usize>,
    /// Mobile nodes that move, one after another, at each step.
    pub moving: usize,
}

/// The key of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    /// By X25519, after a cookie came back: two round trips.
    AgreedOn,
    /// Known to both beforehand.
    Shared,
}

/// Registers, moves and restarts at each step of `scale`.
pub fn measure(backend: Backend, family: Family, scale: &Scale) -> Result<Vec<Section>, Failure> {
    let mut internet = Internet::new(&[])?;
    let site = internet.site("server.example", SiteKind::Gateway)?;
    let mut settings = ChadSettings::of(&site);
    settings.quota = u32::MAX;
    settings.rate = u32::MAX;
    settings.lifetime = LIFETIME / patience();
    settings.pool = pool(&site)?;
    // The emulated processor would spend most of its time on agreements.
    let key = if patience() > 1 {
        settings.legacy_open = true;
        Key::Shared
    } else {
        Key::AgreedOn
    };
    let disk = Disk::of(backend, family)?;
    settings.state = disk.as_ref().map(|disk| disk.0.clone());
    let mut chad = HomeAgent::start_with(&site, &settings)?;
    let most = scale.standing.iter().copied().max().unwrap_or_default();
    let mut fleet = Fleet::new(&mut internet, &site, scale.moving + most)?;
    let mut hall = Hall {
        backend,
        family,
        registrations: Section::new("Registrations", &REGISTRATIONS),
        updates: Section::new("From Binding Update to route", &UPDATES),
        starts: Section::new("A start with many bindings", &STARTS),
        first: None,
    };
    let mut bound = scale.moving;
    hall.register(&mut chad, &mut fleet, 0..bound, Key::AgreedOn)?;
    for standing in &scale.standing {
        let all = scale.moving + standing;
        if all > bound {
            hall.register(&mut chad, &mut fleet, bound..all, key)?;
            bound = all;
        }
        hall.move_some(&site, &mut fleet, scale.moving, *standing)?;
    }
    let homes: Vec<IpAddr> = fleet.bindings()?.into_keys().collect();
    hall.start(&site, &mut chad, &homes)?;
    Ok(vec![hall.registrations, hall.updates, hall.starts])
}

const REGISTRATIONS: [&str; 7] = [
    "backend",
    "family",
    "where",
    "key",
    "bindings",
    "registrations/s",
    "chad's processor time each, us",
];

const UPDATES: [&str; 10] = [
    "backend",
    "family",
    "where",
    "others bound",
    "route replaced, ms: median",
    "99 %",
    "median to that with none",
    "acknowledged, ms: median",
    "99 %",
    "median to that with none",
];

const STARTS: [&str; 9] = [
    "backend",
    "family",
    "where",
    "bindings",
    "memory, MB",
    "after a kill, s",
    "nothing in the kernel, s",
    "ip -batch adds the routes, s",
    "after a kill to ip -batch",
];

/// Where results are gathered.
struct Hall {
    backend: Backend,
    family: Family,
    registrations: Section,
    updates: Section,
    starts: Section,
    /// The medians without other bindings.
    first: Option<[f64; 2]>,
}

impl Hall {
    fn begin_row(&self) -> Vec<String> {
        let place = if patience() > 1 { "guest" } else { "host" };
        vec![
            self.backend.to_string(),
            self.family.to_string(),
            place.to_owned(),
        ]
    }

    fn register(
        &mut self,
        chad: &mut HomeAgent,
        fleet: &mut Fleet,
        which: Range<usize>,
        key: Key,
    ) -> Result<(), Failure> {
        let before = processor_time(chad)?;
        let took = match key {
            Key::AgreedOn => fleet.bind(which.clone())?.took,
            Key::Shared => {
                let association = SecurityAssociation::open_mode();
                fleet.bind_with(which.clone(), &association.into())?.took
            }
        };
        let used = processor_time(chad)?.saturating_sub(before);
        let count = which.len() as f64;
        let mut row = self.begin_row();
        row.extend([
            match key {
                Key::AgreedOn => "agreed on",
                Key::Shared => "shared",
            }
            .to_owned(),
            format!("{} to {}", which.start, which.end),
            number(count / took.as_secs_f64()),
            number(used.as_secs_f64() * 1e6 / count),
        ]);
        self.registrations.row(row);
        Ok(())
    }

    /// Moves the first `moving` of the fleet one after another.
    fn move_some(
        &mut self,
        site: &Site,
        fleet: &mut Fleet,
        moving: usize,
        standing: usize,
    ) -> Result<(), Failure> {
        let watch = match self.backend {
            Backend::Kernel => Some(RouteWatch::start(&site.gateway, self.family)?),
            Backend::Userspace => None,
        };
        let (mut replaced, mut acknowledged) = (Sample::default(), Sample::default());
        for member in 0..moving {
            let sent = Instant::now();
            let campaign = fleet.move_on(member..member + 1)?;
            campaign
                .each
                .into_iter()
                .for_each(|took| acknowledged.push_time(took));
            if let (Some(watch), Some(home)) = (&watch, fleet.home_address(member)) {
                replaced.push_time(watch.changed(home, sent, BOUND)?);
            }
        }
        let medians = [replaced.median(), acknowledged.median()];
        let first = *self.first.get_or_insert(medians);
        let mut row = self.begin_row();
        row.extend([
            standing.to_string(),
            number(medians[0]),
            number(replaced.percentile(99.0)),
            number(medians[0] / first[0]),
            number(medians[1]),
            number(acknowledged.percentile(99.0)),
            number(medians[1] / first[1]),
        ]);
        self.updates.row(row);
        Ok(())
    }

    /// Kills `chad` and starts it again, with and without what the kernel still has.
    fn start(
        &mut self,
        site: &Site,
        chad: &mut HomeAgent,
        homes: &[IpAddr],
    ) -> Result<(), Failure> {
        let memory = resident_octets(chad)?;
        chad.kill()?;
        let after_a_kill = chad.run_until_ready()?.as_secs_f64();
        let (mut empty, mut by_hand) = (f64::NAN, f64::NAN);
        if self.backend == Backend::Kernel {
            chad.kill()?;
            clear(&site.gateway)?;
            by_hand = batch(site, self.family, homes)?.as_secs_f64();
            empty = chad.run_until_ready()?.as_secs_f64();
        }
        let mut row = self.begin_row();
        row.extend([
            homes.len().to_string(),
            number(memory as f64 / 1e6),
            number(after_a_kill),
            number(empty),
            number(by_hand),
            number(after_a_kill / by_hand),
        ]);
        self.starts.row(row);
        Ok(())
    }
}

/// More than the lab's pools have room for.
fn pool(site: &Site) -> Result<IpNet, LabError> {
    match site.pool {
        IpNet::V4(pool) => Ipv4Net::new(pool.network(), 14)
            .map(IpNet::V4)
            .map_err(|error| LabError::Other(error.to_string())),
        pool @ IpNet::V6(_) => Ok(pool),
    }
}

/// A directory for the store, on a disk, which goes when this is dropped.
struct Disk(PathBuf);

impl Disk {
    /// An empty one; `None` where nobody named a disk.
    fn of(backend: Backend, family: Family) -> Result<Option<Disk>, LabError> {
        let Some(disk) = std::env::var_os(DISK) else {
            return Ok(None);
        };
        let directory = PathBuf::from(disk).join(format!("{backend}-{family}"));
        let what = LabError::io(format!("make {}", directory.display()));
        let _not_there_yet = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).map_err(what)?;
        Ok(Some(Disk(directory)))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_dir_all(&self.0);
    }
}

/// User and system time of the daemon so far.
fn processor_time(chad: &mut HomeAgent) -> Result<Duration, LabError> {
    /// Of `/proc`, on every architecture.
    const TICKS_PER_SECOND: u64 = 100;
    let path = format!("/proc/{}/stat", chad.process()?.id());
    let text = fs::read_to_string(&path).map_err(LabError::io(format!("read {path}")))?;
    // The program's name is in brackets and may contain anything.
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let (user, system) = ticks(11)
        .zip(ticks(12))
        .ok_or_else(|| LabError::Other(format!("{path}: {text}")))?;
    Ok(Duration::from_millis(
        (user + system) * 1000 / TICKS_PER_SECOND,
    ))
}

fn resident_octets(chad: &mut HomeAgent) -> Result<u64, LabError> {
    let path = format!("/proc/{}/status", chad.process()?.id());
    let text = fs::read_to_string(&path).map_err(LabError::io(format!("read {path}")))?;
    text.lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map(|kilobytes| kilobytes * 1024)
        .ok_or_else(|| LabError::Other(format!("{path}: {text}")))
}

/// Removes everything of a killed `chad` from the kernel, as a reboot would.
fn clear(gateway: &Node) -> Result<(), LabError> {
    for link in gateway.run(|network| network.links())? {
        if link.starts_with("cha") {
            run(gateway, "ip", &["link", "del", &link])?;
        }
    }
    run(gateway, "nft", &["flush", "ruleset"])
}

/// How long the program `ip` takes to add a wrapping route for each of these, one device for all.
fn batch(site: &Site, family: Family, homes: &[IpAddr]) -> Result<Duration, LabError> {
    const DEVICE: &str = "hand0";
    let (kind, encapsulation, length) = match family {
        Family::Ipv4 => ("ipip", "ip", 32),
        Family::Ipv6 => ("ip6tnl", "ip6", 128),
    };
    let mut text = String::new();
    for (number, home) in homes.iter().enumerate() {
        // The kernel compares a new route with all others of its metric.
        text.push_str(&format!(
            "route add {home}/{length} encap {encapsulation} src {} dst {} dev {DEVICE} metric {}\n",
            site.agent,
            site.address,
            number + 1
        ));
    }
    let file = site.gateway.directory().join("routes");
    fs::write(&file, text).map_err(LabError::io(format!("write {}", file.display())))?;
    let gateway = &site.gateway;
    run(
        gateway,
        "ip",
        &["link", "add", DEVICE, "up", "type", kind, "external"],
    )?;
    let took = gateway
        .program("ip")
        .args([family.option(), "-batch"])
        .arg(&file)
        .finish(20 * BOUND)?
        .success()?
        .took;
    run(gateway, "ip", &["link", "del", DEVICE])?;
    Ok(took)
}

fn run(node: &Node, program: &str, arguments: &[&str]) -> Result<(), LabError> {
    node.program(program)
        .args(arguments)
        .finish(4 * BOUND)?
        .success()
        .map(drop)
}
