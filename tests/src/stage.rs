//! The scene most stories begin with: two access networks, one site with a gateway, a laptop, both daemons.

use std::{
    fs,
    net::IpAddr,
    path::Path,
    time::{Duration, Instant},
};

use ipnet::IpNet;

use crate::{
    AccessNetwork, AgentSettings, ChadSettings, Failure, Family, HomeAgent, Internet, LabError,
    Laptop, MobileAgent, Node, Site, SiteKind, daemon::Binding, process::Invocation, wait_for,
};

/// How long anything on the stage may take that should take milliseconds.
pub const BOUND: Duration = Duration::from_secs(8);

/// The scene. The laptop starts in the café.
pub struct Stage {
    /// Everything around.
    pub internet: Internet,
    /// `server.example` behind its gateway.
    pub site: Site,
    /// The mobile node.
    pub laptop: Laptop,
    /// `chad` on the gateway.
    pub chad: HomeAgent,
    /// `mn-agent` on the laptop.
    pub agent: MobileAgent,
    /// Where the laptop starts.
    pub cafe: AccessNetwork,
    /// Where it goes.
    pub train: AccessNetwork,
    /// Where it is.
    in_train: bool,
}

impl Stage {
    /// The scene with both daemons running on settings for stories.
    pub fn new() -> Result<Stage, LabError> {
        Self::with(|_| {}, |_| {})
    }

    /// The scene with other settings.
    pub fn with(
        chad: impl FnOnce(&mut ChadSettings),
        agent: impl FnOnce(&mut AgentSettings),
    ) -> Result<Stage, LabError> {
        Self::of_kind(SiteKind::Gateway, chad, agent)
    }

    /// The scene with a site of another kind.
    pub fn of_kind(
        kind: SiteKind,
        chad: impl FnOnce(&mut ChadSettings),
        agent: impl FnOnce(&mut AgentSettings),
    ) -> Result<Stage, LabError> {
        let mut internet = Internet::new(&["cafe", "train"])?;
        let site = internet.site("server.example", kind)?;
        let laptop = internet.laptop("laptop")?;
        let (cafe, train) = (internet.access(0), internet.access(1));
        // As laptops that move are set up; what the detection of duplicates costs is another story.
        laptop.be_optimistic(true)?;
        laptop.move_to(&cafe)?;
        let mut chad_settings = ChadSettings::of(&site);
        chad(&mut chad_settings);
        let mut agent_settings = AgentSettings::default();
        agent(&mut agent_settings);
        let chad = HomeAgent::start_with(&site, &chad_settings)?;
        let agent = MobileAgent::start_with(&laptop, &agent_settings)?;
        Ok(Stage {
            internet,
            site,
            laptop,
            chad,
            agent,
            cafe,
            train,
            in_train: false,
        })
    }

    /// Moves the laptop to the other network, break before make. Gives its new address and the instant from
    /// which that was usable.
    pub fn move_on(&mut self) -> Result<(IpAddr, Instant), LabError> {
        self.in_train = !self.in_train;
        let network = self.network().clone();
        let usable = self.laptop.move_to(&network)?;
        Ok((self.laptop.address_in(&network), usable))
    }

    /// Moves the laptop to the other network, make before break: leaves the old one when the binding is at the
    /// new one.
    pub fn glide_on(&mut self) -> Result<(IpAddr, Instant), LabError> {
        self.in_train = !self.in_train;
        let network = self.network().clone();
        let (old, usable) = self.laptop.also_join(&network)?;
        let address = self.laptop.address_in(&network);
        self.wait_for_binding_at(address)?;
        self.laptop.leave(&old)?;
        Ok((address, usable))
    }

    /// Moves the laptop and waits until the binding is at its new address.
    pub fn move_and_wait(&mut self) -> Result<IpAddr, LabError> {
        let (address, _) = self.move_on()?;
        self.wait_for_binding_at(address)?;
        Ok(address)
    }

    /// The network the laptop is in.
    #[must_use]
    pub fn network(&self) -> &AccessNetwork {
        if self.in_train {
            &self.train
        } else {
            &self.cafe
        }
    }

    /// The laptop's address now.
    #[must_use]
    pub fn care_of(&self) -> IpAddr {
        self.laptop.address_in(self.network())
    }

    /// Waits until the laptop's binding with the site is active at `care_of`.
    pub fn wait_for_binding_at(&self, care_of: IpAddr) -> Result<Binding, LabError> {
        self.agent.wait_for_binding(self.site.agent, care_of, BOUND)
    }

    /// `curl` on the laptop, silent but for errors.
    #[must_use]
    pub fn curl(&self, arguments: &[&str]) -> Invocation {
        self.laptop
            .node()
            .program("curl")
            .args(["-sS"])
            .args(arguments)
    }

    /// Waits until mn-agent has a binding for the site's server.
    pub fn bind(&self) -> Result<(), LabError> {
        self.agent
            .command(&["bind", "server.example"])?
            .success()
            .map(drop)
    }

    /// Whether an address is of the site's pool.
    #[must_use]
    pub fn is_lent(&self, address: IpAddr) -> bool {
        self.site.pool.contains(&address)
    }
}

/// Makes every address of `prefix` one of `node`'s, and tells the core, of which `node` is at `next_hop`.
pub fn own_prefix(
    internet: &Internet,
    node: &Node,
    next_hop: IpAddr,
    prefix: IpNet,
) -> Result<(), LabError> {
    // IPv6 would let programs bind only those of them that an interface has.
    node.sysctl("net/ipv6/ip_nonlocal_bind", "1")?;
    node.run(move |network| network.own_prefix(prefix))?;
    internet
        .core()
        .run(move |network| network.route(prefix.trunc(), next_hop, 0))
}

/// Waits until a file is at least `size` octets long.
pub fn wait_for_size(file: &Path, size: u64, bound: Duration) -> Result<u64, LabError> {
    let what = format!("{} to reach {size} octets", file.display());
    wait_for(&what, bound, || {
        Ok(file
            .metadata()
            .ok()
            .map(|metadata| metadata.len())
            .filter(|length| *length >= size))
    })
    .map_err(|error: LabError| {
        LabError::Other(format!(
            "{error} (has {})",
            file.metadata().map_or(0, |metadata| metadata.len())
        ))
    })
}

/// Fails unless `file` is exactly the first `octets` of the web server's body.
pub fn check_body(file: &Path, octets: usize) -> Result<(), Failure> {
    let found = fs::read(file).map_err(LabError::io(format!("read {}", file.display())))?;
    if found.len() != octets {
        return Err(Failure::new(format!(
            "{} octets arrived instead of {octets}",
            found.len()
        )));
    }
    match found
        .iter()
        .zip(crate::http::body(0, octets))
        .position(|(found, sent)| *found != sent)
    {
        None => Ok(()),
        Some(position) => Err(Failure::new(format!(
            "octet {position} is not the one that was sent"
        ))),
    }
}

/// Everything on a node that our daemons could leave behind: links, addresses, rules, routes, filters, the
/// interfaces' sysctls, the resolver. Addresses and routes are those of the story's family: in the others the laptop
/// may still be about to configure itself.
pub fn footprint(node: &Node) -> Result<String, LabError> {
    node.run(|network| {
        network.wait_for("the detection of duplicates to end", BOUND, |network| {
            let addresses = network.addresses()?;
            Ok(addresses.iter().all(|one| !one.tentative).then_some(()))
        })
    })?;
    let mut text = String::new();
    // Names alone: the kernel reports a link's operational state some time after the link itself.
    text.push_str(&format!(
        "# links {}\n",
        node.run(|network| network.links())?.join(" ")
    ));
    let family = Family::of_this_story().option();
    let commands: [&[&str]; 5] = [
        &["ip", family, "-o", "addr"],
        &["ip", "-4", "rule"],
        &["ip", "-6", "rule"],
        &["ip", family, "route", "show", "table", "all"],
        &["nft", "list", "ruleset"],
    ];
    for command in commands {
        let (program, arguments) = (command[0], &command[1..]);
        let finished = node
            .program(program)
            .args(arguments)
            .finish(BOUND)?
            .success()?;
        text.push_str(&format!("# {}\n", command.join(" ")));
        // The kernel gives a link its link-local address when it sees a carrier, some time after it is there.
        for line in finished
            .stdout
            .lines()
            .filter(|line| !line.contains("fe80:"))
        {
            text.push_str(&without_seconds(line));
            text.push('\n');
        }
    }
    text.push_str(&node.run(|_| sysctls())?);
    text.push_str("# resolv.conf\n");
    text.push_str(&node.resolv_conf()?);
    Ok(text)
}

/// A line of ip without the lifetimes of what a router advertised.
fn without_seconds(line: &str) -> String {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    for word in ["valid_lft", "preferred_lft", "expires"] {
        if let Some(at) = words.iter().position(|found| *found == word) {
            words.drain(at..words.len().min(at + 2));
        }
    }
    words.join(" ")
}

fn sysctls() -> Result<String, LabError> {
    let mut text = sysctls_of("/proc/sys/net/ipv4/conf")?;
    text.push_str(&sysctls_of("/proc/sys/net/ipv6/conf")?);
    text.push_str(&format!(
        "ip_forward {}\n",
        fs::read_to_string("/proc/sys/net/ipv4/ip_forward")
            .unwrap_or_default()
            .trim()
    ));
    Ok(text)
}

fn sysctls_of(root: &str) -> Result<String, LabError> {
    let root = Path::new(root);
    let list = |path: &Path| -> Result<Vec<std::path::PathBuf>, LabError> {
        let mut found: Vec<_> = fs::read_dir(path)
            .map_err(LabError::io(format!("list {}", path.display())))?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        found.sort();
        Ok(found)
    };
    let mut text = format!("# {}\n", root.display());
    for interface in list(root)? {
        for file in list(&interface)? {
            if let Ok(value) = fs::read_to_string(&file) {
                text.push_str(&format!(
                    "{} {}\n",
                    file.strip_prefix(root).unwrap_or(&file).display(),
                    value.trim()
                ));
            }
        }
    }
    Ok(text)
}

/// The lines in which two footprints differ, for people.
#[must_use]
pub fn difference(before: &str, after: &str) -> String {
    let lost = before
        .lines()
        .filter(|line| !after.lines().any(|other| other == *line))
        .map(|line| format!("- {line}"));
    let new = after
        .lines()
        .filter(|line| !before.lines().any(|other| other == *line))
        .map(|line| format!("+ {line}"));
    lost.chain(new).collect::<Vec<_>>().join("\n")
}
