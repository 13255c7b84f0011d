//! `chad` and `mn-agent` on nodes: their configuration, their life, what `status --json` says.

use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    ops::{Deref, DerefMut},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use control::{Reply, Request, client};
use ipnet::IpNet;
use nix::sys::signal::Signal;
use serde::Deserialize;

use crate::{
    Backend, Family, LabError, Laptop, Node, Process, Site,
    process::{Finished, Invocation},
    programs,
    wait::{patience, stretched},
    wait_for,
};

/// How long a daemon may take to answer its first question.
const START: Duration = Duration::from_secs(10);

/// How long a daemon may take to serve when it has many bindings to take up.
const READY: Duration = Duration::from_secs(60);

/// How long a daemon may take to end after SIGTERM.
const STOP: Duration = Duration::from_secs(10);

const COMMAND: Duration = Duration::from_secs(10);

/// The longest `hold` that mn-agent takes, in milliseconds, which [`patience`] does not stretch.
const LONGEST_HOLD: u32 = 10_000;

/// The parts of chad.toml that stories vary. Times are in seconds so that stories stay short, and
/// stretched by [`patience`].
#[derive(Clone, Debug)]
pub struct ChadSettings {
    /// The address `chad` listens on.
    pub address: IpAddr,
    /// The pool.
    pub pool: IpNet,
    /// `hold-down`, in seconds.
    pub hold_down: u32,
    /// The default lifetime, in seconds.
    pub lifetime: u32,
    /// Where it also listens, and what it lends there: of the other family.
    pub beside: Option<(IpAddr, IpNet)>,
    /// Whom it serves.
    pub correspondents: Vec<IpNet>,
    /// `[security] mode`: `open` or `authenticated`.
    pub mode: String,
    /// `[security] legacy-open`.
    pub legacy_open: bool,
    /// `[security] host-quota` and `site-quota`.
    pub quota: u32,
    /// `[security] host-rate`, `site-rate` and `rate`.
    pub rate: u32,
    /// Who carries the packets.
    pub backend: Backend,
    /// Where the bindings are kept, if not in memory like all else of the lab.
    pub state: Option<PathBuf>,
    /// Anything else, appended to the file.
    pub more: String,
}

impl ChadSettings {
    /// What fits a site, in the story's family alone.
    #[must_use]
    pub fn of(site: &Site) -> ChadSettings {
        ChadSettings {
            address: site.agent,
            pool: site.pool,
            beside: None,
            hold_down: 2,
            lifetime: 60,
            correspondents: vec![IpNet::from(site.address)],
            mode: "open".to_owned(),
            legacy_open: false,
            quota: 64,
            rate: 64,
            backend: Backend::of_this_story(),
            state: None,
            more: String::new(),
        }
    }

    /// What fits a site, in both families.
    #[must_use]
    pub fn of_both_families(site: &Site) -> ChadSettings {
        let other = Family::of_this_story().other();
        let mut settings = Self::of(site);
        settings.beside = Some((site.agents.of(other), site.pools.of(other)));
        settings
            .correspondents
            .push(IpNet::from(site.addresses.of(other)));
        settings
    }

    fn to_toml(&self, directory: &Path) -> String {
        let place = directory.display();
        let (mut listen, mut pool) = (String::new(), String::new());
        for (address, prefix) in [Some((self.address, self.pool)), self.beside]
            .into_iter()
            .flatten()
        {
            let family = Family::of(address);
            listen.push_str(&format!("{family} = \"{address}\"\n"));
            pool.push_str(&format!("{family} = [\"{prefix}\"]\n"));
        }
        let correspondents: String = self
            .correspondents
            .iter()
            .map(|prefix| format!("[[correspondent]]\nprefix = \"{prefix}\"\n"))
            .collect();
        let state = match &self.state {
            Some(state) => state.display().to_string(),
            None => format!("{place}/chad-state"),
        };
        let (lifetime, quota, rate) = (self.lifetime * patience(), self.quota, self.rate);
        // IPv6 counts in units of four seconds.
        let first = lifetime.max(4);
        format!(
            "control = \"{place}/chad.sock\"\nstate = \"{state}\"\n\
             [listen]\n{listen}\
             [pool]\n{pool}hold-down = \"{}s\"\n\
             [lifetime]\ndefault = \"{lifetime}s\"\nmax = \"1h\"\nfirst = \"{first}s\"\n\
             [security]\nmode = \"{}\"\nlegacy-open = {}\n\
             host-quota = {quota}\nsite-quota = {quota}\n\
             host-rate = {rate}\nsite-rate = {rate}\nrate = {rate}\n\
             [dataplane]\nbackend = \"{}\"\n\
             {correspondents}{}",
            self.hold_down * patience(),
            self.mode,
            self.legacy_open,
            self.backend,
            self.more
        )
    }
}

/// The parts of mn-agent.toml that stories vary. Times are in milliseconds, stretched by [`patience`].
#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// `identity`, if not left to the agent.
    pub identity: Option<String>,
    /// How names get to the agent: `resolv-conf` or `manual`.
    pub dns_mode: String,
    /// How long an answer waits for a binding.
    pub hold: u32,
    /// How much of that it waits to learn whether there is a home agent.
    pub lookup_window: u32,
    /// After the last socket.
    pub linger: u32,
    /// For traffic without connections.
    pub inactivity: u32,
    /// A binding that nobody used.
    pub unused: u32,
    /// The lines of `[policy]`.
    pub policy: String,
    /// Who carries the packets.
    pub backend: Backend,
    /// Anything else, appended to the file.
    pub more: String,
}

impl Default for AgentSettings {
    fn default() -> Self {
        AgentSettings {
            identity: None,
            dns_mode: "resolv-conf".to_owned(),
            // Longer than the daemon's own defaults: a busy test machine must not send sessions past their binding.
            hold: 2_500,
            lookup_window: 1_000,
            linger: 1_000,
            inactivity: 5_000,
            unused: 10_000,
            policy: "trust = \"any\"".to_owned(),
            backend: Backend::of_this_story(),
            more: String::new(),
        }
    }
}

impl AgentSettings {
    fn to_toml(&self, directory: &Path) -> String {
        let place = directory.display();
        let identity = self
            .identity
            .as_ref()
            .map(|name| format!("identity = \"{name}\"\n"))
            .unwrap_or_default();
        format!(
            "control = \"{place}/mn-agent.sock\"\nstate = \"{place}/mn-agent-state\"\n{identity}\
             [dns]\nmode = \"{}\"\nlisten = \"127.0.0.153:53\"\nupstream = []\nhold = \"{}ms\"\nlookup-window = \"{}ms\"\n\
             [session]\nlinger = \"{}ms\"\ninactivity = \"{}ms\"\nunused = \"{}ms\"\n\
             [policy]\n{}\n\
             [dataplane]\nbackend = \"{}\"\n{}",
            self.dns_mode,
            (self.hold * patience()).min(LONGEST_HOLD),
            self.lookup_window * patience(),
            self.linger * patience(),
            self.inactivity * patience(),
            self.unused * patience(),
            self.policy,
            self.backend,
            self.more
        )
    }
}

/// What `status --json` says; unknown parts are ignored.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// The carrier that is used by default.
    pub backend: String,
    /// The bindings.
    pub bindings: Vec<Binding>,
    /// Every counter by its name.
    #[serde(default)]
    pub counters: BTreeMap<String, u64>,
    /// The pools; only of `chad`.
    #[serde(default)]
    pub pool: serde_json::Value,
}

/// One binding of a status.
#[derive(Clone, Debug, Deserialize)]
pub struct Binding {
    /// The home address, none while the first request is under way.
    #[serde(default)]
    pub choa: Option<IpAddr>,
    /// The care-of address.
    #[serde(default)]
    pub care_of: Option<IpAddr>,
    /// The corresponding home agent.
    #[serde(default)]
    pub cha: Option<IpAddr>,
    /// `registering`, `active`, `moving` or `releasing`.
    pub state: String,
    /// Whole seconds.
    #[serde(default)]
    pub expires_in: Option<u64>,
    /// The correspondents, as the daemon writes them.
    #[serde(default)]
    pub correspondents: serde_json::Value,
}

impl Status {
    /// A counter's value; one that was never counted is 0.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or_default()
    }

    /// The care-of address of every binding that has one, by the home address.
    #[must_use]
    pub fn care_of_addresses(&self) -> BTreeMap<IpAddr, IpAddr> {
        let both = |binding: &Binding| Some((binding.choa?, binding.care_of?));
        self.bindings.iter().filter_map(both).collect()
    }

    /// The sum of all `drop_` counters.
    #[must_use]
    pub fn drops(&self) -> u64 {
        self.counters
            .iter()
            .filter(|(name, _)| name.starts_with("drop_"))
            .map(|(_, count)| count)
            .sum()
    }

    /// The sum of a number (`size`, `used`, `held_down`) over all pools.
    #[must_use]
    pub fn pool_sum(&self, what: &str) -> u64 {
        let of = |pool: &serde_json::Value| {
            pool.get(what)
                .and_then(serde_json::Value::as_u64)
                .unwrap_or_default()
        };
        if let Some(pools) = self.pool.as_array() {
            return pools.iter().map(of).sum();
        }
        of(&self.pool)
    }
}

/// One of the daemons on a node.
pub struct Daemon {
    program: &'static str,
    node: Node,
    config: PathBuf,
    /// The control socket.
    control: PathBuf,
    process: Option<Process>,
}

impl Daemon {
    /// What `status --json` says.
    pub fn status(&self) -> Result<Status, LabError> {
        let text = self.command(&["status", "--json"])?.success()?.stdout;
        serde_json::from_str(&text).map_err(|error| {
            LabError::Other(format!("{} status --json: {error}: {text}", self.program))
        })
    }

    /// Runs a subcommand to its end, with `--config` added.
    pub fn command(&self, arguments: &[&str]) -> Result<Finished, LabError> {
        let path = programs::daemon(self.program)?;
        let program = self.node.program(&path.to_string_lossy());
        program
            .args(arguments)
            .arg("--config")
            .arg(&self.config)
            .finish(COMMAND)
    }

    /// Waits until the status satisfies `holds`, and returns it. A daemon that is not there is waited for.
    pub fn wait_for_status(
        &self,
        what: &str,
        bound: Duration,
        holds: impl Fn(&Status) -> bool,
    ) -> Result<Status, LabError> {
        let mut last = None;
        let waited = wait_for(what, bound, || {
            last = glance(&self.control).ok();
            Ok(last.clone().filter(|status| holds(status)))
        });
        waited.map_err(|error: LabError| LabError::Other(format!("{error}; last status: {last:?}")))
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) -> Result<(), LabError> {
        self.process()?.kill()?;
        self.process = None;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits for success.
    pub fn stop(&mut self) -> Result<(), LabError> {
        let process = self.process()?;
        process.signal(Signal::SIGTERM)?;
        process.finish(STOP)?.success()?;
        self.process = None;
        Ok(())
    }

    /// Starts it (again), with the same configuration, and waits until it answers.
    pub fn run(&mut self) -> Result<(), LabError> {
        let process = self.invocation()?.start()?;
        let process = self.process.insert(process);
        let what = format!("{} on {} to answer", self.program, self.node.name());
        let (control, program) = (&self.control, self.program);
        wait_for(&what, START, || {
            if !process.is_running() {
                return Err(LabError::Other(format!(
                    "{program} ended at once: {}",
                    process.stderr().trim()
                )));
            }
            Ok(glance(control).ok())
        })?;
        Ok(())
    }

    /// Starts it again and waits until it tells the service manager, in whose place the lab stands, that it serves.
    /// Gives the time from its start to that.
    pub fn run_until_ready(&mut self) -> Result<Duration, LabError> {
        let path = self.node.directory().join("notify.sock");
        let _not_there_yet = fs::remove_file(&path);
        let manager = UnixDatagram::bind(&path)
            .map_err(LabError::io(format!("listen at {}", path.display())))?;
        manager
            .set_read_timeout(Some(stretched(READY)))
            .map_err(LabError::io("set a time-out"))?;
        let started = Instant::now();
        let process = self.invocation()?.env("NOTIFY_SOCKET", &path).start()?;
        let process = self.process.insert(process);
        let mut word = [0; 1024];
        loop {
            let length = manager.recv(&mut word).map_err(LabError::io(format!(
                "wait for {} to serve ({})",
                self.program,
                process.stderr().trim()
            )))?;
            if word[..length].starts_with(b"READY=1") {
                return Ok(started.elapsed());
            }
        }
    }

    /// Forgets everything it knew: removes the state directory of one that does not run.
    pub fn lose_state(&self) -> Result<(), LabError> {
        let state = format!("{}-state", self.program);
        let state = self.node.directory().join(state);
        fs::remove_dir_all(&state).map_err(LabError::io(format!("remove {}", state.display())))
    }

    fn invocation(&self) -> Result<Invocation, LabError> {
        Ok(self
            .node
            .program(&programs::daemon(self.program)?.to_string_lossy())
            .arg("run")
            .arg("--config")
            .arg(&self.config)
            .env(
                "RUST_LOG",
                std::env::var("LAB_LOG")
                    .unwrap_or_else(|_| "debug,hickory_net=info,hickory_resolver=info".to_owned()),
            )
            .env("NO_COLOR", "1"))
    }

    /// Its process.
    pub fn process(&mut self) -> Result<&mut Process, LabError> {
        let (program, node) = (self.program, self.node.name().to_owned());
        self.process
            .as_mut()
            .ok_or_else(|| LabError::Other(format!("{program} on {node} is not running")))
    }

    /// Changes its configuration, which it reads when it is started again.
    fn configure(&self, text: &str) -> Result<(), LabError> {
        fs::write(&self.config, text)
            .map_err(LabError::io(format!("write {}", self.config.display())))
    }

    fn start(program: &'static str, node: &Node, text: &str) -> Result<Daemon, LabError> {
        let config = node.directory().join(format!("{program}.toml"));
        let mut daemon = Daemon {
            program,
            node: node.clone(),
            config,
            control: node.directory().join(format!("{program}.sock")),
            process: None,
        };
        daemon.configure(text)?;
        daemon.run()?;
        Ok(daemon)
    }
}

/// The status without the program that shows it, which a slow machine would be busy with while it waits.
fn glance(control: &Path) -> Result<Status, LabError> {
    let wrong = |error: &dyn std::fmt::Display| {
        LabError::Other(format!("the status at {}: {error}", control.display()))
    };
    let reply = client::ask(control, &Request::Status).map_err(|error| wrong(&error))?;
    let status = match reply {
        Reply::Chad(status) => serde_json::to_value(status),
        Reply::MnAgent(status) => serde_json::to_value(status),
        Reply::Done { message: words } | Reply::Failed { reason: words } => {
            return Err(wrong(&words));
        }
    };
    status
        .and_then(serde_json::from_value)
        .map_err(|error| wrong(&error))
}

/// `chad` on a gateway.
pub struct HomeAgent {
    daemon: Daemon,
}

impl HomeAgent {
    /// Starts `chad` on the site's gateway with the site's own settings, and waits until it answers.
    pub fn start(site: &Site) -> Result<HomeAgent, LabError> {
        Self::start_with(site, &ChadSettings::of(site))
    }

    /// As [`HomeAgent::start`], with other settings.
    pub fn start_with(site: &Site, settings: &ChadSettings) -> Result<HomeAgent, LabError> {
        let node = &site.gateway;
        Ok(HomeAgent {
            daemon: Daemon::start("chad", node, &settings.to_toml(node.directory()))?,
        })
    }

    /// Changes its settings, which it reads when it is started again.
    pub fn configure(&self, settings: &ChadSettings) -> Result<(), LabError> {
        self.daemon
            .configure(&settings.to_toml(self.daemon.node.directory()))
    }
}

/// `mn-agent` on a laptop.
pub struct MobileAgent {
    daemon: Daemon,
}

impl MobileAgent {
    /// Starts `mn-agent` with settings for stories, and waits until it answers.
    pub fn start(laptop: &Laptop) -> Result<MobileAgent, LabError> {
        Self::start_with(laptop, &AgentSettings::default())
    }

    /// As [`MobileAgent::start`], with other settings.
    pub fn start_with(laptop: &Laptop, settings: &AgentSettings) -> Result<MobileAgent, LabError> {
        let node = laptop.node();
        Ok(MobileAgent {
            daemon: Daemon::start("mn-agent", node, &settings.to_toml(node.directory()))?,
        })
    }

    /// Waits until there is an active binding with the agent at `agent` from the care-of address `care_of`.
    pub fn wait_for_binding(
        &self,
        agent: IpAddr,
        care_of: IpAddr,
        bound: Duration,
    ) -> Result<Binding, LabError> {
        let fits = |binding: &&Binding| {
            binding.cha == Some(agent)
                && binding.care_of == Some(care_of)
                && binding.state == "active"
        };
        let what = format!("an active binding with {agent} at {care_of}");
        let status = self.wait_for_status(&what, bound, |status| {
            status.bindings.iter().any(|b| fits(&b))
        })?;
        status
            .bindings
            .iter()
            .find(fits)
            .cloned()
            .ok_or(LabError::Other(what))
    }
}

impl Deref for HomeAgent {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl DerefMut for HomeAgent {
    fn deref_mut(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}

impl Deref for MobileAgent {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl DerefMut for MobileAgent {
    fn deref_mut(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chad_of_both_families_has_both_in_its_configuration() {
        let prefix = |words: &str| words.parse::<IpNet>().unwrap_or_default();
        let settings = ChadSettings {
            address: IpAddr::from([203, 0, 113, 2]),
            pool: prefix("10.128.0.0/16"),
            beside: Some((
                IpAddr::from([0x2001, 0xdb8, 3, 0, 0, 0, 0, 2]),
                prefix("2001:db8:4::/64"),
            )),
            correspondents: vec![prefix("198.51.100.10/32"), prefix("2001:db8:2::a/128")],
            hold_down: 2,
            lifetime: 60,
            mode: "open".to_owned(),
            legacy_open: false,
            quota: 64,
            rate: 64,
            backend: Backend::Userspace,
            state: None,
            more: String::new(),
        };
        let text = settings.to_toml(Path::new("/run/lab"));
        for part in [
            "[listen]\nipv4 = \"203.0.113.2\"\nipv6 = \"2001:db8:3::2\"\n",
            "[pool]\nipv4 = [\"10.128.0.0/16\"]\nipv6 = [\"2001:db8:4::/64\"]\nhold-down",
            "[[correspondent]]\nprefix = \"2001:db8:2::a/128\"\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
