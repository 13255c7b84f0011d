//! Datagrams larger than any link arrive whole through the tunnel, both ways; in IPv6, so do packets with extension
//! headers.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddrV6},
    time::Duration,
};

use lab::{
    ExtensionHeader, Failure, Node, Stage, Story, Told, ensure, http::body, stage::BOUND,
    stretched, udp,
};

const ECHO: u16 = 7;

/// In fragments on the plain path, too; the largest has more than forty.
const SIZES: [usize; 3] = [1_473, 4_000, 60_000];

/// The first packet that is too large for a tunnel is lost to the news that it is.
const TRIES: usize = 4;
const TRY: Duration = Duration::from_millis(700);

pub(crate) fn tell(story: &Story) -> Told {
    let stage = Stage::new()?;
    stage.bind()?;
    let binding = stage.wait_for_binding_at(stage.care_of())?;
    let Some(lent) = binding.choa else {
        return Err(Failure::new(format!("{binding:?}")));
    };
    let (laptop, server) = (stage.laptop.node(), &stage.site.server);
    let echoes = [
        udp::Echo::start(server, ECHO)?,
        udp::Echo::start(laptop, ECHO)?,
    ];

    for octets in SIZES {
        let up = tries_to_echo(laptop, stage.site.address, octets)?;
        let down = tries_to_echo(server, lent, octets)?;
        story.saw(format!(
            "{octets} octets: whole there and back after {up} tries from the laptop, {down} from the server"
        ));
    }
    if let (IpAddr::V6(lent), IpAddr::V6(address)) = (lent, stage.site.address) {
        for header in [
            ExtensionHeader::HopByHopOptions,
            ExtensionHeader::DestinationOptions,
        ] {
            echo_behind(header, laptop, lent, address)?;
            echo_behind(header, server, address, lent)?;
            story.saw(format!("{header:?} from the laptop and from the server"));
        }
    }
    let seen = udp::addresses(&echoes[0].peers());
    ensure(seen == [lent], || format!("the server heard {seen:?}"))
}

/// How many datagrams of so many octets it takes until one comes back as it was sent.
fn tries_to_echo(from: &Node, to: IpAddr, octets: usize) -> Result<usize, Failure> {
    for number in 1..=TRIES {
        let datagram = body(number as u64, octets);
        let came = udp::exchange(from, (to, ECHO).into(), datagram.clone(), stretched(TRY))?;
        if let Some(came) = came {
            ensure(came == datagram, || {
                format!("{} octets came back that were not sent", came.len())
            })?;
            return Ok(number);
        }
    }
    Err(Failure::new(format!(
        "none of {TRIES} datagrams of {octets} octets from {} to {to} came back",
        from.name()
    )))
}

fn echo_behind(header: ExtensionHeader, node: &Node, from: Ipv6Addr, to: Ipv6Addr) -> Told {
    let (from, to) = (address(from, 4_000), address(to, ECHO));
    let came = header.exchange(node, from, to, b"behind", BOUND)?;
    ensure(came.as_deref() == Some(b"behind"), || {
        format!("{header:?} from {from} to {to}: {came:?} came back")
    })
}

fn address(address: Ipv6Addr, port: u16) -> SocketAddrV6 {
    SocketAddrV6::new(address, port, 0, 0)
}
