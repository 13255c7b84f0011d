//! Through its tunnel a mobile node reaches the correspondents, and nobody else: not the rest of the Internet, not
//! other mobile nodes, not chad. Who sends into the tunnel from elsewhere reaches nobody.

use std::net::IpAddr;

use lab::{Attacker, Fleet, Stage, Story, Told, attacker, ensure, stage::BOUND, stretched, udp};

const ECHO: u16 = 7;
const WORDS: &[u8] = b"is anybody there?";
/// As far as the pool is searched.
const SEARCHED: u32 = 40;

pub(crate) fn tell(story: &Story) -> Told {
    let mut stage = Stage::new()?;
    let server = udp::Echo::start(&stage.site.server, ECHO)?;
    let names = udp::Echo::start(stage.internet.names().node(), ECHO)?;
    let gateway = udp::Echo::start(&stage.site.gateway, ECHO)?;
    let attacker = Attacker::new(&mut stage.internet)?;
    let mut fleet = Fleet::new(&mut stage.internet, &stage.site, 2)?;
    fleet.bind(0..2)?;
    let before = stage.chad.status()?;
    let came = fleet.exchange(0, (stage.site.address, ECHO).into(), WORDS, BOUND)?;
    ensure(came.as_deref() == Some(WORDS), || {
        format!("the correspondent answered {came:?}")
    })?;

    let short = stretched(std::time::Duration::from_millis(200));
    let mut forbidden = vec![
        stage.internet.names().address(),
        stage.site.agent,
        stage.care_of(),
    ];
    forbidden.extend(fleet.home_address(1));
    forbidden.extend((1..=SEARCHED).map(|number| nth(stage.site.pool.addr(), number)));
    for address in &forbidden {
        let came = fleet.exchange(0, (*address, ECHO).into(), WORDS, short)?;
        ensure(came.as_deref() != Some(WORDS), || {
            format!("{address} was reached through the tunnel")
        })?;
    }

    // In another's name: from his own address, and from the address of a binding with another inside.
    let [lent, other] = [0, 1].map(|number| fleet.home_address(number));
    let to = (stage.site.address, ECHO).into();
    let bound = fleet.bindings()?;
    let mut forged = Vec::new();
    for inside in [lent, other].into_iter().flatten() {
        let packet = attacker::datagram((inside, 4_007).into(), to, WORDS);
        forged.push(attacker::tunnelled(
            attacker.address(),
            stage.site.agent,
            &packet,
        ));
        for outside in bound.iter().filter(|(home, _)| **home != inside) {
            forged.push(attacker::tunnelled(*outside.1, stage.site.agent, &packet));
        }
    }
    let count = forged.iter().flatten().count();
    attacker.send(forged.into_iter().flatten().collect())?;
    let expected = before.drops() + forbidden.len() as u64;
    let after = stage
        .chad
        .wait_for_status("every packet to be counted", BOUND, |status| {
            status.drops() >= expected
        })?;
    ensure(
        server.peers().iter().all(|peer| peer.port() != 4_007),
        || format!("a forged packet arrived: {:?}", server.peers()),
    )?;
    for (who, echo) in [("the name server", &names), ("the gateway", &gateway)] {
        ensure(echo.peers().is_empty(), || {
            format!("{who} was reached by {:?}", echo.peers())
        })?;
    }
    story.saw(format!(
        "{} other destinations were not reached through the tunnel, {count} forged packets reached nobody; {} drops counted",
        forbidden.len(),
        after.drops() - before.drops()
    ));
    Ok(())
}

/// The address so many after this one.
fn nth(first: IpAddr, number: u32) -> IpAddr {
    match first {
        IpAddr::V4(first) => std::net::Ipv4Addr::from(u32::from(first) + number).into(),
        IpAddr::V6(first) => {
            std::net::Ipv6Addr::from(u128::from(first) + u128::from(number)).into()
        }
    }
}
