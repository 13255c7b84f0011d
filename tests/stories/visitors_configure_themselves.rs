//! IPv6 in the lab: visitors make their addresses of advertisements, which come late, withdrawn, out of order, from
//! a network that leads nowhere or is narrow; names have the families that they were given.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use lab::{
    AccessNetwork, Advertisement, Failure, Family, HttpServer, Internet, Laptop, Site, SiteKind,
    Story, Told, ensure, eventually, fail, udp, wait_for,
};

const BOUND: Duration = Duration::from_secs(8);

pub(crate) fn tell(story: &Story) -> Told {
    let mut internet = Internet::new(&["cafe", "train"])?;
    let site = internet.site_known_by("server.example", SiteKind::Gateway, &Family::ALL, &[])?;
    let laptop = internet.laptop("laptop")?;
    let (cafe, train) = (internet.access(0), internet.access(1));
    let web = HttpServer::start(&site.server, 80)?;

    moves_take_the_address_along(story, &laptop, &[&cafe, &train, &cafe])?;
    names_have_their_families(story, &mut internet, &laptop, &web)?;
    late_advertisement(story, &laptop, &train)?;
    advertisement_is_withdrawn(story, &laptop, &train)?;
    two_default_routers(story, &laptop, &cafe, &train, &site)?;
    temporary_address(story, &laptop, &cafe, &web)?;
    narrow_network(story, &laptop, &train, &site)?;
    network_leads_nowhere(story, &laptop, &cafe, &site)
}

fn moves_take_the_address_along(
    story: &Story,
    laptop: &Laptop,
    networks: &[&AccessNetwork],
) -> Told {
    let mut words = Vec::new();
    for optimistic in [false, true] {
        laptop.be_optimistic(optimistic)?;
        for network in networks {
            let started = Instant::now();
            let usable = laptop.move_to(network)?;
            let own: Vec<IpAddr> = global_addresses(laptop)?;
            ensure(own == [laptop.address_in(network)], || {
                format!("in the {} the laptop is {own:?}", network.name)
            })?;
            words.push(format!("{}", usable.duration_since(started).as_millis()));
        }
    }
    laptop.leave_all()?;
    let left = laptop.addresses()?;
    ensure(left.is_empty(), || format!("after leaving: {left:?}"))?;
    story.saw(format!(
        "an address of each network's prefix and no other, after {} ms, the second half optimistic",
        words.join(", ")
    ));
    laptop.move_to(networks[0]).map(drop).map_err(Failure::from)
}

fn names_have_their_families(
    story: &Story,
    internet: &mut Internet,
    laptop: &Laptop,
    web: &HttpServer,
) -> Told {
    let old = internet.site_known_by("old.example", SiteKind::Plain, &[Family::Ipv4], &[])?;
    let _web = HttpServer::start(&old.server, 80)?;
    let fetch = |option: Family, name: &str| -> Result<i32, Failure> {
        let url = format!("http://{name}/1000");
        let curl = laptop.node().program("curl").args(["-sS"]);
        let finished = curl
            .args([option.option(), "-o", "/dev/null", &url])
            .finish(BOUND)?;
        Ok(finished.code())
    };
    let codes = [
        fetch(Family::Ipv4, "server.example")?,
        fetch(Family::Ipv6, "server.example")?,
        fetch(Family::Ipv4, "old.example")?,
        fetch(Family::Ipv6, "old.example")?,
    ];
    let found = codes.map(|code| code == 0);
    ensure(found == [true, true, true, false], || {
        format!("curl ended with {codes:?}")
    })?;
    let cafe = internet.access(0);
    let both = Family::ALL.map(|family| laptop.address_of(&cafe, family));
    ensure(web.peers() == both, || {
        format!("the server saw {:?}", web.peers())
    })?;
    story.saw(format!(
        "{} and {} by one name, one address by another",
        both[0], both[1]
    ));
    Ok(())
}

fn late_advertisement(story: &Story, laptop: &Laptop, network: &AccessNetwork) -> Told {
    let delay = Duration::from_secs(3);
    network.advertiser.delay(delay);
    laptop.leave_all()?;
    let plugged = laptop.plug_in(network, Laptop::INTERFACES[0])?;
    let usable = laptop.wait_for_address(network, Family::Ipv6, BOUND)?;
    let took = usable.duration_since(plugged);
    ensure(took >= delay, || {
        format!("an address after {} ms", took.as_millis())
    })?;
    // The kernel asked, as it had heard nothing by then.
    let asked = network.advertiser.solicited();
    ensure(asked > 0, || "nobody solicited".to_owned())?;
    network.advertiser.delay(Duration::ZERO);
    story.saw(format!(
        "{} ms until the address with an advertisement 3 s late, {asked} solicitations",
        took.as_millis()
    ));
    Ok(())
}

fn advertisement_is_withdrawn(story: &Story, laptop: &Laptop, network: &AccessNetwork) -> Told {
    let alive = Advertisement::of(network.prefixes.ipv6);
    let withdrawn = Advertisement {
        router_lifetime: 0,
        preferred: 0,
        ..alive.clone()
    };
    let is_deprecated = |wanted: bool| {
        eventually("the address to change", BOUND, || {
            let own = laptop.addresses().unwrap_or_default();
            own.iter().any(|found| {
                found.address == laptop.address_in(network) && found.deprecated == wanted
            })
        })
    };
    network.advertiser.send(&withdrawn)?;
    is_deprecated(true)?;
    ensure(default_routers(laptop)? == 0, || {
        "the router that withdrew is still a default router".to_owned()
    })?;
    // What was said before arrives after it.
    network.advertiser.send(&alive)?;
    is_deprecated(false)?;
    ensure(default_routers(laptop)? == 1, || {
        "the router did not come back".to_owned()
    })?;
    story.saw("a withdrawn prefix is deprecated, an older advertisement revives it");
    Ok(())
}

fn two_default_routers(
    story: &Story,
    laptop: &Laptop,
    cafe: &AccessNetwork,
    train: &AccessNetwork,
    site: &Site,
) -> Told {
    let echo = udp::Echo::start(&site.server, 7)?;
    let ask = || udp::exchange(laptop.node(), (site.address, 7).into(), vec![1], BOUND);
    let (old, _) = laptop.also_join(cafe)?;
    let routers = default_routers(laptop)?;
    ensure(routers == 2, || format!("{routers} default routers"))?;
    ask()?;
    laptop.leave(&old)?;
    laptop.also_join(train)?;
    ask()?;
    let seen = udp::addresses(&echo.peers());
    let expected = [laptop.address_in(cafe), laptop.address_in(train)];
    ensure(seen == expected, || format!("the server heard {seen:?}"))?;
    story.saw("of two default routers the one joined last is used, by its own source");
    Ok(())
}

fn temporary_address(
    story: &Story,
    laptop: &Laptop,
    network: &AccessNetwork,
    web: &HttpServer,
) -> Told {
    laptop.use_temporary_addresses(true)?;
    laptop.move_to(network)?;
    let temporary = wait_for("a temporary address", BOUND, || {
        let usable = laptop.addresses()?.into_iter().find(|found| {
            network.prefixes.of(Family::Ipv6).contains(&found.address)
                && found.address != laptop.address_in(network)
                && found.usable
        });
        Ok::<_, Failure>(usable.map(|found| found.address))
    })?;
    fetch(laptop, "http://server.example/1000")?;
    let last = web.served().last().map(|served| served.peer.ip());
    ensure(last == Some(temporary), || {
        format!("the server saw {last:?} instead of {temporary}")
    })?;
    laptop.use_temporary_addresses(false)?;
    story.saw(format!("the temporary address {temporary} at the server"));
    Ok(())
}

fn narrow_network(story: &Story, laptop: &Laptop, network: &AccessNetwork, site: &Site) -> Told {
    network.narrow(1280)?;
    laptop.move_to(network)?;
    let mtu = laptop.node().run(|_| {
        let path = "/proc/sys/net/ipv6/conf/wlan0/mtu";
        std::fs::read_to_string(path).map_err(lab::LabError::io(path))
    })?;
    ensure(mtu.trim() == "1280", || format!("the mtu is {mtu}"))?;
    fetch(laptop, "http://server.example/300000")?;
    let ping = |from: &lab::Node, to: IpAddr| -> Result<String, Failure> {
        let program = from.program("ping").args(["-6", "-c", "2", "-M", "do"]);
        let finished = program
            .args(["-i", "0.2", "-W", "1", "-s", "1400", &to.to_string()])
            .finish(BOUND)?;
        Ok(finished.stdout + &finished.stderr)
    };
    for said in [
        ping(laptop.node(), site.address)?,
        ping(&site.server, laptop.address_in(network))?,
    ] {
        let small = said.contains("1280") && said.contains(" 0 received");
        ensure(small, || format!("ping of 1400 octets: {said}"))?;
    }
    story.saw("1280 octets by the advertisement and by the router's word");
    Ok(())
}

fn network_leads_nowhere(
    story: &Story,
    laptop: &Laptop,
    network: &AccessNetwork,
    site: &Site,
) -> Told {
    let ask = |bound| udp::exchange(laptop.node(), (site.address, 7).into(), vec![1], bound);
    let _echo = udp::Echo::start(&site.server, 7)?;
    network.lead_nowhere(true)?;
    laptop.move_to(network)?;
    if ask(Duration::from_millis(300))?.is_some() {
        return fail("a packet came back from a network that leads nowhere");
    }
    network.lead_nowhere(false)?;
    if ask(BOUND)?.is_none() {
        return fail("no packet came back afterwards");
    }
    network.advertiser.silence(true);
    laptop.leave_all()?;
    laptop.plug_in(network, Laptop::INTERFACES[0])?;
    let waited = laptop.wait_for_address(network, Family::Ipv6, Duration::from_secs(3));
    ensure(waited.is_err(), || {
        "an address without an advertisement".to_owned()
    })?;
    story.saw("an address without a way, and a network that never advertises");
    Ok(())
}

/// The laptop's addresses of IPv6 beyond its links.
fn global_addresses(laptop: &Laptop) -> Result<Vec<IpAddr>, Failure> {
    let all = laptop.addresses()?.into_iter().map(|found| found.address);
    Ok(all
        .filter(|address| match address {
            IpAddr::V4(_) => false,
            IpAddr::V6(address) => !address.is_unicast_link_local(),
        })
        .collect())
}

/// How many default routes of IPv6 the laptop has.
fn default_routers(laptop: &Laptop) -> Result<usize, Failure> {
    let ip = laptop.node().program("ip");
    let shown = ip
        .args(["-6", "route", "show", "default"])
        .finish(BOUND)?
        .success()?;
    Ok(shown.stdout.lines().count())
}

fn fetch(laptop: &Laptop, url: &str) -> Told {
    let curl = laptop.node().program("curl").args(["-sS", "-6"]);
    curl.args(["-o", "/dev/null", url])
        .finish(BOUND)?
        .success()?;
    Ok(())
}
