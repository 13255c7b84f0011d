//! What the stories of absent, refusing, silent and wrong agents share: names with such agents, and a clock.

use std::{net::IpAddr, time::Duration};

use lab::{
    AccessNetwork, AgentSettings, Behaviour, Failure, FakeAgent, Family, HttpServer, Internet,
    Laptop, MobileAgent, Node, Prefixes, SiteKind, Story, Told, ensure,
    stage::{BOUND, own_prefix},
    stretched,
};

/// The daemon's default `hold`.
pub(crate) const HOLD: Duration = Duration::from_millis(300);

/// What the lookup itself and the connection may take beside the hold on a busy machine. An answer that nothing
/// releases is asked for again after five seconds.
const SLACK: Duration = Duration::from_secs(2);

/// Servers without number, each with a name and an agent of its own, and a laptop that visits them.
pub(crate) struct Street {
    pub(crate) internet: Internet,
    pub(crate) laptop: Laptop,
    pub(crate) agent: MobileAgent,
    cafe: AccessNetwork,
    web: HttpServer,
    agents: Node,
    houses: u8,
}

impl Street {
    /// The street, with answers held for [`HOLD`].
    pub(crate) fn new() -> Result<Street, Failure> {
        Self::holding(HOLD)
    }

    /// The street, with answers held so long.
    pub(crate) fn holding(hold: Duration) -> Result<Street, Failure> {
        let mut internet = Internet::new(&["cafe"])?;
        let plain = internet.site("plain.example", SiteKind::Plain)?;
        let agents = Node::new("agents")?;
        let next_hop = internet.connect(&agents)?;
        let family = Family::of_this_story();
        own_prefix(
            &internet,
            &plain.server,
            plain.address,
            servers()?.of(family),
        )?;
        let prefix = self::agents()?.of(family);
        own_prefix(&internet, &agents, next_hop.of(family), prefix)?;
        let web = HttpServer::start(&plain.server, 80)?;
        let laptop = internet.laptop("laptop")?;
        let cafe = internet.access(0);
        laptop.move_to(&cafe)?;
        Ok(Street {
            agent: start_agent(&laptop, hold)?,
            internet,
            laptop,
            cafe,
            web,
            agents,
            houses: 0,
        })
    }

    /// Starts the laptop's agent anew, to hold answers so long.
    pub(crate) fn hold(&mut self, hold: Duration) -> Told {
        self.agent.stop()?;
        self.agent = start_agent(&self.laptop, hold)?;
        Ok(())
    }

    /// A new server, by name, and an agent's address for it.
    pub(crate) fn house(&mut self, name: &str) -> Result<IpAddr, Failure> {
        self.houses += 1;
        let family = Family::of_this_story();
        let server = servers()?.host(self.houses).of(family);
        let agent = agents()?.host(self.houses).of(family);
        let names = self.internet.names();
        names.set(name, server);
        names.set(&format!("cha.{name}"), agent);
        Ok(agent)
    }

    /// A new server whose agent behaves so.
    pub(crate) fn house_with(
        &mut self,
        name: &str,
        behaviour: Behaviour,
    ) -> Result<FakeAgent, Failure> {
        let address = self.house(name)?;
        Ok(FakeAgent::start(&self.agents, address, behaviour)?)
    }

    /// Fetches from `name`; fails unless that went plainly. Gives the time until the connection stood.
    pub(crate) fn fetch_plainly(&self, name: &str) -> Result<Duration, Failure> {
        let url = format!("http://{name}/1000");
        let curl = self.laptop.node().program("curl").args(["-sS"]);
        let finished = curl
            .arg(Family::of_this_story().option())
            .args(["-o", "/dev/null", "-w", "%{time_connect}", &url])
            .finish(BOUND)?
            .success()
            .map_err(|error| Failure::new(format!("{name}: {error}")))?;
        let last = self.web.served().last().map(|served| served.peer.ip());
        ensure(last == Some(self.laptop.address_in(&self.cafe)), || {
            format!("{name} saw {last:?}")
        })?;
        Ok(Duration::from_secs_f64(finished.stdout.parse()?))
    }
}

fn start_agent(laptop: &Laptop, hold: Duration) -> Result<MobileAgent, Failure> {
    let settings = AgentSettings {
        hold: u32::try_from(hold.as_millis())?,
        ..AgentSettings::default()
    };
    Ok(MobileAgent::start_with(laptop, &settings)?)
}

fn servers() -> Result<Prefixes, Failure> {
    Ok(Prefixes {
        ipv4: "198.51.100.128/26".parse()?,
        ipv6: "2001:db8:2:80::/64".parse()?,
    })
}

fn agents() -> Result<Prefixes, Failure> {
    Ok(Prefixes {
        ipv4: "198.51.100.192/26".parse()?,
        ipv6: "2001:db8:2:c0::/64".parse()?,
    })
}

/// Fails unless a connection took at most the hold.
pub(crate) fn within_the_hold(name: &str, took: Duration) -> Told {
    ensure(took <= stretched(HOLD + SLACK), || {
        format!("{name}: {} ms until connected", took.as_millis())
    })
}

/// What one behaviour looked like.
pub(crate) fn tell_of(story: &Story, what: &str, took: Duration, requests: usize) {
    story.saw(format!(
        "{what}: plainly connected after {} ms, {requests} requests",
        took.as_millis()
    ));
}
